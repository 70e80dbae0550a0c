"""Permissions that name what does not exist: they are listed, dropped, and so deny everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sandbox.engine.types import OPERATORS

from .tracked import PERMISSION_KINDS, Tracked, TrackedTable, dotted, name_of

COLUMN_OPERATORS = frozenset({"_ceq", "_cne", "_cneq", "_cgt", "_cgte", "_clt", "_clte"})
KNOWN_OPERATORS = COLUMN_OPERATORS | OPERATORS.keys() | {"_ne"}


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
        yield from _in_expression(tracked, table, permission.get(key) or {})


def _in_expression(tracked: Tracked, table: TrackedTable, expression: Any) -> Iterator[str]:
    if not isinstance(expression, dict):
        yield f"an object is expected in a boolean expression, not {expression!r}"
        return
    for key, value in expression.items():
        name = "_" + key[1:] if key.startswith("$") else key
        if name in ("_and", "_or"):
            for item in value:
                yield from _in_expression(tracked, table, item)
        elif name == "_not":
            yield from _in_expression(tracked, table, value)
        elif name == "_exists":
            yield from _in_exists(tracked, value)
        else:
            yield from _in_named(tracked, table, key, value)


def _in_exists(tracked: Tracked, value: dict[str, Any]) -> Iterator[str]:
    other = tracked.tables.get(name_of(value["_table"]))
    if other is None:
        yield f'table "{dotted(name_of(value["_table"]))}" is not tracked'
    else:
        yield from _in_expression(tracked, other, value.get("_where") or {})


def _in_named(tracked: Tracked, table: TrackedTable, key: str, value: Any) -> Iterator[str]:
    if key in table.table.columns or key in table.computed:
        for operator in value if isinstance(value, dict) else ():
            if "_" + operator[1:] not in KNOWN_OPERATORS:
                yield f'"{operator}" is not an operator'
    elif key in table.relationships:
        target = tracked.tables[table.relationships[key].target]
        yield from _in_expression(tracked, target, value)
    else:
        yield f'"{key}" is no column and no relationship of table "{dotted(table.name)}"'
