"""Event and cron triggers, which run beside the server and follow the metadata."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import asyncpg

from .crons import CronTriggers
from .events import EventTriggers

logger = logging.getLogger(__name__)

LANDING_SECONDS = 1.0  # that a change waits for deliveries of the triggers it replaces


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


class Background:
    """The triggers at work. They are replaced as a whole; deliveries on their way still arrive."""

    def __init__(self, pool: asyncpg.Pool, environ: Mapping[str, str]) -> None:
        self.events: EventTriggers | None = None
        self.crons: CronTriggers | None = None
        self._pool = pool
        self._environ = environ
        self._document: dict[str, Any] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._landing: set[asyncio.Task[None]] = set()

    async def start(self, document: dict[str, Any]) -> None:
        self._document = document
        self.events = self.crons = None
        for trigger in await triggers(self._pool, document, self._environ):
            await self._run(trigger)

    async def follow(self, document: dict[str, Any], *, anew: bool = False) -> None:
        """Run the triggers of this document instead. Without a difference nothing is restarted.

        A failure leaves those of the former document at work. Nothing happens before start().
        """
        former = self._document
        if former is None:
            return
        self._document = document
        if not anew and list(_parts(former)) == list(_parts(document)):
            return
        await self._end(LANDING_SECONDS)
        try:
            await self.start(document)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self._end(LANDING_SECONDS)
            await self.start(former)
            raise

    def look(self) -> None:
        """Look for events: this engine has changed something, and no trigger tells it."""
        if self.events is not None:
            self.events.look()

    async def reinstall(self) -> None:
        """Put event triggers on tables that have been made again since."""
        if self.events is not None:
            await self.events.install()

    async def scheduler(self) -> CronTriggers:
        """Return what delivers scheduled events; a database without its tables gets them."""
        if self.crons is None:
            await self._run(CronTriggers(self._pool, self._document or {}, self._environ))
        assert self.crons is not None  # noqa: S101  # that is what _run() has set
        return self.crons

    async def stop(self) -> None:
        await self._end(None)
        if self._landing:
            await asyncio.wait(self._landing)

    async def _run(self, trigger: Trigger) -> None:
        await trigger.install()
        if isinstance(trigger, EventTriggers):
            self.events = trigger
        elif isinstance(trigger, CronTriggers):
            self.crons = trigger
        task = asyncio.create_task(trigger.run())
        task.add_done_callback(_tell)
        self._tasks.add(task)

    async def _end(self, seconds: float | None) -> None:
        """Claim no more, and wait so long for what is on its way; the rest lands by itself."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        done, pending = await asyncio.wait(tasks, timeout=seconds)
        for task in done:
            with suppress(asyncio.CancelledError, Exception):
                task.result()
        self._landing |= pending
        for task in pending:
            task.add_done_callback(self._landing.discard)


def _tell(task: asyncio.Task[None]) -> None:
    """Say that triggers are at work no more, which nobody would hear before the engine stops."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        logger.critical("triggers are not delivered any more", exc_info=fault)


def _parts(document: dict[str, Any]) -> Iterable[Any]:
    """List what the triggers take from a document."""
    for source in document.get("sources") or []:
        for table in source.get("tables") or []:
            if table.get("event_triggers"):
                yield table["table"], table["event_triggers"]
    yield document.get("cron_triggers") or []
