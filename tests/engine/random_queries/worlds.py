"""Random databases: tables, rows, relationships, and what two roles may do with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .values import Kind

ROLES = ("admin", "user")
Row = dict[str, Any]
Rows = dict[str, list[Row]]


@dataclass(frozen=True, slots=True)
class Column:
    """`default` is a value, None for no default; `references` names a table by its id."""

    name: str
    kind: Kind
    nullable: bool
    references: str | None = None
    default: Any = None


@dataclass(frozen=True, slots=True)
class Relationship:
    """Rows of the table `target` whose column `other` equals this row's column `own`."""

    name: str
    target: str
    own: str
    other: str
    is_array: bool


@dataclass(slots=True)
class Table:
    """`id` is the primary key; `unique` may name the columns of a second key."""

    name: str
    columns: dict[str, Column]
    unique: tuple[str, ...] = ()
    relationships: dict[str, Relationship] = field(default_factory=dict)

    @property
    def constraints(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {f"{self.name}_pkey": ("id",)}
        if self.unique:
            found[f"{self.name}_second_key"] = self.unique
        return found


@dataclass(frozen=True, slots=True)
class Select:
    columns: tuple[str, ...]
    filter: Any
    limit: int | None
    aggregations: bool


@dataclass(frozen=True, slots=True)
class Write:
    """`check` None means that nothing is checked."""

    columns: tuple[str, ...] = ()
    filter: Any = None
    check: Any = None
    presets: tuple[tuple[str, Any], ...] = ()


@dataclass(slots=True)
class Grants:
    """What one role may do with one table; None where it may not."""

    select: Select | None = None
    insert: Write | None = None
    update: Write | None = None
    delete: Write | None = None


@dataclass(slots=True)
class World:
    """`session` has the session variables of the role user, by name."""

    tables: dict[str, Table]
    rows: Rows
    grants: dict[tuple[str, str], Grants]
    session: dict[str, tuple[Kind, Any]]

    def grant(self, role: str, table: str) -> Grants:
        return self.grants[role, table]

    def kind(self, table: str, column: str) -> Kind:
        return self.tables[table].columns[column].kind
