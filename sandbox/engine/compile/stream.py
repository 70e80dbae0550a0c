"""Streams: the next rows past a cursor, and where the cursor stands after them."""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from typing import Any

from sandbox.engine.compile.sql import Bind, Constant, Cursor, Slot, cast
from sandbox.engine.compile.steps import Stream
from sandbox.engine.documents.coerce import Fields, Given
from sandbox.engine.documents.walk import Selected
from sandbox.engine.errors import invalid
from sandbox.engine.schema.sources import ColumnIn, StreamRoot
from sandbox.engine.types import PgType

from .compiler import Compiler, all_of
from .order import tail
from .select import filtered, row, table_source
from .where import column_sql


def stream(c: Compiler, item: Selected, root: StreamRoot) -> Stream:
    """Rows are read in the cursor's order; the last one's value is the next cursor."""
    access, source = root.access, table_source(c, root.access)
    meaning, value, descends = _cursor(item)
    kind = meaning.column.type
    bind = Cursor(_bind(value, kind))
    start = cast(c.statement.bind(bind), kind)
    left = column_sql(c, access, source.alias, meaning.column.name, meaning.condition)
    comparison, way = ("<", "DESC") if descends else (">", "ASC")
    where = all_of([filtered(c, source, item.arguments), f"{left} {comparison} {start}"])
    below = c.fields(item, item.field.ref.named if item.field else None)
    shown = row(c, source, below, f"(SELECT) AS {c.alias()}")
    batch = {"limit": item.arguments["batch_size"]}
    _, limit = tail(c, batch, access, source.alias, capped=True)
    outer = c.alias()
    inner = (
        f'SELECT ({shown}) AS "row", ({left})::text AS "cursor" '
        f"FROM {source.sql} AS {source.alias} WHERE {where} ORDER BY {left} {way} {limit}"
    )
    sql = (
        f'SELECT json_agg({outer}."row") AS "value", '
        f'(array_agg({outer}."cursor"))[count(*)] AS "cursor" FROM ({inner}) AS {outer}'
    )
    return Stream(item.key, sql, tuple(c.statement.binds), c.statement.binds.index(bind))


def _cursor(item: Selected) -> tuple[ColumnIn, Any, bool]:
    """Return the one column, where it starts, and whether it goes down."""
    found = []
    for given in item.arguments["cursor"]:
        if isinstance(given, Fields):
            initial, descends = given.get("initial_value"), given.get("ordering") == "DESC"
            for name, value in initial.items.items():
                found.append((initial.type.fields[name].source, value, descends))
    if not found:
        raise invalid("one streaming column field is expected", f"{item.path}.args")
    if len(found) > 1:
        raise invalid("multiple column cursors are not supported yet", f"{item.path}.args")
    return found[0]


def _bind(value: Any, kind: PgType) -> Bind:
    if not isinstance(value, Given):
        return Constant(value)  # a name of an enum table, or null
    encode = kind.encoder if value.many else value.scalar.encode
    if value.index is None:
        return Constant(encode(value.value, value.path))
    return Slot(value.index, encode, value.path)
