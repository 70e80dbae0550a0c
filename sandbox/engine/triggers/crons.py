"""Scheduled triggers: a webhook is called at the times of a cron expression, or at one time."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from croniter import CroniterError, croniter

from sandbox.engine.kriti.values import decode, encode
from sandbox.engine.metadata import MetadataError, contents, shape

from . import cron_log
from .delivery import Job, Pace, Pump, Result, columns, setting
from .webhooks import Hook, Retry

logger = logging.getLogger(__name__)

RETRY = {
    "num_retries": "retries",
    "retry_interval_seconds": "interval_s",
    "timeout_seconds": "timeout_s",
}
FIELDS = 5  # croniter knows more, Hasura does not
TOLERANCE_SECONDS = 21_600.0
LOG_VERSION = "1"
PLANNED_MAX = 100  # events of a trigger that lie ahead
PLANNED_MIN = 50
PLANNING_SECONDS = 60.0  # from one look at what lies ahead to the next


@dataclass(frozen=True, slots=True)
class Cron:
    """One cron trigger of the metadata."""

    name: str
    schedule: str
    payload: Any
    comment: str | None
    tolerance_s: float
    hook: Hook

    def times(self, after: datetime) -> Iterator[datetime]:
        steps = croniter(self.schedule, after)
        while True:
            yield steps.get_next(datetime)


class CronTriggers:
    """Plans the events of the metadata's cron triggers, and delivers them and one-off events.

    `problems` says which triggers cannot work and why. run() uses at most four of the pool's
    connections at once.
    """

    def __init__(self, pool: Any, metadata: dict[str, Any], environ: Mapping[str, str]) -> None:
        self.problems: dict[str, str] = {}
        self._pool = pool
        self._crons: dict[str, Cron] = {}
        for item in metadata.get("cron_triggers") or []:
            try:
                self._crons[item["name"]] = _cron(item, environ)
            except (MetadataError, CroniterError) as error:
                self.problems[item["name"]] = str(error)
        pace = Pace(
            interval_s=setting(environ, "HASURA_GRAPHQL_SCHEDULED_EVENTS_FETCH_SECONDS", 10),
            batch_max=int(setting(environ, "HASURA_GRAPHQL_EVENTS_FETCH_BATCH_SIZE", 100)),
            concurrent_max=int(setting(environ, "HASURA_GRAPHQL_EVENTS_HTTP_POOL_SIZE", 100)),
            grace_s=setting(environ, "HASURA_GRAPHQL_GRACEFUL_SHUTDOWN_TIMEOUT", 60),
        )
        lock_s = setting(environ, "HASURA_GRAPHQL_EVENTS_LOCK_SECONDS", 1800)
        self._cron_pump = Pump(_CronEvents(pool, lock_s, self), pace)
        self._one_off_pump = Pump(_OneOffEvents(pool, lock_s, environ), pace)
        self._planned_at = -PLANNING_SECONDS

    async def install(self) -> None:
        """Make the tables, and plan anew all that lies ahead, as a schedule may have changed."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", cron_log.INSTALL_LOCK)
            await connection.execute("set local client_min_messages = warning")
            await connection.execute(cron_log.TABLES)
            # A trigger that cannot work is still there, and may work again.
            names = [*self._crons, *self.problems]
            await connection.execute(cron_log.FORGET, names)
            await self._plan(connection)
        for name, reason in self.problems.items():
            logger.warning("cron trigger %s: %s", name, reason)

    async def run(self) -> None:
        """Deliver until cancelled; then let deliveries on their way end, and unlock the rest."""
        async with asyncio.TaskGroup() as pumps:
            pumps.create_task(self._cron_pump.run())
            pumps.create_task(self._one_off_pump.run())

    async def schedule(self, event: Mapping[str, Any]) -> str:
        """Make a one-off event from the arguments of create_scheduled_event. Returns its id."""
        event_id: str = await self._pool.fetchval(
            cron_log.SCHEDULE,
            json.dumps(event["webhook"]),
            event["schedule_at"],
            *(json.dumps(event.get(key)) for key in ("payload", "headers", "retry_conf")),
            event.get("comment"),
        )
        self._one_off_pump.bell.set()
        return event_id

    def find(self, name: str) -> Cron | None:
        return self._crons.get(name)

    async def replan(self) -> None:
        """Plan more events where few are left, now and then."""
        if time.monotonic() - self._planned_at >= PLANNING_SECONDS:
            async with self._pool.acquire() as connection:
                await self._plan(connection)

    async def _plan(self, connection: Any) -> None:
        now = await connection.fetchval("select now()")
        planned = {row["trigger_name"]: row for row in await connection.fetch(cron_log.PLANNED)}
        names: list[str] = []
        times: list[datetime] = []
        for cron in self._crons.values():
            row = planned.get(cron.name)
            if row is not None and row["number"] >= PLANNED_MIN:
                continue
            missing = PLANNED_MAX - (row["number"] if row is not None else 0)
            after = row["until"] if row is not None else now
            upcoming = list(islice(cron.times(after.astimezone(UTC)), missing))
            names += [cron.name] * len(upcoming)
            times += upcoming
        await connection.execute(cron_log.PLAN, names, times)
        self._planned_at = time.monotonic()


class _CronEvents:
    def __init__(self, pool: Any, lock_s: float, crons: CronTriggers) -> None:
        self._pool = pool
        self._lock_s = lock_s
        self._crons = crons

    async def claim(self, limit: int) -> list[Job]:
        await self._crons.replan()
        rows = await self._pool.fetch(cron_log.CLAIM.format(**cron_log.CRON), limit, self._lock_s)
        return [self._job(row) for row in rows]

    async def settle(self, results: list[Result]) -> None:
        await self._pool.execute(cron_log.SETTLE.format(**cron_log.CRON), *columns(results))

    def _job(self, row: Mapping[str, Any]) -> Job:
        cron = self._crons.find(row["trigger_name"])
        if cron is None:
            return Job(row["id"], row["trigger_name"], row["tries"])
        body = {
            "id": row["id"],
            "name": cron.name,
            "scheduled_time": _instant(row["scheduled_time"]),
            "payload": cron.payload,
            **({} if cron.comment is None else {"comment": cron.comment}),
        }
        dead = row["late_s"] > cron.tolerance_s
        text = encode(body)
        return Job(row["id"], cron.name, row["tries"], text, cron.hook, dead, LOG_VERSION)


class _OneOffEvents:
    def __init__(self, pool: Any, lock_s: float, environ: Mapping[str, str]) -> None:
        self._pool = pool
        self._lock_s = lock_s
        self._environ = environ

    async def claim(self, limit: int) -> list[Job]:
        query = cron_log.CLAIM.format(**cron_log.ONE_OFF)
        return [self._job(row) for row in await self._pool.fetch(query, limit, self._lock_s)]

    async def settle(self, results: list[Result]) -> None:
        await self._pool.execute(cron_log.SETTLE.format(**cron_log.ONE_OFF), *columns(results))

    def _job(self, row: Mapping[str, Any]) -> Job:
        body = {
            "id": row["id"],
            "scheduled_time": _instant(row["scheduled_time"]),
            "created_at": _instant(row["created_at"]),
            "payload": _decoded(row["payload"]),
            **({} if row["comment"] is None else {"comment": row["comment"]}),
        }
        item = {
            "name": row["id"],
            "webhook": _decoded(row["webhook_conf"]),
            "headers": _decoded(row["header_conf"]),
        }
        retry = _decoded(row["retry_conf"]) or {}
        hook = None
        try:
            shape.check(retry, contents.CRON_RETRY, "retry_conf")  # rows are written by anybody
            hook = _hook(item, retry, self._environ)
        except (MetadataError, shape.ShapeError) as error:
            logger.warning("scheduled event %s: %s", row["id"], error)
            retry = {}
        dead, text = row["late_s"] > _tolerance(retry), encode(body)
        return Job(row["id"], row["id"], row["tries"], text, hook, dead, LOG_VERSION)


def _cron(item: dict[str, Any], environ: Mapping[str, str]) -> Cron:
    retry = item.get("retry_conf") or {}
    cron = Cron(
        item["name"],
        item.get("schedule", ""),
        item.get("payload"),
        item.get("comment"),
        _tolerance(retry),
        _hook(item, retry, environ),
    )
    if len(cron.schedule.split()) != FIELDS:
        raise MetadataError(f"schedule {cron.schedule!r} does not have five fields")
    next(cron.times(datetime.now(UTC)))  # refuses what croniter cannot read, or never comes
    return cron


def _tolerance(retry: Mapping[str, Any]) -> float:
    """Return how late an event may be."""
    value = retry.get("tolerance_seconds")
    return TOLERANCE_SECONDS if value is None else float(value)


def _hook(item: dict[str, Any], retry: dict[str, Any], environ: Mapping[str, str]) -> Hook:
    known = {RETRY[key]: value for key, value in retry.items() if key in RETRY}
    given = Retry(**{key: value for key, value in known.items() if value is not None})
    return Hook.read(item, given, environ)


def _decoded(text: str | None) -> Any:
    return None if text is None else decode(text)


def _instant(moment: datetime) -> str:
    """Write a time in UTC with a Z, and without a fraction that is zero."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
