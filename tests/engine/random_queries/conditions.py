"""Boolean expressions: their three-valued truth, and how where and metadata write them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .documents import Typed
from .values import JSONB, TEXT, Kind, contains, has_key, sql_text, tagged
from .worlds import Relationship, Row, Rows, World

Truth = bool | None


@dataclass(frozen=True, slots=True)
class Session:
    """A session variable in a permission."""

    name: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text pattern, and the Python regular expression that means the same."""

    text: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Compare:
    """One column with one or more operators; `written` is how a client spells the operand."""

    column: str
    tests: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True, slots=True)
class Related:
    relationship: str
    inner: Any


@dataclass(frozen=True, slots=True)
class Counted:
    """How many related rows pass `inner`, compared with a number."""

    relationship: str
    inner: Any
    operator: str
    number: int


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Some:
    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Not:
    inner: Any


@dataclass(frozen=True, slots=True)
class Together:
    """Several keys of one object; each names another column or relationship."""

    parts: tuple[Any, ...]


def conjunction(truths: list[Truth]) -> Truth:
    if False in truths:
        return False
    return None if None in truths else True


def disjunction(truths: list[Truth]) -> Truth:
    if True in truths:
        return True
    return None if None in truths else False


def negation(truth: Truth) -> Truth:
    return None if truth is None else not truth


PATTERNS = {
    "_like": (re.DOTALL, True),
    "_ilike": (re.DOTALL | re.IGNORECASE, True),
    "_similar": (re.DOTALL, True),
    "_regex": (re.DOTALL, False),
    "_iregex": (re.DOTALL | re.IGNORECASE, False),
}
TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "_eq": lambda left, right: bool(tagged(left) == tagged(right)),
    "_neq": lambda left, right: bool(tagged(left) != tagged(right)),
    "_gt": operator.gt,
    "_gte": operator.ge,
    "_lt": operator.lt,
    "_lte": operator.le,
    "_contains": contains,
    "_contained_in": lambda left, right: contains(right, left),
    "_has_key": has_key,
    "_has_keys_any": lambda left, right: any(has_key(left, key) for key in right),
    "_has_keys_all": lambda left, right: all(has_key(left, key) for key in right),
}


def compared(name: str, left: Any, right: Any) -> Truth:
    """Evaluate one operator; `left` is the column's value."""
    if name == "_is_null":
        return (left is None) is right
    if name in ("_in", "_nin"):
        found = bool(right) and tagged(left) in [tagged(item) for item in right]
        truth = None if right and left is None else found
        return truth if name == "_in" else negation(truth)
    if left is None:
        return None
    return TESTS[name](left, right) if name in TESTS else _matches(name, left, right)


def _matches(name: str, left: str, right: Pattern) -> bool:
    positive = name.replace("_n", "_", 1)
    flags, whole = PATTERNS[positive]
    search = re.fullmatch if whole else re.search
    found = search(right.meaning, left, flags) is not None
    return found is (positive == name)


class Judge:
    """Evaluates conditions over rows; with a role, related rows must pass the role's filter."""

    def __init__(self, world: World, rows: Rows, role: str) -> None:
        self.world = world
        self.rows = rows
        self.role = role

    def visible(self, table: str, row: Row) -> bool:
        """Tell whether the role may read the row."""
        select = self.world.grant(self.role, table).select
        return select is not None and self.permits(table, row, select.filter)

    def permits(self, table: str, row: Row, condition: Any) -> bool:
        """Evaluate a condition of the metadata: no other permission counts in it."""
        return condition is None or self.truth(table, row, condition, free=True) is True

    def chosen(self, table: str, row: Row, condition: Any) -> bool:
        """Evaluate a condition of the client's."""
        return condition is None or self.truth(table, row, condition, free=False) is True

    def truth(self, table: str, row: Row, condition: Any, *, free: bool) -> Truth:
        if isinstance(condition, Compare):
            value = row[condition.column]
            tests = condition.tests
            return conjunction([compared(op, value, self._operand(at)) for op, at, _ in tests])
        if isinstance(condition, Not):
            return negation(self.truth(table, row, condition.inner, free=free))
        if isinstance(condition, (All, Some, Together)):
            parts = [self.truth(table, row, part, free=free) for part in condition.parts]
            return disjunction(parts) if isinstance(condition, Some) else conjunction(parts)
        return self._of_relation(table, row, condition, free=free)

    def _of_relation(self, table: str, row: Row, condition: Any, *, free: bool) -> Truth:
        relationship = self.world.tables[table].relationships[condition.relationship]
        passed = [
            other
            for other in self.related(relationship, row, free=free)
            if condition.inner is None
            or self.truth(relationship.target, other, condition.inner, free=free)
        ]
        if isinstance(condition, Counted):
            return compared(condition.operator, len(passed), condition.number)
        return bool(passed)

    def related(self, relationship: Relationship, row: Row, *, free: bool = False) -> list[Row]:
        own = row[relationship.own]
        return [
            other
            for other in self.rows[relationship.target]
            if own is not None
            and other[relationship.other] == own
            and (free or self.visible(relationship.target, other))
        ]

    def _operand(self, value: Any) -> Any:
        return self.world.session[value.name][1] if isinstance(value, Session) else value


def written(world: World, table: str, condition: Any) -> Any:
    """Return the condition as a where has it: a tree of JSON with Typed values."""
    if condition is None:
        return {}
    if isinstance(condition, Compare):
        kind = world.kind(table, condition.column)
        return {condition.column: {op: _typed(op, kind, say) for op, _, say in condition.tests}}
    if isinstance(condition, (Related, Counted)):
        return _written_relation(world, table, condition)
    if isinstance(condition, Not):
        return {"_not": written(world, table, condition.inner)}
    parts = [written(world, table, part) for part in condition.parts]
    if isinstance(condition, Together):
        return _merged(parts)
    key = "_and" if isinstance(condition, All) else "_or"
    return {key: Typed(f"[{table}_bool_exp!]", parts)}


def _written_relation(world: World, table: str, condition: Related | Counted) -> dict[str, Any]:
    target = world.tables[table].relationships[condition.relationship].target
    inner = Typed(f"{target}_bool_exp", written(world, target, condition.inner))
    if isinstance(condition, Related):
        return {condition.relationship: inner}
    predicate = {condition.operator: Typed("Int", Decimal(condition.number))}
    count = {"predicate": predicate} | ({"filter": inner} if condition.inner else {})
    return {f"{condition.relationship}_aggregate": {"count": count}}


def _merged(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for item in objects for key, value in item.items()}


def _typed(name: str, kind: Kind, say: Any) -> Typed:
    if name == "_is_null":
        return Typed("Boolean", say)
    if name in ("_in", "_nin"):
        return Typed(f"[{kind.graphql}!]", say)
    if name in ("_has_keys_any", "_has_keys_all"):
        return Typed("[String!]", say)
    return Typed(TEXT.graphql if name == "_has_key" else kind.graphql, say)


def in_metadata(world: World, table: str, condition: Any) -> dict[str, Any]:
    """Return the condition as a permission has it."""
    if condition is None:
        return {}
    if isinstance(condition, Compare):
        kind = world.kind(table, condition.column)
        return {condition.column: {op: _constant(kind, at) for op, at, _ in condition.tests}}
    if isinstance(condition, Not):
        return {"_not": in_metadata(world, table, condition.inner)}
    if isinstance(condition, Together):
        return _merged([in_metadata(world, table, part) for part in condition.parts])
    if isinstance(condition, Related):
        target = world.tables[table].relationships[condition.relationship].target
        return {condition.relationship: in_metadata(world, target, condition.inner)}
    key = "_and" if isinstance(condition, All) else "_or"
    return {key: [in_metadata(world, table, part) for part in condition.parts]}


def _constant(kind: Kind, value: Any) -> Any:
    if isinstance(value, Session):
        return value.name
    if isinstance(value, Pattern):
        return value.text
    if isinstance(value, list):
        return [_constant(kind, item) for item in value]
    if value is None or isinstance(value, (bool, str)) or kind is JSONB:
        return value
    return sql_text(value, kind)
