"""The whole schema as text, read from Postgres' catalogues: what migrations/schema.sql holds.

It is for reading and for comparing, and the same on every Postgres that the product supports. What
an object's owner may do is left out, and so are the schemas that engines keep for themselves.
"""

import asyncio
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import asyncpg

from sandbox import migrations
from sandbox.postgres import Postgres

HEAD = "-- The schema that the migrations make, for reading. Written by `make schema`.\n"

OURS = """
n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'hdb_catalog', 'sandbox_catalog')
"""

SCHEMAS = f"""
select n.oid, n.nspname as name, obj_description(n.oid, 'pg_namespace') as comment
from pg_namespace n where {OURS} order by n.nspname
"""  # noqa: S608  # a fixed text

RELATIONS = f"""
select c.oid, c.oid::regclass::text as name, c.relkind::text as kind, c.reloptions as options,
    c.relrowsecurity as has_policies, obj_description(c.oid, 'pg_class') as comment,
    case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid, true) end as body
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where {OURS} and c.relkind in ('r', 'p', 'v', 'm', 'c')
order by n.nspname, c.relname
"""  # noqa: S608  # a fixed text

COLUMNS = """
select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as needed,
    a.attidentity::text as identity, a.attgenerated::text as generated,
    pg_get_expr(d.adbin, d.adrelid, true) as value, col_description(a.attrelid, a.attnum) as comment
from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

# Postgres 18 keeps NOT NULL as constraints too; the columns say it already.
CONSTRAINTS = """
select conname as name, pg_get_constraintdef(oid, true) as body,
    obj_description(oid, 'pg_constraint') as comment
from pg_constraint where conrelid = $1 and contype in ('p', 'u', 'f', 'c', 'x')
order by array_position(array['p', 'u', 'f', 'c', 'x'], contype::text), conname
"""

INDEXES = """
select pg_get_indexdef(i.indexrelid) as body, obj_description(i.indexrelid, 'pg_class') as comment,
    i.indexrelid::regclass::text as name
from pg_index i
where i.indrelid = $1
    and not exists (select from pg_constraint where conindid = i.indexrelid and conrelid = $1)
order by 1
"""

TRIGGERS = """
select tgname as name, pg_get_triggerdef(oid, true) as body,
    obj_description(oid, 'pg_trigger') as comment
from pg_trigger where tgrelid = $1 and not tgisinternal order by tgname
"""

FUNCTIONS = f"""
select p.oid, p.oid::regprocedure::text as name, pg_get_functiondef(p.oid) as body,
    obj_description(p.oid, 'pg_proc') as comment
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where {OURS} and p.prokind in ('f', 'p')
    and not exists (select from pg_depend where objid = p.oid and deptype = 'e')
order by n.nspname, p.proname, 2
"""  # noqa: S608  # a fixed text

TYPES = f"""
select t.oid::regtype::text as name, obj_description(t.oid, 'pg_type') as comment,
    (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder)
     from pg_enum where enumtypid = t.oid) as labels,
    format_type(t.typbasetype, t.typtypmod) as base, t.typnotnull as needed, t.typdefault as value,
    (select string_agg(format('constraint %I %s', conname, pg_get_constraintdef(oid, true)), ' '
     order by conname) from pg_constraint where contypid = t.oid and contype = 'c') as checks
from pg_type t join pg_namespace n on n.oid = t.typnamespace
where {OURS} and t.typtype in ('d', 'e') order by 1
"""  # noqa: S608  # a fixed text

# An empty list of rights means the standard ones: of functions, that everybody may call them.
# MAINTAIN came with Postgres 17.
RIGHTS = """
select string_agg(lower(privilege_type), ', ' order by privilege_type) as rights,
    case when grantee = 0 then 'public' else grantee::regrole::text end as role
from (select (aclexplode(coalesce({acl}, acldefault('{letter}', {owner})))).*, {owner} as owner
      from {catalogue} where oid = $1) rights
where grantee <> owner and privilege_type <> 'MAINTAIN'
group by grantee order by 2
"""

COLUMN_RIGHTS = """
select attname as name, string_agg(lower(privilege_type), ', ' order by privilege_type) as rights,
    case when grantee = 0 then 'public' else grantee::regrole::text end as role
from (select attname, (aclexplode(attacl)).* from pg_attribute where attrelid = $1) rights
group by attname, grantee order by 1, 3
"""


def dump(migrations_directory: Path) -> str:
    """Make a database of the migrations, and write its schema down."""
    with tempfile.TemporaryDirectory(prefix="munim-schema-") as folder:
        postgres = Postgres(Path(folder) / "postgres", fsync=False)
        try:
            postgres.start()
            migrations.apply(postgres.url, migrations_directory, report=lambda _: None)
            return read(postgres.url)
        finally:
            postgres.destroy()


def read(url: str) -> str:
    """Write down the schema of a database."""
    return asyncio.run(_read(url))


async def _read(url: str) -> str:
    connection = await asyncpg.connect(url, server_settings={"search_path": "public"})
    try:
        parts = [HEAD]
        parts += [part async for part in _schemas(connection)]
        parts += [_type(row) for row in await connection.fetch(TYPES)]
        for row in await connection.fetch(RELATIONS):
            parts.append(await _relation(connection, row))
        for row in await connection.fetch(FUNCTIONS):
            parts.append(await _function(connection, row))
    finally:
        await connection.close()
    return "\n".join(parts)


async def _schemas(connection: Any) -> Any:
    for row in await connection.fetch(SCHEMAS):
        rights = await _rights(connection, "pg_namespace", "n", row["oid"])
        head = [] if row["name"] == "public" else [f"create schema {row['name']};"]
        yield _lines([*head, *_granted(rights, f"schema {row['name']}")])


def _type(row: Any) -> str:
    kind = f"enum ({row['labels']})"
    text = f"create type {row['name']} as {kind};"
    if row["labels"] is None:
        wanted = " not null" if row["needed"] else ""
        standard = f" default {row['value']}" if row["value"] else ""
        checks = f" {row['checks']}" if row["checks"] else ""
        text = f"create domain {row['name']} as {row['base']}{standard}{wanted}{checks};"
    return _lines([text, *_comment(f"type {row['name']}", row["comment"])])


async def _relation(connection: Any, row: Any) -> str:
    columns = await connection.fetch(COLUMNS, row["oid"])
    if row["kind"] in {"v", "m"}:
        kind = "view" if row["kind"] == "v" else "materialized view"
        options = f" with ({', '.join(row['options'])})" if row["options"] else ""
        head = [f"create {kind} {row['name']}{options} as\n{_plain(row['body'])}"]
    else:
        kind = "type" if row["kind"] == "c" else "table"
        constraints = await connection.fetch(CONSTRAINTS, row["oid"])
        head = [_table(kind, row, columns, constraints)]
        head += _comments("constraint", constraints, f" on {row['name']}")
    lines = [*head, *_comment(f"{kind} {row['name']}", row["comment"])]
    for column in columns:
        lines += _comment(f"column {row['name']}.{column['name']}", column["comment"])
    return _lines([*lines, *await _around(connection, row)])


async def _around(connection: Any, row: Any) -> list[str]:
    """Write what hangs on a relation: indexes, triggers and rights."""
    if row["kind"] == "c":
        return []
    lines = ["-- Row level security is on."] if row["has_policies"] else []
    for kind, query, suffix in (
        ("index", INDEXES, ""),
        ("trigger", TRIGGERS, f" on {row['name']}"),
    ):
        found = await connection.fetch(query, row["oid"])
        lines += [f"{one['body']};" for one in found]
        lines += _comments(kind, found, suffix)
    lines += _granted(await _rights(connection, "pg_class", "r", row["oid"]), row["name"])
    for one in await connection.fetch(COLUMN_RIGHTS, row["oid"]):
        lines.append(f"grant {one['rights']} ({one['name']}) on {row['name']} to {one['role']};")
    return lines


def _plain(view: str) -> str:
    """Leave out the table's name before columns where there is one table, as Postgres 16 began to.

    The query's own FROM stands at the indentation that Postgres gives it.
    """
    only = re.search(r"^ {3}FROM (\w+)(?!.*,$)(?!\n.*JOIN )", view, re.MULTILINE)
    return re.sub(rf"\b{only[1]}\.", "", view) if only else view


def _table(kind: str, row: Any, columns: Iterable[Any], constraints: Iterable[Any]) -> str:
    inside = [_column(column) for column in columns]
    inside += [f"constraint {one['name']} {one['body']}" for one in constraints]
    opening = "as (" if kind == "type" else "("
    return f"create {kind} {row['name']} {opening}\n    " + ",\n    ".join(inside) + "\n);"


def _column(column: Any) -> str:
    words = [column["name"], column["type"]]
    if column["needed"]:
        words.append("not null")
    if column["identity"]:
        always = "always" if column["identity"] == "a" else "by default"
        words.append(f"generated {always} as identity")
    elif column["generated"]:
        words.append(f"generated always as ({column['value']}) stored")
    elif column["value"] is not None:
        words.append(f"default {column['value']}")
    return " ".join(words)


async def _function(connection: Any, row: Any) -> str:
    rights = await _rights(connection, "pg_proc", "f", row["oid"])
    comment = _comment(f"function {row['name']}", row["comment"])
    body = row["body"].rstrip()
    return _lines([f"{body};", *comment, *_granted(rights, f"function {row['name']}")])


async def _rights(connection: Any, catalogue: str, letter: str, oid: int) -> Any:
    prefix = {"pg_namespace": "nsp", "pg_class": "rel", "pg_proc": "pro"}[catalogue]
    query = RIGHTS.format(
        acl=f"{prefix}acl", owner=f"{prefix}owner", letter=letter, catalogue=catalogue
    )
    return await connection.fetch(query, oid)


def _granted(rights: Iterable[Any], name: str) -> list[str]:
    return [f"grant {one['rights']} on {name} to {one['role']};" for one in rights]


def _comments(kind: str, rows: Iterable[Any], suffix: str) -> Iterator[str]:
    for row in rows:
        yield from _comment(f"{kind} {row['name']}{suffix}", row["comment"])


def _comment(name: str, text: str | None) -> list[str]:
    quoted = (text or "").replace("'", "''")
    return [f"comment on {name} is '{quoted}';"] if text else []


def _lines(lines: Iterable[str]) -> str:
    """Join an object's statements, without the spaces that Postgres leaves at the ends of lines."""
    text = "\n".join(lines)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())
