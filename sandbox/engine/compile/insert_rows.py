"""INSERT ... VALUES and ON CONFLICT, which plain and nested inserts share."""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from typing import Any

from sandbox.engine.compile.sql import ident
from sandbox.engine.documents.coerce import Fields
from sandbox.engine.schema.access import Access

from .compiler import Compiler, all_of, table_sql
from .filters import permit, preset
from .where import boolean

ROW = '"_0"'


def insert_sql(c: Compiler, access: Access, objects: list[Fields], fixed: dict[str, str]) -> str:
    """Return the statement. `fixed` has SQL for what neither the client nor a preset decides."""
    kinds = access.table.table.columns
    presets = access.insert.presets if access.insert else {}
    preset_sql = {
        name: preset(c, value, kinds[name].type)
        for name, value in presets.items()
        if name not in fixed
    }
    decided = preset_sql | fixed
    columns = access.table.columns
    given = dict.fromkeys(name for item in objects for name in item.items if name in columns)
    names = [name for name in given if columns[name].name not in decided]
    rows = [
        [_value(c, access, item, name) for name in names] + list(decided.values())
        for item in objects
    ]
    targets = [columns[name].name for name in names] + list(decided)
    listed = ", ".join(map(ident, targets or [next(iter(kinds))]))
    values_sql = ", ".join(f"({', '.join(values or ['DEFAULT'])})" for values in rows)
    return f"INSERT INTO {table_sql(access)} AS {ROW} ({listed}) VALUES {values_sql}"


def conflict_sql(c: Compiler, access: Access, conflict: Fields | None) -> tuple[str, str]:
    """Return the ON CONFLICT clause, if any, and the check of the rows."""
    check = _check(c, access, updates=bool(conflict and conflict.get("update_columns")))
    return _on_conflict(c, access, conflict) if conflict is not None else "", check


def _value(c: Compiler, access: Access, item: Fields, name: str) -> str:
    if name not in item.items:
        return "DEFAULT"
    return c.value(item.items[name], access.table.columns[name].type)


def _check(c: Compiler, access: Access, *, updates: bool) -> str:
    """Return the check of a new row; of an updated one when the conflict clause updates."""
    inserted = permit(c, access.insert.check if access.insert else None, access.table, ROW)
    if not updates:
        return inserted
    updated = permit(c, access.update.check if access.update else None, access.table, ROW)
    if inserted == updated:
        return inserted
    return f"CASE WHEN {ROW}.xmax = 0 THEN {inserted} ELSE {updated} END"


def _on_conflict(c: Compiler, access: Access, conflict: Fields) -> str:
    names: list[Any] = conflict.get("update_columns") or []
    target = f" ON CONFLICT ON CONSTRAINT {ident(conflict.get('constraint'))}"
    if not names:
        return f"{target} DO NOTHING"
    columns = [access.table.columns[name].name for name in names]
    sets = [f"{ident(column)} = EXCLUDED.{ident(column)}" for column in columns]
    permission = access.update
    for name, value in (permission.presets if permission else {}).items():
        kind = access.table.table.columns[name].type
        sets.append(f"{ident(name)} = {preset(c, value, kind)}")
    where = all_of(
        [
            permit(c, permission.filter if permission else None, access.table, ROW),
            boolean(c, conflict.get("where"), access, ROW),
        ]
    )
    return f"{target} DO UPDATE SET {', '.join(sets)} WHERE {where}"
