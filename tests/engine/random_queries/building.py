"""Strategies of worlds, and their DDL, rows and metadata."""

from __future__ import annotations

from typing import Any

import psycopg
from hypothesis import strategies as st
from psycopg import sql

from . import choices
from .choices import Draw, flag, pick, subset
from .conditions import Session, in_metadata
from .values import INT, JSONB, KEYS, KINDS, TEXT, Kind, sql_text
from .worlds import Column, Grants, Relationship, Row, Select, Table, World, Write

TABLES = ("item", "Order", "user", "group_1", "type")
COLUMNS = ("a", "B", "order", "limit", "count", "nodes", "x_1", "where", "objects")
MOST_ROWS = 5
HEADERS = st.text("abAB0é%'\\\"", max_size=3)  # what a session variable may hold


@st.composite
def worlds(draw: Draw) -> World:
    names = subset(draw, TABLES, least=2, most=4)
    keys = {name: pick(draw, KEYS) for name in names}
    tables = {name: _table(draw, name, names, keys) for name in names}
    for table in tables.values():
        _relate(draw, table, tables)
    world = World(tables, {}, {}, {})
    _fill(draw, world)
    for kind in KINDS:
        if kind is not JSONB:
            values = HEADERS if kind is TEXT else kind.values
            world.session[f"x-hasura-{kind.graphql}"] = (kind, draw(values))
    for table in tables.values():
        world.grants["admin", table.name] = _everything(table)
        world.grants["user", table.name] = _grants(draw, world, table)
    return world


def _table(draw: Draw, name: str, names: list[str], keys: dict[str, Kind]) -> Table:
    columns = {"id": Column("id", keys[name], nullable=False)}
    for column in subset(draw, COLUMNS, least=1, most=5):
        kind = pick(draw, KINDS)
        default = 7 if kind is INT and flag(draw) else None
        columns[column] = Column(column, kind, flag(draw), default=default)
    for target in subset(draw, names, least=0, most=2):
        earlier = names.index(target) < names.index(name)
        nullable = not earlier or flag(draw)
        column = f"{target}_id"
        columns[column] = Column(column, keys[target], nullable, references=target)
    able = [item.name for item in columns.values() if item.kind is not JSONB and item.name != "id"]
    unique = subset(draw, able, least=0, most=2) if flag(draw) else []
    return Table(name, columns, tuple(unique))


def _relate(draw: Draw, table: Table, tables: dict[str, Table]) -> None:
    for column in table.columns.values():
        target = tables.get(column.references or "")
        if target is not None:
            name = f"{column.name}_row"
            forward = Relationship(name, target.name, column.name, "id", is_array=False)
            table.relationships[name] = forward
            back = Relationship(f"{table.name}s", table.name, "id", column.name, is_array=True)
            target.relationships[back.name] = back
    other = pick(draw, list(tables.values()))
    own = pick(draw, list(table.columns.values()))
    alike = [item.name for item in other.columns.values() if item.kind is own.kind]
    if alike and own.kind is not JSONB:
        name = f"same_{own.name}"
        there = pick(draw, alike)
        table.relationships[name] = Relationship(name, other.name, own.name, there, is_array=True)


def _fill(draw: Draw, world: World) -> None:
    keys: dict[str, list[Any]] = {}
    for table in world.tables.values():
        kind = table.columns["id"].kind
        needs = [item.references for item in table.columns.values() if not item.nullable]
        possible = all(keys.get(name or "", [1]) for name in needs)
        least = pick(draw, (0, 2, 3, 4))
        unique = st.lists(kind.values, min_size=least, max_size=MOST_ROWS, unique=True)
        keys[table.name] = draw(unique) if possible else []
    for table in world.tables.values():
        rows: list[Row] = []
        for key in keys[table.name]:
            rows.append(_row(draw, table, key, keys) | _repeated(draw, table, rows))
        if not choices.is_distinct(rows, table.unique):
            table.unique = ()
        world.rows[table.name] = rows


def _row(draw: Draw, table: Table, key: Any, keys: dict[str, list[Any]]) -> Row:
    row: Row = {"id": key}
    for column in list(table.columns.values())[1:]:
        values = column.kind.values
        if column.references:
            there = keys[column.references]
            values = st.sampled_from(there) if there else st.none()
        row[column.name] = draw(st.none() | values if column.nullable else values)
    return row


def _repeated(draw: Draw, table: Table, rows: list[Row]) -> Row:
    """Draw values of an earlier row to have again: orders need ties, and counts repetitions."""
    able = [name for name in table.columns if name != "id" and name not in table.unique]
    if not (rows and able) or flag(draw):
        return {}
    earlier = pick(draw, rows)
    return {name: earlier[name] for name in subset(draw, able, least=1, most=3)}


def _everything(table: Table) -> Grants:
    names = tuple(table.columns)
    write = Write(names)
    return Grants(Select(names, None, None, aggregations=True), write, write, write)


def _grants(draw: Draw, world: World, table: Table) -> Grants:
    if pick(draw, range(8)) == 7:
        return Grants()
    names = list(table.columns)
    columns = set(subset(draw, names, least=1, most=len(names)))
    columns |= {"id"} if pick(draw, range(5)) else set()
    limit = pick(draw, (None, None, 1, 2, 3)) if "id" in columns else None
    readable = tuple(name for name in names if name in columns)
    select = Select(readable, _condition(draw, world, table), limit, flag(draw))
    insert = _write(draw, world, table) if pick(draw, range(4)) else None
    update = _write(draw, world, table) if pick(draw, range(4)) else None
    delete = Write(filter=_condition(draw, world, table)) if pick(draw, range(4)) else None
    return Grants(select, insert, update, delete)


def _condition(draw: Draw, world: World, table: Table) -> Any:
    return choices.permission(draw, world, table) if pick(draw, range(4)) else None


def _write(draw: Draw, world: World, table: Table) -> Write:
    names = list(table.columns)
    chosen = set(subset(draw, names, least=1, most=len(names)))
    if pick(draw, range(6)):
        chosen |= {item.name for item in table.columns.values() if not item.nullable}
    columns = tuple(name for name in names if name in chosen)
    able = [name for name in names if name != "id" and not table.columns[name].references]
    preset = subset(draw, able, least=0, most=1)
    presets = tuple((name, choices.preset(draw, world, table, name)) for name in preset)
    return Write(columns, _condition(draw, world, table), _condition(draw, world, table), presets)


def create(connection: psycopg.Connection[Any], world: World) -> None:
    """Make the database's only schema hold the world, and nothing else."""
    connection.execute("drop schema public cascade")
    connection.execute("create schema public")
    for table in world.tables.values():
        connection.execute(_ddl(table))
    for table in world.tables.values():
        _insert(connection, table, world.rows[table.name])
    for table in world.tables.values():
        for column in table.columns.values():
            if column.references:
                connection.execute(
                    sql.SQL("alter table {} add foreign key ({}) references {} (id)").format(
                        *map(sql.Identifier, (table.name, column.name, column.references))
                    )
                )


def _ddl(table: Table) -> sql.Composed:
    parts = [
        sql.SQL("{} {}{}{}").format(
            sql.Identifier(column.name),
            sql.SQL(column.kind.sql),
            sql.SQL("" if column.nullable else " not null"),
            sql.SQL("" if column.default is None else f" default {column.default}"),
        )
        for column in table.columns.values()
    ]
    for name, columns in table.constraints.items():
        kind = "primary key" if columns == ("id",) and name.endswith("_pkey") else "unique"
        listed = sql.SQL(", ").join(map(sql.Identifier, columns))
        parts.append(
            sql.SQL("constraint {} {} ({})").format(sql.Identifier(name), sql.SQL(kind), listed)
        )
    return sql.SQL("create table {} ({})").format(
        sql.Identifier(table.name), sql.SQL(", ").join(parts)
    )


def _insert(connection: psycopg.Connection[Any], table: Table, rows: list[Row]) -> None:
    places = [
        sql.SQL("%s::text::{}").format(sql.SQL(item.kind.sql)) for item in table.columns.values()
    ]
    statement = sql.SQL("insert into {} values ({})").format(
        sql.Identifier(table.name), sql.SQL(", ").join(places)
    )
    for row in rows:
        values = [sql_text(row[item.name], item.kind) for item in table.columns.values()]
        connection.execute(statement, values)


def metadata(world: World) -> dict[str, Any]:
    """Return the metadata document, as exported."""
    info = {"database_url": {"from_env": "HASURA_GRAPHQL_DATABASE_URL"}}
    source = {
        "name": "default",
        "kind": "postgres",
        "configuration": {"connection_info": info},
        "tables": [_tracked(world, table) for table in world.tables.values()],
    }
    return {"version": 3, "sources": [source]}


def _tracked(world: World, table: Table) -> dict[str, Any]:
    entry: dict[str, Any] = {"table": {"schema": "public", "name": table.name}}
    for kind, is_array in (("object_relationships", False), ("array_relationships", True)):
        entry[kind] = [
            {"name": item.name, "using": _using(item)}
            for item in table.relationships.values()
            if item.is_array is is_array
        ]
    grants = world.grants["user", table.name]
    for kind in ("select", "insert", "update", "delete"):
        granted = getattr(grants, kind)
        if granted is not None:
            written = _permission(world, table, kind, granted)
            entry[f"{kind}_permissions"] = [{"role": "user", "permission": written}]
    return entry


def _using(item: Relationship) -> dict[str, Any]:
    there = {"schema": "public", "name": item.target}
    if not item.is_array:
        return {"foreign_key_constraint_on": item.own}
    if item.name == f"{item.target}s":
        return {"foreign_key_constraint_on": {"table": there, "column": item.other}}
    mapping = {item.own: item.other}
    return {"manual_configuration": {"remote_table": there, "column_mapping": mapping}}


def _permission(world: World, table: Table, kind: str, granted: Any) -> dict[str, Any]:
    def condition(given: Any) -> dict[str, Any]:
        return in_metadata(world, table.name, given)

    if kind == "select":
        found = {"columns": list(granted.columns), "filter": condition(granted.filter)}
        found["allow_aggregations"] = granted.aggregations
        return found | ({"limit": granted.limit} if granted.limit is not None else {})
    if kind == "delete":
        return {"filter": condition(granted.filter)}
    presets = {name: _preset(value, table.columns[name].kind) for name, value in granted.presets}
    found = {"columns": list(granted.columns), "set": presets, "check": condition(granted.check)}
    return found | ({"filter": condition(granted.filter)} if kind == "update" else {})


def _preset(value: Any, kind: Kind) -> Any:
    if isinstance(value, Session):
        return value.name
    return value if isinstance(value, bool) else sql_text(value, kind)
