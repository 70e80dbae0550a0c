"""What the fields of the schema stand for in SQL. The compiler asks nothing else of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.engine.tracking.permissions import Filter
from sandbox.engine.tracking.tracked import (
    ComputedField,
    Relationship,
    TrackedColumn,
    TrackedFunction,
)
from sandbox.engine.types import Operator

if TYPE_CHECKING:
    from .access import Access


@dataclass(frozen=True, slots=True)
class ColumnOut:
    """A selected column; `condition` hides the value on rows that do not pass it."""

    column: TrackedColumn
    condition: Filter | None


@dataclass(frozen=True, slots=True)
class ComputedOut:
    """A computed field: a value, or rows of a table when it has a target."""

    computed: ComputedField
    condition: Filter | None


@dataclass(frozen=True, slots=True)
class RelationOut:
    relationship: Relationship
    aggregate: bool = False


@dataclass(frozen=True, slots=True)
class AggregatePart:
    """`aggregate` or `nodes` of a table's aggregate."""

    access: Access
    nodes: bool


@dataclass(frozen=True, slots=True)
class Count:
    pass


@dataclass(frozen=True, slots=True)
class AggregateOperation:
    """`sum`, `avg` and so on; the selected columns are below it."""

    function: str


@dataclass(frozen=True, slots=True)
class MutationPart:
    """`affected_rows` or `returning` of a mutation."""

    access: Access
    returning: bool


@dataclass(frozen=True, slots=True)
class SelectRoot:
    """`kind` is list, by_pk or aggregate."""

    access: Access
    kind: str


@dataclass(frozen=True, slots=True)
class StreamRoot:
    """Rows past a cursor, in the order of the cursor's column."""

    access: Access


@dataclass(frozen=True, slots=True)
class FunctionRoot:
    access: Access
    function: TrackedFunction
    aggregate: bool


@dataclass(frozen=True, slots=True)
class InsertRoot:
    access: Access
    one: bool


@dataclass(frozen=True, slots=True)
class UpdateRoot:
    """`kind` is where, by_pk or many."""

    access: Access
    kind: str


@dataclass(frozen=True, slots=True)
class DeleteRoot:
    access: Access
    by_pk: bool


@dataclass(frozen=True, slots=True)
class ColumnIn:
    column: TrackedColumn
    condition: Filter | None = None


@dataclass(frozen=True, slots=True)
class ComputedIn:
    """A computed field to compare or to order by; null on rows that do not pass `condition`."""

    computed: ComputedField
    condition: Filter | None = None


@dataclass(frozen=True, slots=True)
class RelationIn:
    """A relationship in a where or an order_by; an aggregate over it when `aggregate`."""

    relationship: Relationship
    aggregate: bool = False


@dataclass(frozen=True, slots=True)
class Logical:
    """_and, _or, _not."""

    name: str


@dataclass(frozen=True, slots=True)
class Comparison:
    operator: Operator


@dataclass(frozen=True, slots=True)
class Predicate:
    """count, bool_and or bool_or in an aggregate's boolean expression."""

    function: str
    access: Access


@dataclass(frozen=True, slots=True)
class Introspected:
    """A field of the introspection, which says something of the schema itself."""
