"""What the metadata tracks, joined with the catalog; role-independent.

Whatever does not fit the database is listed as inconsistent and left out; the rest is served.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandbox.engine.types import PgType

from .catalog import Column, Function, Name, Table
from .naming import PLAIN, Naming

ROOT_PATTERNS = {
    "select": "{}",
    "select_by_pk": "{}_by_pk",
    "select_aggregate": "{}_aggregate",
    "select_stream": "{}_stream",
    "insert": "insert_{}",
    "insert_one": "insert_{}_one",
    "update": "update_{}",
    "update_by_pk": "update_{}_by_pk",
    "update_many": "update_{}_many",
    "delete": "delete_{}",
    "delete_by_pk": "delete_{}_by_pk",
}
PERMISSION_KINDS = ("select", "insert", "update", "delete")


@dataclass(frozen=True, slots=True)
class Root:
    """A root field's name, and the description the metadata gives it (None: the default one).

    `taken` says that another field has the name already: this one is not served.
    """

    name: str
    comment: str | None = None
    taken: bool = False


@dataclass(frozen=True, slots=True)
class TrackedColumn:
    """A column under its GraphQL name; `enum` is the GraphQL enum of an enum table it points at."""

    graphql: str
    column: Column
    comment: str | None
    enum: Name | None = None

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def type(self) -> PgType:
        return self.column.type


@dataclass(frozen=True, slots=True)
class Relationship:
    """`mapping` pairs local with remote SQL column names.

    `is_child` says that a related row is inserted after the row itself, whose key it takes.
    """

    name: str
    is_array: bool
    target: Name
    mapping: tuple[tuple[str, str], ...]
    not_null: bool
    comment: str | None = None
    is_child: bool = False


@dataclass(frozen=True, slots=True)
class ComputedField:
    """A function of a row. `target` is set when it returns rows of a tracked table."""

    name: str
    function: Function
    table_argument: str
    session_argument: str | None
    target: Name | None
    comment: str | None

    def visible_arguments(self) -> list[str]:
        hidden = {self.table_argument, self.session_argument}
        return [item.name for item in self.function.arguments if item.name not in hidden]


@dataclass(slots=True)
class TrackedTable:
    table: Table
    base: str
    roots: dict[str, Root]
    columns: dict[str, TrackedColumn]
    comment: str | None
    metadata: dict[str, Any]
    enum_values: list[tuple[str, str | None]] | None = None
    relationships: dict[str, Relationship] = field(default_factory=dict)
    computed: dict[str, ComputedField] = field(default_factory=dict)
    permissions: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    naming: Naming = PLAIN

    @property
    def name(self) -> Name:
        return self.table.name

    def type_name(self, pattern: str) -> str:
        """Name one of the table's types; the pattern has {} where the table's name stands."""
        return self.naming.type(pattern.format(self.base))


@dataclass(frozen=True, slots=True)
class TrackedFunction:
    function: Function
    table: Name
    root: Root
    aggregate_root: Root
    base: str
    is_mutation: bool
    session_argument: str | None
    roles: frozenset[str]
    comment: str | None
    naming: Naming = PLAIN


@dataclass(slots=True)
class Tracked:
    """Everything that is served, and the list of what is not."""

    tables: dict[Name, TrackedTable] = field(default_factory=dict)
    functions: list[TrackedFunction] = field(default_factory=list)
    inconsistent: list[dict[str, Any]] = field(default_factory=list)
    types: frozenset[str] = frozenset()  # of the database, by the names that it gives them

    def refuse(self, kind: str, name: str, reason: str, definition: Any) -> None:
        self.inconsistent.append(
            {"type": kind, "name": name, "reason": reason, "definition": definition}
        )


def name_of(reference: Any) -> Name:
    """Read `name` or `{schema, name}`."""
    if isinstance(reference, dict):
        return (reference.get("schema") or "public", reference["name"])
    return ("public", str(reference))


def dotted(name: Name) -> str:
    return name[1] if name[0] == "public" else ".".join(name)


def base_name(name: Name) -> str:
    return name[1] if name[0] == "public" else "_".join(name)


def root_of(custom: Any, default: str, naming: Naming = PLAIN) -> Root:
    if isinstance(custom, dict):
        return Root(naming.root(custom.get("name") or default), custom.get("comment"))
    return Root(naming.root(custom or default))
