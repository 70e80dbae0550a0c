"""A tracked table as one role may use it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sandbox.engine.tracking.permissions import SelectPermission, WritePermission
from sandbox.engine.tracking.tracked import TrackedColumn, TrackedTable
from sandbox.engine.types import GRAPHQL_NAME


@dataclass(frozen=True)
class Access:
    """None where the role lacks the permission; backend-only ones are None for other callers."""

    table: TrackedTable
    select: SelectPermission | None
    insert: WritePermission | None
    update: WritePermission | None
    delete: WritePermission | None

    def __hash__(self) -> int:
        return id(self)

    @property
    def any(self) -> bool:
        return any((self.select, self.insert, self.update, self.delete))

    @cached_property
    def readable(self) -> list[TrackedColumn]:
        if self.select is None:
            return []
        granted = self.select.columns
        return [column for column in self.table.columns.values() if column.name in granted]

    @cached_property
    def insertable(self) -> list[TrackedColumn]:
        return self._written(self.insert)

    @cached_property
    def updatable(self) -> list[TrackedColumn]:
        return self._written(self.update)

    def _written(self, permission: WritePermission | None) -> list[TrackedColumn]:
        if permission is None:
            return []
        return [
            column
            for column in self.table.columns.values()
            if column.name in permission.columns and not column.column.generated
        ]

    @cached_property
    def primary_key(self) -> list[TrackedColumn]:
        """Return the key's columns when the role may read all of them, else none."""
        readable = {column.name: column for column in self.readable}
        names = self.table.table.primary_key
        return [readable[name] for name in names] if all(n in readable for n in names) else []

    @cached_property
    def constraints(self) -> dict[str, tuple[str, ...]]:
        """Return the keys that an upsert may name: GraphQL can say their names."""
        uniques = self.table.table.uniques
        return {name: columns for name, columns in uniques.items() if GRAPHQL_NAME.match(name)}

    @cached_property
    def aggregates(self) -> bool:
        return self.select is not None and self.select.aggregations
