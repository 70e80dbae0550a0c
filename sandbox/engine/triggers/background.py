"""Event and cron triggers, which run beside the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import asyncpg

from .crons import CronTriggers
from .events import EventTriggers


class Trigger(Protocol):
    async def install(self) -> None: ...

    async def run(self) -> None: ...


# Tables that belong to another engine are left alone. The names are asked of the catalog, which
# answers everybody; a cast to regclass needs rights on the schema.
TABLE_EXISTS = """
select exists (
    select from pg_class
    where relname = $1 and relnamespace = to_regnamespace('hdb_catalog')
        and pg_has_role(relowner, 'usage')
)
"""


async def triggers(
    pool: asyncpg.Pool, document: dict[str, Any], environ: Mapping[str, str]
) -> list[Trigger]:
    """Return the triggers to install and run.

    Those that the metadata had before leave their tables behind, and have to be taken away. A
    database that never had any stays untouched.
    """
    found: list[Trigger] = []
    tables = (table for source in document["sources"] for table in source.get("tables") or [])
    wanted = any(table.get("event_triggers") for table in tables)
    if wanted or await pool.fetchval(TABLE_EXISTS, "event_log"):
        found.append(EventTriggers(pool, document, environ))
    if document.get("cron_triggers") or await pool.fetchval(TABLE_EXISTS, "hdb_cron_events"):
        found.append(CronTriggers(pool, document, environ))
    return found
