"""Rows, aggregates and relationships as JSON, each level one subquery."""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.engine.compile.sql import Constant, Slot, ident, literal
from sandbox.engine.documents.coerce import Fields, Given
from sandbox.engine.documents.walk import Selected
from sandbox.engine.errors import EngineError
from sandbox.engine.schema.access import Access
from sandbox.engine.schema.sources import (
    AggregateOperation,
    AggregatePart,
    ColumnOut,
    ComputedOut,
    Count,
    RelationOut,
)
from sandbox.engine.tracking.tracked import ComputedField
from sandbox.engine.types import FLOAT, JSONB, PgType

from .calls import call
from .compiler import Compiler, all_of, joined, table_sql, typename
from .filters import computed_call, permit, row_of
from .jsonpath import json_path
from .order import tail
from .where import aggregate_call, boolean, column_sql, is_true, named_column, visible

# Longer names are cut by Postgres, so they cannot be column aliases.
LONGEST_NAME = 63
MOST_PAIRS = 50  # that json_build_object takes


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from: a table or a call, and what else they must satisfy."""

    access: Access
    sql: str
    alias: str
    joins: tuple[tuple[str, str], ...] = ()
    outer: str = ""

    def joined(self) -> str:
        return joined(self.joins, self.outer, self.alias) or "TRUE"


def table_source(c: Compiler, access: Access) -> Source:
    return Source(access, table_sql(access), c.alias())


def filtered(c: Compiler, source: Source, arguments: dict[str, Any]) -> str:
    """Return the condition: joins, what the role may see, what the client asks for."""
    c.joins = 0
    where: Fields | None = arguments.get("where")
    return all_of(
        [
            source.joined(),
            visible(c, source.access, source.alias),
            boolean(c, where, source.access, source.alias),
        ]
    )


def base(c: Compiler, source: Source, item: Selected, *, capped: bool = True) -> str:
    """Return a FROM item with the rows chosen, ordered and paged, under the source's alias."""
    try:
        head, end = tail(c, item.arguments, source.access, source.alias, capped=capped)
    except EngineError as error:
        if error.path == "args":
            error.path = f"{item.path}.args"
        raise
    where = filtered(c, source, item.arguments)
    plain = f"{source.sql} AS {source.alias} WHERE {where}"
    if not head and not end:
        return plain
    return f"(SELECT {head}{source.alias}.* FROM {plain} {end}) AS {source.alias}"


def rows(c: Compiler, source: Source, item: Selected) -> str:
    """Return a query whose one value is the JSON list of the rows."""
    row_type = item.field.ref.named if item.field else None
    selected = c.fields(item, row_type)
    return list_of(c, source, selected, base(c, source, item))


def list_of(c: Compiler, source: Source, selected: list[Selected], chosen: str) -> str:
    columns = pairs(c, source, selected)
    if _plain(columns):
        inner = c.alias()
        listed = ", ".join(f"{value} AS {ident(key)}" for key, value in columns)
        query = f"SELECT {listed} FROM {chosen}"
        return f"SELECT coalesce(json_agg({inner}), '[]'::json) FROM ({query}) AS {inner}"
    return f"SELECT coalesce(json_agg({json_object(columns)}), '[]'::json) FROM {chosen}"


def row(c: Compiler, source: Source, below: list[Selected], chosen: str) -> str:
    """Return a query whose one value is the JSON object of a row, or no row."""
    columns = pairs(c, source, below)
    if _plain(columns):
        inner = c.alias()
        listed = ", ".join(f"{value} AS {ident(key)}" for key, value in columns)
        return f"SELECT row_to_json({inner}) FROM (SELECT {listed} FROM {chosen}) AS {inner}"
    return f"SELECT {json_object(columns)} FROM {chosen}"


def _plain(columns: list[tuple[str, str]]) -> bool:
    return all(len(key.encode()) <= LONGEST_NAME for key, _ in columns)


def json_object(columns: list[tuple[str, str]]) -> str:
    """Build an object by function, where names are too long to be aliases or values are aggregates.

    A function takes so many pairs only: what is more is written behind them as text, since jsonb,
    which can be put together, would sort the keys and spell numbers anew.
    """
    listed = [f"{literal(key)}, {value}" for key, value in columns]
    parts = [
        f"json_build_object({', '.join(listed[at : at + MOST_PAIRS])})"
        for at in range(0, max(1, len(listed)), MOST_PAIRS)
    ]
    if len(parts) == 1:
        return parts[0]
    inside = " || ', ' || ".join(f"substr(left(({part})::text, -1), 2)" for part in parts)
    return f"('{{' || {inside} || '}}')::json"


def pairs(c: Compiler, source: Source, selected: list[Selected]) -> list[tuple[str, str]]:
    return [(item.key, _value(c, source, item)) for item in selected]


def _value(c: Compiler, source: Source, item: Selected) -> str:
    if item.field is None:
        return typename(c.schema.object("{}", source.access))
    meaning = item.field.source
    if isinstance(meaning, ColumnOut):
        return _column(c, source, item, meaning)
    if isinstance(meaning, RelationOut):
        return _relation(c, source, item, meaning)
    assert isinstance(meaning, ComputedOut)  # noqa: S101 -- rows have no fourth kind of field
    return _computed(c, source, item, meaning)


def _column(c: Compiler, source: Source, item: Selected, meaning: ColumnOut) -> str:
    name, kind = meaning.column.name, meaning.column.type
    plain = column_sql(c, source.access, source.alias, name, meaning.condition)
    path = item.arguments.get("path")
    if path is not None:
        return f"({plain}) #> {_json_path(c, path, item.path)}"
    return c.shown(plain, kind)


def _json_path(c: Compiler, path: Given, place: str) -> str:
    def encode(value: Any, where: str) -> str:
        return json_path(path.scalar.encode(value, where), f"{place}.args")

    bind = (
        Constant(encode(path.value, path.path))
        if path.index is None
        else Slot(path.index, encode, path.path)
    )
    return f"({c.statement.bind(bind)})::text[]"


def _relation(c: Compiler, source: Source, item: Selected, meaning: RelationOut) -> str:
    relationship = meaning.relationship
    target = c.schema.accesses[relationship.target]
    alias = c.alias()
    inner = Source(target, table_sql(target), alias, relationship.mapping, source.alias)
    return (
        f"({related(c, inner, item, is_array=relationship.is_array, aggregate=meaning.aggregate)})"
    )


def related(
    c: Compiler, inner: Source, item: Selected, *, is_array: bool, aggregate: bool = False
) -> str:
    if aggregate:
        return aggregated(c, inner, item)
    if is_array:
        return rows(c, inner, item)
    below = c.fields(item, item.field.ref.named if item.field else None)
    where = filtered(c, inner, {})
    return row(c, inner, below, f"{inner.sql} AS {inner.alias} WHERE {where} LIMIT 1")


def _computed(c: Compiler, source: Source, item: Selected, meaning: ComputedOut) -> str:
    computed = meaning.computed
    called = _computed_call(c, computed, item, source.alias)
    if computed.target is None:
        shown = c.shown(called, computed.function.type or JSONB)
        if meaning.condition is None:
            return shown
        allowed = permit(c, meaning.condition, source.access.table, source.alias)
        return f"CASE WHEN {allowed} THEN {shown} END"
    target = c.schema.accesses[computed.target]
    inner = Source(target, called, c.alias())
    return f"({related(c, inner, item, is_array=computed.function.returns_set)})"


def _computed_call(c: Compiler, computed: ComputedField, item: Selected, alias: str) -> str:
    if not computed.visible_arguments():
        return computed_call(c, computed, alias)
    fixed = {computed.table_argument: row_of(computed, alias)}
    return call(c, computed.function, item.arguments.get("args"), computed.session_argument, fixed)


def aggregated(c: Compiler, source: Source, item: Selected) -> str:
    """Return a query whose one value is an aggregate's JSON object."""
    kind: Any = item.field.ref.named if item.field else None
    parts = []
    chosen = _Chosen(c, source, item)
    for part in c.fields(item, kind):
        if part.field is None:
            parts.append((part.key, typename(kind)))
            continue
        meaning = part.field.source
        assert isinstance(meaning, AggregatePart)  # noqa: S101 -- it has these two fields only
        if meaning.nodes:
            below = c.fields(part, part.field.ref.named)
            query = list_of(c, source, below, chosen.rows(capped=True))
        else:
            values = _aggregate_values(c, source, part)
            query = f"SELECT {values} FROM {chosen.rows(capped=False)}"
        parts.append((part.key, f"({query})"))
    return f"SELECT {json_object(parts)}"


class _Chosen:
    """The rows that every part of an aggregate reads: written once, paid for each time."""

    def __init__(self, c: Compiler, source: Source, item: Selected) -> None:
        self.c, self.source, self.item = c, source, item
        self.known: dict[bool, tuple[str, int]] = {}

    def rows(self, *, capped: bool) -> str:
        work = self.c.walk.coercion
        if capped in self.known:
            text, cost = self.known[capped]
            work.spend(cost)
        else:
            before = work.steps
            text = base(self.c, self.source, self.item, capped=capped)
            self.known[capped] = text, before - work.steps
        return text


def _aggregate_values(c: Compiler, source: Source, part: Selected) -> str:
    kind: Any = part.field.ref.named if part.field else None
    columns = []
    for selected in c.fields(part, kind):
        if selected.field is None:
            columns.append((selected.key, typename(kind)))
        elif isinstance(selected.field.source, Count):
            columns.append((selected.key, _count(c, source, selected)))
        else:
            columns.append((selected.key, _operation(c, source, selected)))
    return json_object(columns)


def _count(c: Compiler, source: Source, item: Selected) -> str:
    names = item.arguments.get("columns") or []
    columns = [named_column(c, source.access, source.alias, name) for name in names]
    return aggregate_call("count", columns, distinct=is_true(item.arguments.get("distinct")))


def _operation(c: Compiler, source: Source, item: Selected) -> str:
    kind: Any = item.field.ref.named if item.field else None
    meaning = item.field.source if item.field else None
    assert isinstance(meaning, AggregateOperation)  # noqa: S101 -- the third kind of field
    columns = []
    for selected in c.fields(item, kind):
        if selected.field is None:
            columns.append((selected.key, typename(kind)))
            continue
        column = selected.field.source.column
        plain = named_column(c, source.access, source.alias, column.graphql)
        value = f"{meaning.function}({plain})"
        columns.append((selected.key, c.shown(value, _result_type(meaning.function, column.type))))
    return json_object(columns)


def _result_type(function: str, kind: PgType) -> PgType:
    """Return the type whose spelling the result follows: averages of int are plain numbers."""
    if function in ("max", "min", "sum") or kind.name not in ("int2", "int4", "float4"):
        return kind
    return FLOAT
