"""The straightforward evaluation: what a query answers, computed from rows in Python."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from functools import cmp_to_key
from typing import Any

from .conditions import Judge
from .documents import Field, Selection
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
from .values import INT, NUMERIC, Kind, Number, plain, shown, tagged
from .worlds import Relationship, Row, Rows, Table, World


class Unordered(list[Any]):
    """Rows in an order that nothing decides."""


@dataclass(frozen=True, slots=True)
class AnySpelling:
    """One of several equal numerics, 1.0 or 1.00: which of them is the greatest is open."""

    value: Decimal


class Evaluation:
    """Answers one role over the rows of a moment."""

    def __init__(self, world: World, rows: Rows, role: str) -> None:
        self.world = world
        self.role = role
        self.rows = rows
        self.judge = Judge(world, rows, role)

    def root(self, field: Field) -> Any:
        meaning = field.meaning
        assert field.below is not None
        if isinstance(meaning, ByKey):
            visible = self._visible(meaning.table)
            found = [row for row in visible if row["id"] == meaning.key]
            table = self.world.tables[meaning.table]
            return self.row(table, found[0], field.below) if found else None
        return self._of_rows(field, self._visible(meaning.table))

    def _visible(self, table: str) -> list[Row]:
        return [row for row in self.rows[table] if self.judge.visible(table, row)]

    def row(self, table: Table, row: Row, selection: Selection) -> dict[str, Any]:
        fields = [item for item in selection.fields if item.included]
        return {item.key: self._field(table, row, item) for item in fields}

    def _field(self, table: Table, row: Row, field: Field) -> Any:
        meaning = field.meaning
        if isinstance(meaning, ColumnOf):
            return shown(row[meaning.name], table.columns[meaning.name].kind)
        if isinstance(meaning, TypeName):
            return meaning.text
        related = self.judge.related(meaning.relationship, row)
        if isinstance(meaning, One):
            assert field.below is not None
            target = self.world.tables[meaning.relationship.target]
            return self.row(target, related[0], field.below) if related else None
        return self._of_rows(field, related)

    def _of_rows(self, field: Field, rows: list[Row]) -> Any:
        meaning = field.meaning
        assert isinstance(meaning, (Many, Summary))
        assert field.below is not None
        if isinstance(meaning, Many):
            return self._list(meaning, rows, field.below)
        found: dict[str, Any] = {}
        for part in field.below.fields:
            assert part.below is not None
            if isinstance(part.meaning, Nodes):
                found[part.key] = self._list(meaning, rows, part.below)
            elif isinstance(part.meaning, Figures):
                chosen = self.window(meaning.table, rows, meaning.window, capped=False)
                found[part.key] = self._figures(meaning.table, chosen, part.below)
        return found

    def _list(self, meaning: Many | Summary, rows: list[Row], below: Selection) -> list[Any]:
        table = self.world.tables[meaning.table]
        chosen = self.window(meaning.table, rows, meaning.window, capped=True)
        listed = [self.row(table, row, below) for row in chosen]
        return listed if meaning.window.total else Unordered(listed)

    def window(self, table: str, rows: list[Row], window: Window, *, capped: bool) -> list[Row]:
        """Return the rows of a window, in its order."""
        found = [row for row in rows if self.judge.chosen(table, row, window.where)]
        found = self._sorted(found, window.order)
        if window.distinct:
            first: dict[Any, Row] = {}
            for row in found:
                first.setdefault(tuple(tagged(row[name]) for name in window.distinct), row)
            found = list(first.values())
        start = window.offset or 0
        limits = [window.limit, self._cap(table) if capped else None]
        least = min((limit for limit in limits if limit is not None), default=len(found))
        return found[start : start + least]

    def _cap(self, table: str) -> int | None:
        select = self.world.grant(self.role, table).select
        return select.limit if select else None

    def _sorted(self, rows: list[Row], order: tuple[Order, ...]) -> list[Row]:
        for item in reversed(order):
            values = [self._ordered_by(row, item, item.path) for row in rows]
            pairs = sorted(
                zip(values, rows, strict=True), key=cmp_to_key(_comparing(item.direction))
            )
            rows = [row for _, row in pairs]
        return rows

    def _ordered_by(self, row: Row, order: Order, path: tuple[Relationship, ...]) -> Any:
        if not path:
            assert order.column is not None
            return row[order.column]
        item, *rest = path
        related = self.judge.related(item, row)
        if order.function is None or rest:
            return self._ordered_by(related[0], order, tuple(rest)) if related else None
        if order.column is None:
            return len(related)
        kind = self.world.kind(item.target, order.column)
        return aggregate(order.function, [other[order.column] for other in related], kind)

    def _figures(self, table: str, rows: list[Row], selection: Selection) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field in selection.fields:
            if isinstance(field.meaning, CountOf):
                found[field.key] = Number(str(_count(rows, field.meaning)))
                continue
            assert isinstance(field.meaning, FunctionOf)
            assert field.below is not None
            figures = {}
            for part in field.below.fields:
                kind = self.world.kind(table, part.name)
                values = [row[part.name] for row in rows]
                figures[part.key] = _figure(field.meaning.name, values, kind)
            found[field.key] = figures
        return found


def _comparing(direction: str) -> Any:
    descending = direction.startswith("desc")
    nulls_first = direction.endswith("first") or direction == "desc"

    def compare(one: tuple[Any, Row], other: tuple[Any, Row]) -> int:
        left, right = one[0], other[0]
        if left is None or right is None:
            if left is right:
                return 0
            return -1 if (left is None) is nulls_first else 1
        if left == right:
            return 0
        return -1 if (left < right) is not descending else 1

    return compare


def _figure(function: str, values: list[Any], kind: Kind) -> Any:
    value = aggregate(function, values, kind)
    if function in ("min", "max") and kind is NUMERIC and value is not None:
        spellings = {plain(item) for item in values if item == value}
        if len(spellings) > 1:
            return AnySpelling(value)
    return shown(value, NUMERIC if isinstance(value, Decimal) else kind)


def _count(rows: list[Row], meaning: CountOf) -> int:
    """A count of one column leaves nulls out; one of several counts every combination."""
    keys = [tuple(tagged(row[name]) for name in meaning.columns) for row in rows]
    if len(meaning.columns) == 1:
        keys = [key for key in keys if key != (None,)]
    return len(set(keys)) if meaning.distinct else len(keys)


def aggregate(function: str, values: list[Any], kind: Kind) -> Any:
    present = [value for value in values if value is not None]
    if not present:
        return None
    if function in ("min", "max"):
        return min(present) if function == "min" else max(present)
    with localcontext(prec=400):
        total = sum((Decimal(value) for value in present), Decimal())
        if function == "avg":
            return divided(total, len(present))
        return int(total) if kind is INT else total


def divided(total: Decimal, count: int) -> Decimal:
    """Divide as Postgres does: at least 16 significant digits, counted in groups of four."""
    weight, first = _leading(total)
    other_weight, other_first = _leading(Decimal(count))
    quotient = weight - other_weight - (first <= other_first)
    scale = max(16 - quotient * 4, -int(total.as_tuple().exponent), 0)
    return (total / count).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)


def _leading(value: Decimal) -> tuple[int, int]:
    """Return the weight and the value of the first group of four digits that is not zero."""
    if value == 0:
        return 0, 0
    weight = abs(value).adjusted() // 4
    return weight, int(abs(value).scaleb(-4 * weight))
