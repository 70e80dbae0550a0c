"""What the database holds: tables, views, keys and functions, read in three queries."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from sandbox.engine.types import PgType

TYPES = """
select t.oid::int8 as oid, t.typname, t.typtype::text, t.typelem::int8 as typelem,
       t.typbasetype::int8 as typbasetype, t.typrelid::int8 as typrelid, t.typcategory::text,
       quote_ident(n.nspname) || '.' || quote_ident(t.typname) as sql
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where n.nspname not in ('information_schema', 'pg_toast')
"""

TABLES = """
select c.oid::int8 as oid, n.nspname, c.relname, c.relkind::text,
       obj_description(c.oid, 'pg_class') as comment,
       pg_relation_is_updatable(c.oid, true) as writes,
       (select array_agg(json_build_object(
                'name', a.attname, 'number', a.attnum, 'type', a.atttypid::int8,
                'not_null', a.attnotnull,
                'has_default', a.atthasdef or a.attidentity <> '' or a.attgenerated <> '',
                'generated', a.attgenerated <> '' or a.attidentity = 'a',
                'comment', col_description(c.oid, a.attnum))::text order by a.attnum)
          from pg_catalog.pg_attribute a
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
       (select array_agg(json_build_object(
                'name', k.conname, 'kind', k.contype, 'columns', k.conkey,
                'target', k.confrelid::int8, 'target_columns', k.confkey)::text order by k.conname)
          from pg_catalog.pg_constraint k
         where k.conrelid = c.oid and k.contype in ('p', 'u', 'f')) as constraints
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'v', 'm', 'f', 'p')
  and n.nspname not in ('pg_catalog', 'information_schema', 'hdb_catalog')
  and n.nspname not like 'pg\\_%'
"""

FUNCTIONS = """
select n.nspname, p.proname, p.provolatile::text, p.proretset, p.prorettype::int8 as prorettype,
       p.provariadic <> 0 as variadic, p.pronargdefaults::int as defaults,
       p.proargtypes::oid[]::int8[] as types, p.proargnames::text[] as names,
       p.proargmodes::text[] as modes,
       obj_description(p.oid, 'pg_proc') as comment
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where p.prokind = 'f'
  and n.nspname not in ('pg_catalog', 'information_schema', 'hdb_catalog')
  and n.nspname not like 'pg\\_%'
"""

Name = tuple[str, str]

# What pg_relation_is_updatable says: a view may take some of these, a table takes all.
WRITES = {"update": 4, "insert": 8, "delete": 16}


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: PgType
    not_null: bool
    has_default: bool
    generated: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of this table point at columns of the target table, pair by pair."""

    columns: tuple[str, ...]
    target: Name
    target_columns: tuple[str, ...]


@dataclass(slots=True)
class Table:
    """A table, a view or anything else that rows can be selected from.

    `writes` says which of insert, update and delete Postgres accepts for it.
    """

    name: Name
    kind: str
    comment: str | None
    columns: dict[str, Column]
    primary_key: tuple[str, ...] = ()
    uniques: dict[str, tuple[str, ...]] = field(default_factory=dict)
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    writes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Argument:
    name: str
    type: PgType
    has_default: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A function. `table` is set when it returns rows of one, `type` when it returns a value."""

    name: Name
    arguments: tuple[Argument, ...]
    table: Name | None
    type: PgType | None
    returns_set: bool
    volatile: bool
    variadic: bool
    has_outputs: bool
    comment: str | None


@dataclass(slots=True)
class Catalog:
    tables: dict[Name, Table]
    functions: dict[Name, list[Function]]
    types: frozenset[str] = frozenset()


class _Types:
    """The types of the database by oid; domains count as what they are based on."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = {row["oid"]: row for row in rows}
        self.known: dict[int, PgType] = {}

    def get(self, oid: int) -> PgType:
        if oid not in self.known:
            self.known[oid] = self._read(oid)
        return self.known[oid]

    def _read(self, oid: int) -> PgType:
        row = self.rows.get(oid)
        if row is None:
            return PgType("unknown", "text")
        if row["typtype"] == "d":
            return self.get(row["typbasetype"])
        element = self.get(row["typelem"]) if row["typcategory"] == "A" else None
        return PgType(row["typname"], row["sql"], row["typtype"] == "e", element)


async def read(connection: Any) -> Catalog:
    """Read the whole catalog; the caller decides which parts its metadata tracks."""
    rows = await connection.fetch(TYPES)
    types = _Types(rows)
    table_rows = await connection.fetch(TABLES)
    names = {row["oid"]: (row["nspname"], row["relname"]) for row in table_rows}
    numbers = {row["oid"]: _numbered(row) for row in table_rows}
    tables = {names[row["oid"]]: _table(row, types, names, numbers) for row in table_rows}
    of_type = {row["oid"]: names.get(row["typrelid"]) for row in rows}
    functions: dict[Name, list[Function]] = {}
    for row in await connection.fetch(FUNCTIONS):
        name = (row["nspname"], row["proname"])
        functions.setdefault(name, []).append(_function(row, types, of_type))
    return Catalog(tables, functions, frozenset(row["typname"] for row in rows))


def _json_rows(texts: list[str] | None) -> list[dict[str, Any]]:
    return [json.loads(text) for text in texts or []]


def _numbered(row: asyncpg.Record) -> dict[int, str]:
    return {column["number"]: column["name"] for column in _json_rows(row["columns"])}


def _table(
    row: asyncpg.Record,
    types: _Types,
    names: dict[int, Name],
    numbers: dict[int, dict[int, str]],
) -> Table:
    columns = {
        item["name"]: Column(
            item["name"],
            types.get(item["type"]),
            item["not_null"],
            item["has_default"],
            item["generated"],
            item["comment"],
        )
        for item in _json_rows(row["columns"])
    }
    table = Table((row["nspname"], row["relname"]), row["relkind"], row["comment"], columns)
    table.writes = frozenset(kind for kind, bit in WRITES.items() if row["writes"] & bit)
    own = numbers[row["oid"]]
    for item in _json_rows(row["constraints"]):
        local = tuple(own[number] for number in item["columns"])
        if item["kind"] == "f":
            if item["target"] not in names:
                continue
            remote = tuple(numbers[item["target"]][number] for number in item["target_columns"])
            table.foreign_keys.append(ForeignKey(local, names[item["target"]], remote))
            continue
        table.uniques[item["name"]] = local
        if item["kind"] == "p":
            table.primary_key = local
    return table


def _function(row: asyncpg.Record, types: _Types, of_type: dict[int, Name | None]) -> Function:
    modes = row["modes"] or ["i"] * len(row["types"])
    names = row["names"] or []
    given = [names[at] if at < len(names) else "" for at, mode in enumerate(modes) if mode in "ib"]
    first_default = len(row["types"]) - row["defaults"]
    arguments = tuple(
        Argument(name or f"arg_{at + 1}", types.get(oid), at >= first_default)
        for at, (name, oid) in enumerate(zip(given, row["types"], strict=False))
    )
    table = of_type.get(row["prorettype"])
    return Function(
        name=(row["nspname"], row["proname"]),
        arguments=arguments,
        table=table,
        type=None if table else types.get(row["prorettype"]),
        returns_set=row["proretset"],
        volatile=row["provolatile"] == "v",
        variadic=row["variadic"],
        has_outputs=any(mode in "ot" for mode in modes),
        comment=row["comment"],
    )
