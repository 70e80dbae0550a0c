"""Updates and deletes."""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sandbox.engine.compile.sql import ident
from sandbox.engine.compile.steps import Several, Sql, Text
from sandbox.engine.documents.coerce import Fields
from sandbox.engine.documents.walk import Selected
from sandbox.engine.errors import EngineError, invalid
from sandbox.engine.schema.access import Access
from sandbox.engine.schema.descriptions import UPDATE_OPERATORS
from sandbox.engine.schema.sources import DeleteRoot, UpdateRoot
from sandbox.engine.types import INTEGER, TEXT, PgType

from .compiler import Compiler, all_of, table_sql
from .filters import permit, preset
from .mutation import Change, finish, nothing
from .where import boolean

ROW = '"_0"'

# How an operator makes the new value {1} out of the column {0}; None takes the column's type.
ASSIGNMENTS: dict[str, tuple[str, PgType | None]] = {
    "_set": ("{1}", None),
    "_inc": ("{0} + {1}", None),
    "_append": ("{0} || {1}", None),
    "_prepend": ("{1} || {0}", None),
    "_delete_key": ("{0} - {1}", TEXT),
    "_delete_elem": ("{0} - {1}", INTEGER),
    "_delete_at_path": ("{0} #- {1}", TEXT),
}


def update(c: Compiler, item: Selected, root: UpdateRoot) -> Sql | Several | Text:
    path = f"{item.path}.args"
    if root.kind == "many":
        return Several(item.key, tuple(_each_update(c, item, root, path)))
    one = root.kind == "by_pk"
    sets = _assignments(c, root.access, item.arguments, path)
    if not sets:
        return Text(item.key, "{}") if one else nothing(c, item)
    if one:
        where = key_condition(c, root.access, item.arguments["pk_columns"].items)
    else:
        where = boolean(c, item.arguments["where"], root.access, ROW)
    return _update(c, item, root, sets, where)


def _each_update(c: Compiler, item: Selected, root: UpdateRoot, path: str) -> Iterator[Sql]:
    """Compile the updates of update_many. Empty ones are Hasura's to choke on, unless all are."""
    updates = item.arguments["updates"]
    compilers = [Compiler(c.walk) for _ in updates]
    sets = [
        _assignments(inner, root.access, each.items, f"{path}.updates[{at}]")
        for at, (inner, each) in enumerate(zip(compilers, updates, strict=True))
    ]
    if any(sets) and not all(sets):
        raise EngineError("unexpected", "database query error")
    for inner, each, assigned in zip(compilers, updates, sets, strict=True):
        if assigned:
            where = boolean(inner, each.get("where"), root.access, ROW)
            yield _update(inner, item, root, assigned, where)


def key_condition(c: Compiler, access: Access, values: dict[str, Any]) -> str:
    columns = access.table.columns
    return " AND ".join(
        f"{ROW}.{ident(columns[name].name)} = {c.value(value, columns[name].type)}"
        for name, value in values.items()
    )


def _assignments(c: Compiler, access: Access, given: dict[str, Any], path: str) -> list[str]:
    found: dict[str, str] = {}
    for operator in UPDATE_OPERATORS:
        fields: Fields | None = given.get(operator)
        pattern, operand = ASSIGNMENTS[operator]
        for name, value in fields.items.items() if fields else ():
            column = access.table.columns[name]
            if column.name in found:
                raise invalid(f"Column found in multiple operators: ['{name}'].", path)
            new = (
                c.many(value, TEXT)
                if operator == "_delete_at_path" and value is not None
                else c.value(value, operand or column.type)
            )
            found[column.name] = pattern.format(f"{ROW}.{ident(column.name)}", new)
    presets = access.update.presets if access.update else {}
    for name, value in presets.items():
        found[name] = preset(c, value, access.table.table.columns[name].type)
    return [f"{ident(name)} = {value}" for name, value in found.items()]


def _update(c: Compiler, item: Selected, root: UpdateRoot, sets: list[str], where: str) -> Sql:
    access, one = root.access, root.kind == "by_pk"
    permission = access.update
    filter_ = permit(c, permission.filter if permission else None, access.table, ROW)
    conditions = all_of([filter_, where])
    check = permit(c, permission.check if permission else None, access.table, ROW)
    change = f"UPDATE {table_sql(access)} AS {ROW} SET {', '.join(sets)} WHERE {conditions}"
    return finish(c, item, Change(access, change, check, one))


def delete(c: Compiler, item: Selected, root: DeleteRoot) -> Sql:
    access = root.access
    if root.by_pk:
        where = key_condition(c, access, item.arguments)
    else:
        where = boolean(c, item.arguments["where"], access, ROW)
    filter_ = access.delete.filter if access.delete else None
    conditions = all_of([permit(c, filter_, access.table, ROW), where])
    change = f"DELETE FROM {table_sql(access)} AS {ROW} WHERE {conditions}"
    return finish(c, item, Change(access, change, "TRUE", root.by_pk))
