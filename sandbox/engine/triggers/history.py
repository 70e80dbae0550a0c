"""What the logs in the database tell of events: those of tables, and those that were scheduled.

Where a log was never made, nothing is in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg


@dataclass(frozen=True, slots=True)
class Page:
    """`limit` None is everything."""

    limit: int | None
    offset: int


@dataclass(frozen=True, slots=True)
class Log:
    """The tables of one kind of scheduled events, and what an event shows of itself."""

    events: str
    invocations: str
    columns: str


CRON = Log(
    "hdb_cron_events",
    "hdb_cron_event_invocation_logs",
    "id, trigger_name, scheduled_time, status, tries, created_at, next_retry_at",
)
ONE_OFF = Log(
    "hdb_scheduled_events",
    "hdb_scheduled_event_invocation_logs",
    "id, webhook_conf, scheduled_time, retry_conf, payload, header_conf, status, tries, "
    "created_at, next_retry_at, comment",
)
LOGS = {"cron": CRON, "one_off": ONE_OFF}

EVENTS = """
select to_json(event)::text from (
    select id, schema_name, table_name, trigger_name, payload, delivered, error, tries,
        created_at, locked, next_retry_at, archived
    from hdb_catalog.event_log
    where trigger_name = $1
        and ($2::text is null or ($2 = 'processed') = (delivered or error))
    order by created_at desc, id
    limit $3 offset $4
) as event
"""
EVENT = """
select to_json(event)::text from (
    select id, schema_name, table_name, trigger_name, payload, delivered, error, tries,
        created_at, locked, next_retry_at, archived
    from hdb_catalog.event_log where id = $1
) as event
"""
INVOCATIONS = """
select to_json(invocation)::text from (
    select id, trigger_name, event_id, status, request, response, created_at
    from hdb_catalog.event_invocation_logs
    where ($1::text is null or trigger_name = $1) and ($2::text is null or event_id = $2)
    order by created_at desc, id
    limit $3 offset $4
) as invocation
"""
SCHEDULED = """
select to_json(event)::text, count(*) over () as total from (
    select {columns} from hdb_catalog.{events} as event
    where ($1::text is null or to_jsonb(event) ->> 'trigger_name' = $1)
        and (status = any($2::text[]) or $2::text[] = array[]::text[])
) as event
order by scheduled_time, id
limit $3 offset $4
"""
SCHEDULED_INVOCATIONS = """
select to_json(invocation)::text, count(*) over () as total from (
    select log.id, log.event_id, log.status, log.request, log.response, log.created_at
    from hdb_catalog.{invocations} as log
    join hdb_catalog.{events} as event on event.id = log.event_id
    where ($1::text is null or log.event_id = $1)
        and ($2::text is null or to_jsonb(event) ->> 'trigger_name' = $2)
) as invocation
order by created_at desc, id
limit $3 offset $4
"""


async def events(pool: Any, trigger: str, status: str | None, page: Page) -> list[Any]:
    return (await _rows(pool, EVENTS, trigger, status, page))[1]


async def invocations_of_trigger(pool: Any, trigger: str, page: Page) -> list[Any]:
    return (await _rows(pool, INVOCATIONS, trigger, None, page))[1]


async def event(pool: Any, event_id: str, page: Page) -> dict[str, Any] | None:
    """Return an event with its deliveries, None when there is no such event."""
    try:
        found = await pool.fetchval(EVENT, event_id)
    except asyncpg.UndefinedTableError:
        return None
    if found is None:
        return None
    _, invocations = await _rows(pool, INVOCATIONS, None, event_id, page)
    return {"event": _read(found), "invocations": invocations}


async def scheduled(
    pool: Any, log: Log, trigger: str | None, statuses: list[str], page: Page
) -> tuple[int, list[Any]]:
    sql = SCHEDULED.format(columns=log.columns, events=log.events)
    return await _rows(pool, sql, trigger, statuses, page)


async def scheduled_invocations(
    pool: Any, log: Log, wanted: tuple[str | None, str | None], page: Page
) -> tuple[int, list[Any]]:
    sql = SCHEDULED_INVOCATIONS.format(invocations=log.invocations, events=log.events)
    return await _rows(pool, sql, *wanted, page)


async def delete_scheduled(pool: Any, log: Log, event_id: str) -> bool:
    """Delete an event with its log; False when there is none."""
    sql = f"delete from hdb_catalog.{log.events} where id = $1 returning id"  # noqa: S608  # a name of this module
    try:
        return await pool.fetchval(sql, event_id) is not None
    except asyncpg.UndefinedTableError:
        return False


async def is_time(pool: Any, text: str) -> bool:
    """Ask Postgres, which will have to read it, whether a text is a time."""
    try:
        await pool.fetchval("select ($1::text)::timestamptz", text)
    except asyncpg.DataError:
        return False
    return True


async def _rows(pool: Any, sql: str, first: Any, second: Any, page: Page) -> tuple[int, list[Any]]:
    """Return how many rows there are in all, and those of the page."""
    try:
        rows = await pool.fetch(sql, first, second, page.limit, page.offset)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return 0, []
    return (rows[0]["total"] if rows and "total" in rows[0] else len(rows)), [
        _read(row[0]) for row in rows
    ]


def _read(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)
