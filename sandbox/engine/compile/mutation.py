"""The frame of every mutation: the session is set first, permission checks fail the statement.

All in one statement, so that a mutation of one field is one round trip. The change is a part of
WITH that only the answer reads, so it runs when the answer is read, and the answer waits for the
session: defaults and triggers find it set, on the first row and on rows without a value.
A failed check raises by casting a text to an integer; errors.py knows the text.
"""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.engine.compile.sql import Later, SessionJson, literal
from sandbox.engine.compile.steps import Sql, Text
from sandbox.engine.documents.walk import Selected
from sandbox.engine.errors import CHECK_FAILED
from sandbox.engine.schema.access import Access
from sandbox.engine.schema.model import ObjectType
from sandbox.engine.schema.sources import ColumnOut, MutationPart

from .compiler import Compiler, table_sql, typename
from .select import Source, json_object, list_of, row

SESSION = '"_session"'
CHANGED = '"_changed"'
SESSION_IS_SET = f'(SELECT "value" FROM {SESSION}) IS NOT NULL'


def session(c: Compiler) -> str:
    """Return the first part of WITH, which sets hasura.user for triggers and functions."""
    bound = c.statement.bind(SessionJson())
    return (
        f"{SESSION} AS MATERIALIZED (SELECT set_config('hasura.user', {bound}, true) AS \"value\")"
    )


def waiting(value: str) -> str:
    """Return the value, which is not looked at before the session is set."""
    return f"CASE WHEN {SESSION_IS_SET} THEN {value} END"


def guarded(value: str, kind: str) -> str:
    """Return the value if every changed row passed its check; else the statement fails."""
    failed = f"concat({literal(CHECK_FAILED)}, (SELECT count(*) FROM {CHANGED}))::integer"
    passed = f'(SELECT bool_and("_ok") FROM {CHANGED}) IS NOT FALSE'
    return f"CASE WHEN {passed} THEN {value} ELSE {failed}::text::{kind} END"


@dataclass(frozen=True, slots=True)
class Change:
    """An INSERT, UPDATE or DELETE of the table under "_0", without its RETURNING.

    `check` is what every changed row must satisfy, `one` that the field answers a row.
    """

    access: Access
    sql: str
    check: str
    one: bool


def finish(c: Compiler, item: Selected, change: Change) -> Sql:
    """Wrap a change into the step of its field."""
    checked = f'coalesce(({change.check}), false) AS "_ok"'
    changed = f'{change.sql} RETURNING "_0" AS "_row", {checked}'
    with_ = f"WITH {session(c)}, {CHANGED} AS ({changed})"
    if _reads_more(c, item, one=change.one):
        return _two_statements(c, item, change, with_)
    rows = f'(SELECT ({CHANGED}."_row").* FROM {CHANGED})'
    source = Source(change.access, rows, c.alias())
    value = answer_of(c, item, source, f"(SELECT count(*) FROM {CHANGED})", one=change.one)
    if change.check != "TRUE":
        value = guarded(value, "json")
    sql = f"{with_} SELECT {waiting(value)}"
    return Sql(item.key, sql, tuple(c.statement.binds), mutation=True)


def _returned(c: Compiler, item: Selected, *, one: bool) -> list[Selected]:
    kind: Any = item.field.ref.named if item.field else None
    selected = c.fields(item, kind)
    if one:
        return selected
    found = []
    for part in selected:
        if part.field is not None and part.field.source.returning:
            found += c.fields(part, part.field.ref.named)
    return found


def _reads_more(c: Compiler, item: Selected, *, one: bool) -> bool:
    """Tell whether the answer holds more than columns, which must be read after the change."""
    return any(
        part.field is not None and not isinstance(part.field.source, ColumnOut)
        for part in _returned(c, item, one=one)
    )


def _two_statements(c: Compiler, item: Selected, change: Change, with_: str) -> Sql:
    """Read the answer in a second statement: one statement sees nothing of its own changes."""
    count = f"(SELECT count(*) FROM {CHANGED})"
    if change.check != "TRUE":
        count = guarded(count, "bigint")
    rows = f'(SELECT array_agg("_row")::text FROM {CHANGED})'
    first = f"{with_} SELECT {waiting(f'({count})::text')} AS n0, {waiting(rows)} AS n1"
    after = Compiler(c.walk)
    given = f"({after.statement.bind(Later('n1'))})::{table_sql(change.access)}[]"
    source = Source(change.access, f"unnest({given})", after.alias())
    second = "SELECT " + answer_of(after, item, source, None, one=change.one)
    follow = Sql(item.key, second, tuple(after.statement.binds))
    return Sql(item.key, first, tuple(c.statement.binds), mutation=True, follow=follow)


def answer_of(c: Compiler, item: Selected, source: Source, count: str | None, *, one: bool) -> str:
    kind: Any = item.field.ref.named if item.field else None
    chosen = f"{source.sql} AS {source.alias}"
    if one:
        return f"({row(c, source, c.fields(item, kind), chosen)})"
    parts = []
    for part in c.fields(item, kind):
        if part.field is None:
            parts.append((part.key, typename(kind)))
        elif not _source(part).returning:
            parts.append((part.key, count or _counted(c)))
        else:
            below = c.fields(part, part.field.ref.named)
            parts.append((part.key, f"({list_of(c, source, below, chosen)})"))
    return json_object(parts)


def _counted(c: Compiler) -> str:
    """Name the number of changed rows that the first statement brought."""
    return f"({c.statement.bind(Later('n0'))})::bigint"


def _source(part: Selected) -> MutationPart:
    source = part.field.source if part.field else None
    assert isinstance(source, MutationPart)  # noqa: S101 -- a response has these fields only
    return source


def nothing(c: Compiler, item: Selected) -> Text:
    """Return the answer of a mutation that has nothing to change."""
    kind: Any = item.field.ref.named if item.field else None
    assert isinstance(kind, ObjectType)  # noqa: S101 -- mutations answer objects
    parts = []
    for part in c.fields(item, kind):
        value = f'"{kind.name}"'
        if part.field is not None:
            value = "[]" if _source(part).returning else "0"
        parts.append(f'"{part.key}":{value}')
    return Text(item.key, "{" + ",".join(parts) + "}")
