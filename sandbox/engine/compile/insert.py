"""Inserts, and upserts by ON CONFLICT."""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sandbox.engine.coerce import Fields
from sandbox.engine.schema.access import Access
from sandbox.engine.schema.sources import InsertRoot
from sandbox.engine.sql import ident
from sandbox.engine.steps import Sql, Text
from sandbox.engine.walk import Selected

from .compiler import Compiler, all_of, table_sql
from .filters import permit, preset
from .mutation import SESSION_IS_SET, Change, finish, nothing
from .where import boolean

ROW = '"_0"'


def insert(c: Compiler, item: Selected, root: InsertRoot) -> Sql | Text:
    argument = "object" if root.one else "objects"
    objects: list[Fields] = [item.arguments["object"]] if root.one else item.arguments["objects"]
    if not objects:
        return nothing(c, item)
    change, session_first = _insert_sql(c, root.access, objects)
    conflict: Fields | None = item.arguments.get("on_conflict")
    check = _check(c, root.access, updates=bool(conflict and conflict.get("update_columns")))
    if conflict is not None:
        change += _on_conflict(c, root.access, conflict)
    step = finish(c, item, Change(root.access, change, check, root.one))
    path = f"$.selectionSet.{item.name}.args.{argument}"
    return replace(step, path=path, session_first=session_first)


def _insert_sql(c: Compiler, access: Access, objects: list[Fields]) -> tuple[str, bool]:
    """Return the statement, and whether no value of it could wait for the session."""
    presets = access.insert.presets if access.insert else {}
    columns = access.table.columns
    given = dict.fromkeys(name for item in objects for name in item.items)
    names = [name for name in given if columns[name].name not in presets]
    rows, waits = [], False
    for item in objects:
        values = [_value(c, access, item, name) for name in names]
        values += [
            preset(c, value, access.table.table.columns[name].type)
            for name, value in presets.items()
            if name in access.table.table.columns
        ]
        for at, value in enumerate(values):
            if not waits and value != "DEFAULT":
                values[at] = f"CASE WHEN {SESSION_IS_SET} THEN {value} END"
                waits = True
        rows.append(values or ["DEFAULT"])
    targets = [columns[name].name for name in names]
    targets += [name for name in presets if name in access.table.table.columns]
    listed = ", ".join(map(ident, targets or [next(iter(access.table.table.columns))]))
    values_sql = ", ".join(f"({', '.join(values)})" for values in rows)
    sql = f"INSERT INTO {table_sql(access)} AS {ROW} ({listed}) VALUES {values_sql}"
    return sql, not waits


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
