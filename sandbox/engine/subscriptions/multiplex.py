"""One statement for many: a plan's statement, run for each row of a table of arguments."""

# ruff: noqa: S608 -- this module writes SQL: all of it comes from the compiler, values are bound

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sandbox.engine.compile.steps import Sql, Stream
from sandbox.engine.execution.execute import Call, Executor
from sandbox.engine.execution.plan import Plan
from sandbox.engine.execution.state import State
from sandbox.engine.values import array_encoder, encode_text

from .cohorts import Arguments

# Quoted text is matched first, so that a dollar inside of it is no parameter.
TOKENS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\d+)""")
ARRAY = array_encoder(encode_text)

# The JSON of `data` (None when there is nothing to send) and, of a stream, the cursor after it.
Row = tuple[str | None, str | None]


def arguments_of(step: Sql | Stream, call: Call) -> Arguments:
    """Bind a step's arguments, lists as array literals: unnest would flatten lists of lists."""
    found = [bind(call.leaves, call.session) for bind in step.binds]
    return tuple(ARRAY(item, "$") if isinstance(item, list) else item for item in found)


def statement(step: Sql | Stream) -> str:
    """Rewrite a statement so that its parameters are arrays, one item for each watcher."""

    def replaced(match: re.Match[str]) -> str:
        return match[0] if match[1] is None else f'"_subs"."a{match[1]}"'

    inner = TOKENS.sub(replaced, step.sql)
    names = ['"id"', *(f'"a{at}"' for at in range(1, len(step.binds) + 1))]
    arrays = ", ".join(f"${at}::text[]" for at in range(1, len(names) + 1))
    columns = ['"value"', '"cursor"'] if isinstance(step, Stream) else ['"value"']
    shown = ", ".join(f'"_sub".{column}' for column in columns)
    return (
        f'SELECT "_subs"."id", {shown} FROM unnest({arrays}) AS "_subs"({", ".join(names)}) '
        f'LEFT JOIN LATERAL ({inner}) AS "_sub"({", ".join(columns)}) ON TRUE'
    )


class Multiplexed:
    """Answers all argument lists at once."""

    def __init__(self, executor: Executor, plan: Plan, step: Sql | Stream) -> None:
        self.executor = executor
        self.plan = plan
        self.step = step
        self.sql = statement(step)

    async def rows(self, batch: Sequence[Arguments]) -> list[Row]:
        numbers = [str(at) for at in range(len(batch))]
        columns: list[list[Any]] = [numbers]
        columns += [list(column) for column in zip(*batch, strict=True)]
        found = await self.executor.fetch(self.sql, columns)
        by_number = {row[0]: row for row in found}
        return [self._row(by_number[number]) for number in numbers]

    def _row(self, found: Any) -> Row:
        value = found["value"]
        if isinstance(self.step, Stream):
            return (None, None) if value is None else (self.plan.joined([value]), found["cursor"])
        return self.plan.joined([self.step.empty if value is None else value]), None


class Alone:
    """Answers what no statement can answer for several: each time by the whole plan."""

    def __init__(self, executor: Executor, state: State, plan: Plan, call: Call) -> None:
        self.executor = executor
        self.state = state
        self.plan = plan
        self.call = call

    async def rows(self, batch: Sequence[Arguments]) -> list[Row]:
        data = await self.executor.run(self.state, self.plan, self.call)
        return [(data, None)] * len(batch)
