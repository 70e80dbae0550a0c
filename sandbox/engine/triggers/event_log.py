"""The SQL side of event triggers: the event log, and the real triggers that write to it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import asyncpg

from sandbox.engine.compile.sql import ident, literal

from .event_tables import FUNCTIONS, TABLES

CHANNEL = "hdb_events"
INSTALL_LOCK = 7_214_663_902_558_140_377  # any number, the same for every engine

# Those that were made by another engine count too: they would write each event a second time.
INSTALLED = r"""
select namespace.nspname, class.relname, trigger.tgname, trigger.tgargs,
    trigger.tgfoid = 'hdb_catalog.notify_event()'::regprocedure and trigger.tgqual is null as ours,
    trigger.tgenabled = 'A' as replicates
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

# A commit that a crash of Postgres may lose does no harm here: an event is delivered at least once,
# and would be delivered again. So neither statement waits for the disk.
CLAIM = """
with due as (
    select id from hdb_catalog.event_log
    where not delivered and not error and not archived
        and (select set_config('synchronous_commit', 'off', true)) = 'off'
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
from result
where event.id = result.id and (select set_config('synchronous_commit', 'off', true)) = 'off'
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
    'session_variables', ($5::text)::jsonb,
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
    replicates: bool = False  # whether it also fires for rows that logical replication brings

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
        if found is not None and _is_right(trigger, found, arguments):
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


def _is_right(trigger: TableTrigger, found: Any, arguments: list[str]) -> bool:
    told = found["ours"], found["replicates"], _arguments(found["tgargs"])
    return told == (True, trigger.replicates, arguments)


def _create(trigger: TableTrigger, arguments: list[str]) -> str:
    table = f"{ident(trigger.schema)}.{ident(trigger.table)}"
    literals = ", ".join(map(literal, arguments))
    made = (
        f"create or replace trigger {ident(trigger.name)} after {trigger.operation} on {table} "
        f"for each row execute function hdb_catalog.notify_event({literals})"
    )
    enabled = f"; alter table {table} enable always trigger {ident(trigger.name)}"
    return made + enabled if trigger.replicates else made


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
