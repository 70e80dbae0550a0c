"""What the fields of a query mean, for the evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .worlds import Relationship


@dataclass(frozen=True, slots=True)
class ColumnOf:
    name: str


@dataclass(frozen=True, slots=True)
class TypeName:
    text: str


@dataclass(frozen=True, slots=True)
class One:
    relationship: Relationship


@dataclass(frozen=True, slots=True)
class Order:
    """A column (or with `function` an aggregate) at the end of a path of relationships."""

    path: tuple[Relationship, ...]
    column: str | None
    direction: str
    function: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows, in which order. `total` says that the order leaves nothing open."""

    where: Any
    order: tuple[Order, ...]
    distinct: tuple[str, ...]
    limit: int | None
    offset: int | None
    total: bool


@dataclass(frozen=True, slots=True)
class Many:
    """Rows of a table, or the related ones."""

    table: str
    relationship: Relationship | None
    window: Window


@dataclass(frozen=True, slots=True)
class Summary:
    table: str
    relationship: Relationship | None
    window: Window


@dataclass(frozen=True, slots=True)
class Nodes:
    pass


@dataclass(frozen=True, slots=True)
class Figures:
    pass


@dataclass(frozen=True, slots=True)
class CountOf:
    columns: tuple[str, ...]
    distinct: bool


@dataclass(frozen=True, slots=True)
class FunctionOf:
    name: str


@dataclass(frozen=True, slots=True)
class ByKey:
    table: str
    key: Any
