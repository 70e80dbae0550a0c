"""From a root field to the step that brings its value."""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sandbox.engine.compile.steps import Sql, Step, Text
from sandbox.engine.documents.walk import Selected, Walk
from sandbox.engine.schema.action_log import LogRoot, QueuedRoot
from sandbox.engine.schema.actions import ActionRoot
from sandbox.engine.schema.sources import (
    DeleteRoot,
    FunctionRoot,
    InsertRoot,
    Introspected,
    SelectRoot,
    StreamRoot,
    UpdateRoot,
)
from sandbox.engine.values import to_json

from .action import action
from .action_log import log, queued
from .calls import call
from .compiler import Compiler, all_of
from .insert import insert
from .introspection import introspection
from .mutation import SESSION, session
from .select import Source, aggregated, filtered, row, rows, table_source
from .stream import stream
from .update import delete, update
from .where import named_column

# An aggregate reads the rows of a function more than once, but the function must run once only.
CALLED = '"_called"'


def compile_root(walk: Walk, item: Selected) -> Step:
    """Return the step of one root field of the operation."""
    if item.field is None:
        return Text(item.key, f'"{item.parent}"')
    if item.field.source is None:
        return Text(item.key, to_json(item.field.description))
    return COMPILERS[type(item.field.source)](Compiler(walk), item, item.field.source)


def _select(c: Compiler, item: Selected, root: SelectRoot) -> Sql:
    source = table_source(c, root.access)
    if root.kind == "aggregate":
        return _step(c, item, aggregated(c, source, item))
    if root.kind == "list":
        return _step(c, item, rows(c, source, item))
    below = c.fields(item, item.field.ref.named if item.field else None)
    key = _key(c, source, item.arguments)
    where = all_of([filtered(c, source, {}), key])
    return _step(c, item, row(c, source, below, f"{source.sql} AS {source.alias} WHERE {where}"))


def _key(c: Compiler, source: Source, values: dict[str, Any]) -> str:
    """Return the condition of a primary key, as far as the role sees its columns on each row."""
    access = source.access
    return " AND ".join(
        f"{named_column(c, access, source.alias, name)} = "
        + c.value(value, access.table.columns[name].type)
        for name, value in values.items()
    )


def _function(c: Compiler, item: Selected, root: FunctionRoot) -> Sql:
    tracked = root.function
    given = item.arguments.get("args")
    called = call(c, tracked.function, given, tracked.session_argument, {})
    alias = c.alias()
    if not tracked.is_mutation:
        called = f"SELECT {alias}.* FROM {called} AS {alias}{_some_row(root, alias)}"
        if root.aggregate:
            with_ = f"WITH {CALLED} AS MATERIALIZED ({called})"
            step = _step(c, item, f"{with_} {_called(c, item, root, CALLED)}")
        else:
            step = _step(c, item, _called(c, item, root, f"({called})"))
        # Whatever it is exposed as, a volatile function may change something at each call.
        return replace(step, mutation=tracked.function.volatile)
    # The function waits for the session: LATERAL and OFFSET 0 keep the planner from swapping them.
    gate = f'{SESSION}."value" IS NOT NULL'
    inner = f"SELECT {alias}.* FROM {called} AS {alias} WHERE {gate}"
    if not tracked.function.returns_set:
        inner += f" AND NOT ({alias} IS NULL)"
    outer = c.alias()
    gated = f"SELECT {outer}.* FROM {SESSION}, LATERAL ({inner} OFFSET 0) AS {outer}"
    if root.aggregate:
        with_ = f"WITH {session(c)}, {CALLED} AS MATERIALIZED ({gated})"
        sql = f"{with_} {_called(c, item, root, CALLED)}"
    else:
        sql = f"WITH {session(c)} {_called(c, item, root, f'({gated})')}"
    return Sql(item.key, sql, tuple(c.statement.binds), mutation=True)


def _some_row(root: FunctionRoot, alias: str) -> str:
    return "" if root.function.function.returns_set else f" WHERE NOT ({alias} IS NULL)"


def _called(c: Compiler, item: Selected, root: FunctionRoot, called: str) -> str:
    source = Source(root.access, called, c.alias())
    if root.aggregate:
        return aggregated(c, source, item)
    if root.function.function.returns_set:
        return rows(c, source, item)
    below = c.fields(item, item.field.ref.named if item.field else None)
    where = filtered(c, source, item.arguments)
    return row(c, source, below, f"{source.sql} AS {source.alias} WHERE {where}")


def _step(c: Compiler, item: Selected, sql: str) -> Sql:
    return Sql(item.key, sql, tuple(c.statement.binds))


COMPILERS: dict[type, Callable[[Compiler, Selected, Any], Step]] = {
    SelectRoot: _select,
    FunctionRoot: _function,
    StreamRoot: stream,
    InsertRoot: insert,
    UpdateRoot: update,
    DeleteRoot: delete,
    ActionRoot: action,
    QueuedRoot: queued,
    LogRoot: log,
    Introspected: introspection,
}
