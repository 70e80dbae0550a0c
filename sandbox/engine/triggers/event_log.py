"""The SQL side of event triggers: the event log, and the real triggers that write to it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import asyncpg

from sandbox.engine.compile.sql import ident, literal

CHANNEL = "hdb_events"
INSTALL_LOCK = 7_214_663_902_558_140_377  # any number, the same for every engine

# Every time is UTC without a zone, as Hasura keeps it. The partial index serves the claim.
TABLES = """
do $$
begin
    -- "if not exists" asks for the right to create even where the schema exists.
    if to_regnamespace('hdb_catalog') is null then
        create schema hdb_catalog;
    end if;
end $$;
create table if not exists hdb_catalog.event_log (
    id text primary key default gen_random_uuid(),
    schema_name text not null,
    table_name text not null,
    trigger_name text not null,
    payload jsonb not null,
    delivered boolean not null default false,
    error boolean not null default false,
    tries integer not null default 0,
    created_at timestamp not null default timezone('utc', now()),
    locked timestamptz,
    next_retry_at timestamp,
    archived boolean not null default false
);
create index if not exists event_log_fetch_events on hdb_catalog.event_log
    (locked nulls first, next_retry_at nulls first, created_at)
    where not delivered and not error and not archived;
create table if not exists hdb_catalog.event_invocation_logs (
    id text primary key default gen_random_uuid(),
    trigger_name text,
    event_id text,
    status integer,
    request json,
    response json,
    created_at timestamp default timezone('utc', now())
);
create index if not exists event_invocation_logs_event_id
    on hdb_catalog.event_invocation_logs (event_id);
"""

# One function serves every trigger, as whoever writes the table: its owner's rights are enough for
# the log, and its search_path is nobody else's. It takes its columns from the row itself, so it
# survives columns that come, go and change their type; to_jsonb also compares json, which has no
# equality of its own. Arguments: trigger, schema, table (the parent's, when a partition fires),
# listened, sent and stringified columns, each a JSON list or '*'.
FUNCTIONS = """
create or replace function hdb_catalog.event_row(p_row jsonb, p_columns jsonb, p_texts jsonb)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        jsonb_object_agg(
            key,
            case
                when p_texts ? key and jsonb_typeof(value) = 'number'
                    then to_jsonb(value #>> '{}')
                else value
            end
        ),
        '{}'
    )
    from jsonb_each(p_row)
    where p_columns = '"*"' or p_columns ? key
$$;

create or replace function hdb_catalog.notify_event()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_old jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    v_new jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    v_listened jsonb := tg_argv[3];
    v_sent jsonb := tg_argv[4];
    v_texts jsonb := tg_argv[5];
begin
    if tg_op = 'UPDATE' then
        if v_old = v_new then
            return null;
        end if;
        if v_listened <> '"*"'
            and hdb_catalog.event_row(v_old, v_listened, '[]')
                = hdb_catalog.event_row(v_new, v_listened, '[]')
        then
            return null;
        end if;
    end if;

    if v_sent <> '"*"' or v_texts <> '[]' then
        v_old := case when v_old is not null
            then hdb_catalog.event_row(v_old, v_sent, v_texts) end;
        v_new := case when v_new is not null
            then hdb_catalog.event_row(v_new, v_sent, v_texts) end;
    end if;

    insert into hdb_catalog.event_log (trigger_name, schema_name, table_name, payload)
    values (
        tg_argv[0], tg_argv[1], tg_argv[2],
        jsonb_build_object(
            'op', tg_op,
            'data', jsonb_build_object('old', v_old, 'new', v_new),
            'session_variables', nullif(current_setting('hasura.user', true), '')::jsonb,
            'trace_context', nullif(current_setting('hasura.tracecontext', true), '')::jsonb
        )
    );
    perform pg_notify('hdb_events', '');
    return null;
end;
$$;
revoke execute on function hdb_catalog.notify_event() from public;
"""

# Those that were made by another engine count too: they would write each event a second time.
INSTALLED = r"""
select namespace.nspname, class.relname, trigger.tgname, trigger.tgargs,
    trigger.tgfoid = 'hdb_catalog.notify_event()'::regprocedure and trigger.tgqual is null as ours
from pg_trigger as trigger
join pg_class as class on class.oid = trigger.tgrelid
join pg_namespace as namespace on namespace.oid = class.relnamespace
where trigger.tgname like 'notify\_hasura\_%' and not trigger.tgisinternal
    and trigger.tgparentid = 0
"""

# What Hasura writes as text when it is told to stringify numbers.
NUMERIC_COLUMNS = """
select attname from pg_attribute
where attrelid = to_regclass(format('%I.%I', $1::text, $2::text)) and attnum > 0
    and not attisdropped
    and atttypid in ('int8'::regtype, 'numeric'::regtype, 'float8'::regtype)
order by attname
"""

CLAIM = """
with due as (
    select id from hdb_catalog.event_log
    where not delivered and not error and not archived
        and (locked is null or locked < now() - $2 * interval '1 second')
        and (next_retry_at is null or next_retry_at <= timezone('utc', now()))
    order by locked nulls first, next_retry_at nulls first, created_at
    limit $1
    for update skip locked
)
update hdb_catalog.event_log as event set locked = now()
from due where event.id = due.id
returning event.id, event.schema_name, event.table_name, event.trigger_name,
    event.payload::text as payload, event.tries, event.created_at
"""

SETTLE = """
with result as (
    select * from unnest($1::text[], $2::text[], $3::float8[], $4::int[], $5::text[], $6::text[])
        as result (id, state, wait_s, status, request, response)
), logged as (
    insert into hdb_catalog.event_invocation_logs
        (trigger_name, event_id, status, request, response)
    select event.trigger_name, event.id, result.status, result.request::json, result.response::json
    from result join hdb_catalog.event_log as event on event.id = result.id
    where result.response is not null
)
update hdb_catalog.event_log as event
set delivered = result.state = 'delivered',
    error = result.state = 'error',
    tries = event.tries + (result.response is not null)::int,
    next_retry_at = case
        when result.state = 'retry'
            then timezone('utc', now()) + result.wait_s * interval '1 second'
        when result.state = 'released' then event.next_retry_at
    end,
    locked = null
from result where event.id = result.id
"""

REDELIVER = """
update hdb_catalog.event_log
set delivered = false, error = false, tries = 0, next_retry_at = null, locked = null
where id = $1 and (locked is null or locked < now() - $2 * interval '1 second')
returning id
"""

INVOKE = """
insert into hdb_catalog.event_log (trigger_name, schema_name, table_name, payload)
values ($1, $2, $3, jsonb_build_object(
    'op', 'MANUAL',
    'data', jsonb_build_object('old', null, 'new', ($4::text)::jsonb),
    'session_variables', null,
    'trace_context', null
))
returning id
"""


@dataclass(frozen=True, slots=True)
class TableTrigger:
    """One trigger on one table for one operation."""

    event: str
    schema: str
    table: str
    operation: str
    listened: Any
    sent: Any

    @property
    def name(self) -> str:
        return f"notify_hasura_{self.event}_{self.operation}"

    @property
    def key(self) -> tuple[str, str, str]:
        return self.schema, self.table, self.name

    def arguments(self, texts: list[str]) -> list[str]:
        columns = (self.listened, self.sent, texts)
        return [self.event, self.schema, self.table, *(json.dumps(part) for part in columns)]


async def install(
    connection: Any, wanted: Iterable[TableTrigger], *, stringify: bool
) -> dict[str, str]:
    """Make the log and exactly the wanted triggers. Returns those that cannot be, with the reason.

    A trigger that is right already is left alone: replacing one waits for writers of its table.
    """
    await connection.execute("select pg_advisory_lock($1)", INSTALL_LOCK)
    try:
        async with connection.transaction():
            await connection.execute("set local client_min_messages = warning")
            await connection.execute(TABLES)
            await connection.execute(FUNCTIONS)
        return await _replace(connection, wanted, stringify=stringify)
    finally:
        await connection.execute("select pg_advisory_unlock($1)", INSTALL_LOCK)


async def _replace(
    connection: Any, wanted: Iterable[TableTrigger], *, stringify: bool
) -> dict[str, str]:
    """Make the triggers, each in its own transaction: no lock is held while waiting for another."""
    refused: dict[str, str] = {}
    rows = await connection.fetch(INSTALLED)
    installed = {(row[0], row[1], row[2]): row for row in rows}
    for trigger in wanted:
        found = installed.pop(trigger.key, None)
        texts = await _numeric_columns(connection, trigger) if stringify else []
        arguments = trigger.arguments(texts)
        if found is not None and found["ours"] and _arguments(found["tgargs"]) == arguments:
            continue
        try:
            await connection.execute(_create(trigger, arguments))
        except asyncpg.PostgresError as error:
            refused[trigger.event] = str(error)
    for schema, table, name in installed:
        await _drop(connection, schema, table, name)
    return refused


async def _numeric_columns(connection: Any, trigger: TableTrigger) -> list[str]:
    rows = await connection.fetch(NUMERIC_COLUMNS, trigger.schema, trigger.table)
    return [row[0] for row in rows]


def _create(trigger: TableTrigger, arguments: list[str]) -> str:
    table = f"{ident(trigger.schema)}.{ident(trigger.table)}"
    literals = ", ".join(map(literal, arguments))
    return (
        f"create or replace trigger {ident(trigger.name)} after {trigger.operation} on {table} "
        f"for each row execute function hdb_catalog.notify_event({literals})"
    )


async def _drop(connection: Any, schema: str, table: str, name: str) -> None:
    """Remove a trigger; who may make triggers but does not own the table silences it instead."""
    place = f"{ident(name)} on {ident(schema)}.{ident(table)}"
    try:
        await connection.execute(f"drop trigger {place}")
    except asyncpg.InsufficientPrivilegeError:
        operation = name.rpartition("_")[2]
        trigger, _, target = place.partition(" on ")
        await connection.execute(
            f"create or replace trigger {trigger} after {operation} on {target} for each row "
            "when (false) execute function hdb_catalog.notify_event()"
        )


def _arguments(stored: bytes) -> list[str]:
    return [part.decode() for part in stored.split(b"\0")[:-1]]
