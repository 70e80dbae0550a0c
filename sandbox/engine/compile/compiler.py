"""What every part of the compiler shares: the statement, the schema, and how values are bound."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graphql import SelectionSetNode

from sandbox.engine.compile.sql import Constant, Slot, Slots, Statement, cast, ident, literal
from sandbox.engine.documents.coerce import Given
from sandbox.engine.documents.walk import Selected, Walk
from sandbox.engine.errors import invalid
from sandbox.engine.schema.access import Access
from sandbox.engine.schema.model import ObjectType
from sandbox.engine.schema.role import RoleSchema
from sandbox.engine.types import STRINGIFIED, TEXT, PgType


@dataclass(slots=True)
class Compiler:
    """Writes one statement."""

    walk: Walk
    statement: Statement = field(default_factory=Statement)
    joins: int = 0

    @property
    def schema(self) -> RoleSchema:
        return self.walk.schema

    def alias(self) -> str:
        return self.statement.alias()

    def join(self) -> None:
        """Count a condition over other rows: Postgres plans those of one list of rows together."""
        self.joins += 1
        most = self.schema.options.joins
        if self.joins > most:
            text = f"the conditions on one list lead over more than {most} relationships"
            raise invalid(text, "$")

    def fields(self, item: Selected, kind: Any) -> list[Selected]:
        return self.walk.fields(item.below, kind, item.path)

    def selections(self, below: list[SelectionSetNode], kind: Any, path: str) -> list[Selected]:
        return self.walk.fields(below, kind, path)

    def value(self, value: Any, kind: PgType) -> str:
        """Write a checked value as SQL of the given type."""
        if value is None:
            return f"NULL::{kind.sql}"
        if isinstance(value, str):
            return cast(self.statement.bind(Constant(value)), kind)
        if isinstance(value, list):
            items = ", ".join(self.value(item, kind.element or TEXT) for item in value)
            return cast(f"ARRAY[{items}]", kind)
        return cast(self._bound(value, kind), kind)

    def _bound(self, value: Given, kind: PgType) -> str:
        encode = kind.encoder if value.many else value.scalar.encode
        if value.index is None:
            return self.statement.bind(Constant(encode(value.value, value.path)))
        return self.statement.bind(Slot(value.index, encode, value.path))

    def many(self, value: Any, kind: PgType) -> str:
        """Write a list of values as an SQL array of the given element type."""
        if isinstance(value, Given):
            encode = value.scalar.encode
            bind = (
                Constant(Slots(0, encode, value.path)([value.value], _NOBODY))
                if value.index is None
                else Slots(value.index, encode, value.path)
            )
            return f"({self.statement.bind_many(bind)})::{kind.sql}[]"
        items = ", ".join(self.value(item, kind) for item in value)
        return f"ARRAY[{items}]::{kind.sql}[]"

    def shown(self, expression: str, kind: PgType) -> str:
        """Write a value the way the answer shows it: big numbers as text when so configured."""
        if self.schema.options.stringify and kind.name in STRINGIFIED:
            return f"({expression})::text"
        return expression


_NOBODY: Any = None


def table_sql(access: Access) -> str:
    schema, name = access.table.table.name
    return f"{ident(schema)}.{ident(name)}"


def joined(mapping: tuple[tuple[str, str], ...], local: str, remote: str) -> str:
    """Write a relationship's condition between two aliases."""
    return " AND ".join(f"{remote}.{ident(other)} = {local}.{ident(own)}" for own, other in mapping)


def all_of(conditions: list[str]) -> str:
    found = [condition for condition in conditions if condition != "TRUE"]
    return " AND ".join(f"({condition})" for condition in found) or "TRUE"


def typename(kind: ObjectType) -> str:
    return f"{literal(kind.name)}::text"
