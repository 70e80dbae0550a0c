"""What contradicts itself: permissions on nothing, two root fields of one name.

It is listed and dropped, so a permission with a fault denies everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sandbox.engine.types import TEXT

from . import operands
from .tracked import (
    PERMISSION_KINDS,
    Root,
    Tracked,
    TrackedFunction,
    TrackedTable,
    dotted,
    name_of,
)


def check_permissions(tracked: Tracked) -> None:
    """Drop every permission that has a fault, and say which one."""
    for table in tracked.tables.values():
        for kind in PERMISSION_KINDS:
            for role, permission in list(table.permissions[kind].items()):
                fault = next(_faults(tracked, table, permission), None)
                if fault:
                    del table.permissions[kind][role]
                    name = f"{kind}_permission of role {role} on table {dotted(table.name)}"
                    tracked.refuse(f"{kind}_permission", name, fault, permission)


def _faults(tracked: Tracked, table: TrackedTable, permission: dict[str, Any]) -> Iterator[str]:
    columns = permission.get("columns")
    listed = [] if columns == "*" else columns or []
    for name in (*listed, *(permission.get("set") or {})):
        if name not in table.table.columns:
            yield f'column "{name}" does not exist'
    for name in permission.get("computed_fields") or []:
        if name not in table.computed:
            yield f'computed field "{name}" does not exist'
    for key in ("filter", "check"):
        yield from _Expression(tracked, table).faults(table, permission.get(key) or {})


@dataclass(frozen=True, slots=True)
class _Expression:
    """A permission's boolean expression, on rows of `root`."""

    tracked: Tracked
    root: TrackedTable

    def faults(self, table: TrackedTable, expression: Any) -> Iterator[str]:
        if not isinstance(expression, dict):
            yield f"an object is expected in a boolean expression, not {expression!r}"
            return
        for key, value in expression.items():
            name = "_" + key[1:] if key.startswith("$") else key
            if name in ("_and", "_or"):
                for item in value:
                    yield from self.faults(table, item)
            elif name == "_not":
                yield from self.faults(table, value)
            elif name == "_exists":
                yield from self._exists(value)
            else:
                yield from self._named(table, key, value)

    def _exists(self, value: dict[str, Any]) -> Iterator[str]:
        other = self.tracked.tables.get(name_of(value["_table"]))
        if other is None:
            yield f'table "{dotted(name_of(value["_table"]))}" is not tracked'
        else:
            yield from self.faults(other, value.get("_where") or {})

    def _named(self, table: TrackedTable, key: str, value: Any) -> Iterator[str]:
        if key in table.table.columns:
            kind = table.table.columns[key].type
            yield from operands.faults(self.root, table, kind, value)
        elif key in table.computed:
            kind = table.computed[key].function.type or TEXT
            yield from operands.faults(self.root, table, kind, value)
        elif key in table.relationships:
            target = self.tracked.tables[table.relationships[key].target]
            yield from self.faults(target, value)
        else:
            yield f'"{key}" is no column and no relationship of table "{dotted(table.name)}"'


Place = tuple[str, str | None, str]


def check_roots(tracked: Tracked) -> None:
    """Leave out every root field whose name another one has: the first keeps it."""
    owners: dict[Place, str] = {}
    for table in tracked.tables.values():
        label = f"table {dotted(table.name)} in source default"
        for key, root in table.roots.items():
            kind = _root_type(table, key)
            if kind is not None:
                place = (kind, table.naming.namespace, root.name)
                table.roots[key] = _claimed(tracked, owners, place, root, label)
    tracked.functions = [_function(tracked, owners, item) for item in tracked.functions]


def _root_type(table: TrackedTable, key: str) -> str | None:
    """Name the root type that has the field, or None where the table has no such field."""
    if key.endswith("_by_pk") and not table.table.primary_key:
        return None
    verb = key.split("_", maxsplit=1)[0]
    if verb == "select":
        return "subscription_root"  # queries are there, too, and Hasura meets them there first
    return "mutation_root" if verb in table.table.writes else None


def _function(
    tracked: Tracked, owners: dict[Place, str], function: TrackedFunction
) -> TrackedFunction:
    kind = "mutation_root" if function.is_mutation else "subscription_root"
    label = f"function {dotted(function.function.name)} in source default"

    def claimed(root: Root) -> Root:
        place = (kind, function.naming.namespace, root.name)
        return _claimed(tracked, owners, place, root, label)

    aggregate = function.aggregate_root
    return replace(
        function,
        root=claimed(function.root),
        aggregate_root=claimed(aggregate) if function.function.returns_set else aggregate,
    )


def _claimed(
    tracked: Tracked, owners: dict[Place, str], place: Place, root: Root, label: str
) -> Root:
    if place not in owners:
        owners[place] = label
        return root
    reason = (
        f"Encountered conflicting definitions in the selection set for '{place[0]}' for field "
        f"'{place[2]}' defined in [{owners[place]}, {label}]. Fields must not be defined more than "
        "once across all sources."
    )
    tracked.refuse("root_field", f"root field {place[2]} of {label}", reason, None)
    return replace(root, taken=True)
