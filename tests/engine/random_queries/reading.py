"""Strategies of queries, each field with its meaning for the evaluation."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from . import choices
from .choices import Draw, flag, pick, subset
from .conditions import written
from .documents import Choice, Field, Selection, Typed
from .meanings import (
    ByKey,
    ColumnOf,
    CountOf,
    Figures,
    FunctionOf,
    Many,
    Nodes,
    One,
    Order,
    Summary,
    TypeName,
    Window,
)
from .values import JSONB
from .worlds import Relationship, Select, Table, World

DIRECTIONS = (
    "asc",
    "asc",
    "desc",
    "desc",
    "asc_nulls_first",
    "asc_nulls_last",
    "desc_nulls_first",
    "desc_nulls_last",
)
WRAPS = ("plain", "plain", "inline", "bare", "named")


class Reader:
    """Draws what one role may ask of one world."""

    def __init__(self, draw: Draw, world: World, role: str) -> None:
        self.draw = draw
        self.world = world
        self.role = role

    def readable(self) -> list[Table]:
        tables = self.world.tables.values()
        return [item for item in tables if self.world.grant(self.role, item.name).select]

    def root(self) -> Field:
        table = pick(self.draw, self.readable())
        select = self._select(table)
        shape = pick(self.draw, ("rows", "rows", "aggregate", "key"))
        if shape == "key" and "id" in select.columns:
            return self._by_key(table)
        if shape == "aggregate" and select.aggregations:
            return self._summary(table, None, f"{table.name}_aggregate", 2)
        return self._many(table, None, table.name, 3)

    def _select(self, table: Table) -> Select:
        select = self.world.grant(self.role, table.name).select
        assert select is not None
        return select

    def _by_key(self, table: Table) -> Field:
        kind = table.columns["id"].kind
        key = choices.value(self.draw, self.world, table, "id")
        said = Typed(f"{kind.graphql}!", choices.spelled(self.draw, key, kind))
        name = f"{table.name}_by_pk"
        return Field(name, None, {"id": said}, self.selection(table, 3), ByKey(table.name, key))

    def selection(self, table: Table, depth: int) -> Selection:
        """Draw fields of a row, under distinct keys."""
        select = self._select(table)
        names = subset(self.draw, select.columns, least=1, most=4)
        fields = [Field(name, meaning=ColumnOf(name)) for name in names]
        if pick(self.draw, range(5)) == 0:
            fields.append(Field("__typename", meaning=TypeName(table.name)))
        relations = [
            item
            for item in table.relationships.values()
            if depth and self.world.grant(self.role, item.target).select
        ]
        followed = subset(self.draw, relations, least=0, most=2)
        fields += [self._relation(item, depth - 1) for item in followed]
        if pick(self.draw, range(4)) == 0:
            again = pick(self.draw, names)
            fields.append(Field(again, "once_more", meaning=ColumnOf(again)))
        for at, item in enumerate(fields):
            item.included = pick(self.draw, range(12)) > 0 or at == 0
            if item.alias is None and pick(self.draw, range(6)) == 0:
                item.alias = f"as{at}"
        return Selection(table.name, fields, pick(self.draw, WRAPS) if len(fields) > 1 else "plain")

    def _relation(self, item: Relationship, depth: int) -> Field:
        target = self.world.tables[item.target]
        if not item.is_array:
            return Field(item.name, below=self.selection(target, depth), meaning=One(item))
        if self._select(target).aggregations and pick(self.draw, range(3)) == 0:
            return self._summary(target, item, f"{item.name}_aggregate", depth)
        return self._many(target, item, item.name, depth)

    def _many(self, table: Table, item: Relationship | None, name: str, depth: int) -> Field:
        window, arguments = self._window(table)
        below = self.selection(table, depth)
        return Field(name, None, arguments, below, Many(table.name, item, window))

    def _window(self, table: Table) -> tuple[Window, dict[str, Typed]]:
        select = self._select(table)
        has_key = "id" in select.columns
        paged = has_key and flag(self.draw)
        total = paged or select.limit is not None
        where = None
        if flag(self.draw):
            where = choices.where(self.draw, self.world, self.role, table)
        distinct = self._distinct(table) if paged else ()
        order = self._order(table, distinct, total=total) if total or flag(self.draw) else ()
        limit = pick(self.draw, (None, None, 0, 1, 2, 3)) if paged else None
        offset = pick(self.draw, (None, None, 0, 1)) if paged else None
        window = Window(where, order, distinct, limit, offset, total)
        return window, self._arguments(table, window)

    def _arguments(self, table: Table, window: Window) -> dict[str, Typed]:
        found = {}
        if window.where is not None or flag(self.draw):
            tree = written(self.world, table.name, window.where)
            found["where"] = Typed(f"{table.name}_bool_exp", tree)
        if window.order:
            listed = [_order_object(item) for item in window.order]
            single = len(listed) == 1 and flag(self.draw)
            found["order_by"] = Typed(f"[{table.name}_order_by!]", listed[0] if single else listed)
        if window.distinct:
            names = [Choice(name) for name in window.distinct]
            found["distinct_on"] = Typed(f"[{table.name}_select_column!]", names)
        for name, number in (("limit", window.limit), ("offset", window.offset)):
            if number is not None:
                found[name] = Typed("Int", Decimal(number))
        return found

    def _distinct(self, table: Table) -> tuple[str, ...]:
        kinds = table.columns
        able = [name for name in self._select(table).columns if kinds[name].kind is not JSONB]
        return tuple(subset(self.draw, able, least=0, most=2)) if flag(self.draw) else ()

    def _order(self, table: Table, distinct: tuple[str, ...], *, total: bool) -> tuple[Order, ...]:
        found = [Order((), name, pick(self.draw, DIRECTIONS)) for name in distinct]
        drawn = [self._one_order(table, 2) for _ in range(pick(self.draw, (0, 1, 1, 2)))]
        found += [order for order in drawn if order is not None]
        if total:
            found.append(Order((), "id", pick(self.draw, DIRECTIONS)))
        return tuple(found)

    def _one_order(self, table: Table, depth: int) -> Order | None:
        """Draw one key of the order; a table may have no column that Python can order."""
        select = self._select(table)
        relations = [
            item
            for item in table.relationships.values()
            if depth and self.world.grant(self.role, item.target).select
        ]
        item = pick(self.draw, relations) if relations and flag(self.draw) else None
        able = [name for name in select.columns if table.columns[name].kind is not JSONB]
        if item is not None:
            target = self.world.tables[item.target]
            if not item.is_array:
                inner = self._one_order(target, depth - 1)
                return inner and Order(
                    (item, *inner.path), inner.column, inner.direction, inner.function
                )
            if self._select(target).aggregations:
                return self._aggregate_order(item, target)
        if not able:
            return None
        return Order((), pick(self.draw, able), pick(self.draw, DIRECTIONS))

    def _aggregate_order(self, item: Relationship, target: Table) -> Order:
        direction = pick(self.draw, DIRECTIONS)
        names = self._select(target).columns
        functions = [name for name in ("sum", "avg", "min", "max") if able(target, names, name)]
        function = pick(self.draw, ["count", *functions])
        if function == "count":
            return Order((item,), None, direction, "count")
        return Order((item,), pick(self.draw, able(target, names, function)), direction, function)

    def _summary(self, table: Table, item: Relationship | None, name: str, depth: int) -> Field:
        window, arguments = self._window(table)
        fields = []
        if flag(self.draw):
            below = self.selection(table, depth)
            fields.append(Field("nodes", None, {}, below, Nodes()))
        if not fields or flag(self.draw):
            fields.append(self._figures(table))
        below = Selection(f"{table.name}_aggregate", fields)
        return Field(name, None, arguments, below, Summary(table.name, item, window))

    def _figures(self, table: Table) -> Field:
        fields = [self._count(table)] if flag(self.draw) else []
        names = self._select(table).columns
        for function in ("sum", "avg", "min", "max"):
            columns = able(table, names, function)
            if columns and flag(self.draw):
                chosen = subset(self.draw, columns, least=1, most=2)
                inner = [Field(name, meaning=ColumnOf(name)) for name in chosen]
                below = Selection(f"{table.name}_{function}_fields", inner)
                fields.append(Field(function, None, {}, below, FunctionOf(function)))
        fields = fields or [self._count(table)]
        below = Selection(f"{table.name}_aggregate_fields", fields)
        return Field("aggregate", None, {}, below, Figures())

    def _count(self, table: Table) -> Field:
        names = subset(self.draw, self._select(table).columns, least=flag(self.draw), most=2)
        arguments, distinct = {}, bool(names) and flag(self.draw)
        if names:
            listed = [Choice(name) for name in names]
            arguments["columns"] = Typed(f"[{table.name}_select_column!]", listed)
            arguments["distinct"] = Typed("Boolean", distinct)
        return Field("count", None, arguments, None, CountOf(tuple(names), distinct))


def able(table: Table, names: tuple[str, ...], function: str) -> list[str]:
    """Return the columns that an aggregate function takes."""
    kinds = {name: table.columns[name].kind for name in names}
    if function in ("sum", "avg"):
        return [name for name, kind in kinds.items() if kind.is_numeric]
    return [name for name, kind in kinds.items() if kind.has_extremes]


def _order_object(order: Order) -> dict[str, Any]:
    value: Any = Typed("order_by", Choice(order.direction))
    if order.function is None:
        value = {order.column: value}
    elif order.column is None:
        value = {"count": value}
    else:
        value = {order.function: {order.column: value}}
    for at, item in reversed(list(enumerate(order.path))):
        last = at == len(order.path) - 1
        suffix = "_aggregate" if order.function is not None and last else ""
        value = {item.name + suffix: value}
    found: dict[str, Any] = value
    return found
