"""What a plan is made of: steps that each bring the value of one root field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.engine.schema.actions import ActionRoot

from .sql import Bind


@dataclass(frozen=True, slots=True)
class Sql:
    """One statement. `path` is where its database errors are reported.

    `mutation` says that it may change something, so it is never sent a second time.
    `follow` reads what it returned (its columns as the names n0, n1, ...) once it is done.
    """

    key: str
    sql: str
    binds: tuple[Bind, ...]
    path: str = "$"
    mutation: bool = False
    follow: Sql | None = None
    empty: str = "null"


@dataclass(frozen=True, slots=True)
class Stream:
    """The next rows past a cursor, and the cursor after them as text; both null without rows.

    `cursor` is the place among the binds of the cursor's value.
    """

    key: str
    sql: str
    binds: tuple[Bind, ...]
    cursor: int


@dataclass(frozen=True, slots=True)
class Several:
    """Statements that run in order; the answer is the list of theirs."""

    key: str
    steps: tuple[Sql, ...]


@dataclass(frozen=True, slots=True)
class NestedRow:
    """One row of a nested insert; later rows read its columns under its label."""

    label: str
    sql: Sql
    is_root: bool
    table: str


@dataclass(frozen=True, slots=True)
class Nested:
    """Rows inserted one after the other, then the answer about those of the root."""

    key: str
    rows: tuple[NestedRow, ...]
    answer: Sql


@dataclass(frozen=True, slots=True)
class Text:
    """JSON that is known when the plan is made."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Introspection:
    """A __schema or __type field; `document` asks for it alone, `text` is how it is written.

    `variables` names those that it uses, and `checks` refuse values of theirs that do not fit.
    """

    key: str
    document: Any
    text: str
    variables: frozenset[str]
    checks: tuple[Bind, ...]


@dataclass(frozen=True, slots=True)
class OutputField:
    """A key of an action's answer: plain, an object (`below`) or rows of a table (`sql`)."""

    key: str
    name: str
    below: tuple[OutputField, ...] = ()
    sql: Sql | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    key: str
    root: ActionRoot
    arguments: dict[str, Any]
    output: tuple[OutputField, ...]


@dataclass(frozen=True, slots=True)
class Queued:
    """A call of an asynchronous action: `insert` writes it down, outside of any transaction."""

    key: str
    insert: Sql


Step = Sql | Stream | Several | Nested | Text | Introspection | Action | Queued


def length(step: Step) -> int:
    """Count the characters that a step keeps, for those who bound what is kept."""
    if isinstance(step, Several):
        return sum(map(length, step.steps))
    if isinstance(step, Nested):
        return sum(length(row.sql) for row in step.rows) + length(step.answer)
    if isinstance(step, Queued):
        return length(step.insert)
    if isinstance(step, (Text, Introspection)):
        return len(step.text)
    if isinstance(step, Action):
        return len(step.key)
    follow = step.follow if isinstance(step, Sql) else None
    return len(step.sql) + (length(follow) if follow else 0)
