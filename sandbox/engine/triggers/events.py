"""Event triggers: each change of a watched table is delivered to a webhook, at least once."""

import asyncio
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sandbox.engine.errors import EngineError
from sandbox.engine.metadata import MetadataError
from sandbox.engine.settings import TRUE
from sandbox.engine.values import spell

from . import delivery, event_log
from .delivery import Job, Pace, Pump, Result, columns, setting
from .event_log import TableTrigger
from .webhooks import Hook, Retry

logger = logging.getLogger(__name__)

NAME_CHARACTERS_MAX = 42  # so that the names of the triggers on the table stay within 63
RETRY = {"num_retries": "retries", "interval_sec": "interval_s", "timeout_sec": "timeout_s"}
OPERATIONS = ("insert", "update", "delete")
MANUAL_SESSION = {"x-hasura-role": "admin"}  # only the admin makes events by hand

# A number with a fraction, or a string, which may look like one.
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+\.\d+')


@dataclass(frozen=True, slots=True)
class Trigger:
    """One event trigger of the metadata. Without a hook it is known and cannot deliver."""

    name: str
    schema: str
    table: str
    definition: dict[str, Any]
    hook: Hook | None
    replicates: bool = False


class EventTriggers:
    """Installs the metadata's event triggers and delivers their events.

    `problems` says, after install(), which triggers cannot work and why. Of the pool's connections
    run() keeps one to listen, and uses at most two more.
    """

    def __init__(self, pool: Any, metadata: dict[str, Any], environ: Mapping[str, str]) -> None:
        self.problems: dict[str, str] = {}
        self._pool = pool
        self._triggers = {item.name: item for item in self._read(metadata, environ)}
        stringify = environ.get("HASURA_GRAPHQL_STRINGIFY_NUMERIC_TYPES", "")
        self._stringify = stringify.lower() in TRUE
        self._lock_s = setting(environ, "HASURA_GRAPHQL_EVENTS_LOCK_SECONDS", 1800)
        pace = Pace(
            interval_s=setting(environ, "HASURA_GRAPHQL_EVENTS_FETCH_INTERVAL", 1000) / 1000,
            batch_max=int(setting(environ, "HASURA_GRAPHQL_EVENTS_FETCH_BATCH_SIZE", 100)),
            concurrent_max=int(setting(environ, "HASURA_GRAPHQL_EVENTS_HTTP_POOL_SIZE", 100)),
            grace_s=setting(environ, "HASURA_GRAPHQL_GRACEFUL_SHUTDOWN_TIMEOUT", 60),
        )
        self._pump = Pump(self, pace)

    async def install(self) -> None:
        """Make the event log and the triggers on the tables what the metadata says."""
        wanted = [part for trigger in self._triggers.values() for part in _parts(trigger)]
        async with self._pool.acquire() as connection:
            self.problems |= await event_log.install(connection, wanted, stringify=self._stringify)
        for name, reason in self.problems.items():
            logger.warning("event trigger %s: %s", name, reason)

    async def run(self) -> None:
        """Deliver until cancelled; then let deliveries on their way end, and unlock the rest."""
        listening = asyncio.create_task(self._listen())
        try:
            await self._pump.run()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    def look(self) -> None:
        """Claim what is due, now or with what comes in the next moments."""
        self._pump.bell.set()

    async def invoke(
        self, name: str, payload: Any, session: Mapping[str, str] = MANUAL_SESSION
    ) -> str:
        """Make an event by hand. Returns its id."""
        trigger = self._triggers.get(name)
        if trigger is None:
            raise EngineError("not-exists", f'event trigger with name "{name}" does not exist')
        if not trigger.definition.get("enable_manual"):
            text = f'manual mode is not enabled for event trigger: "{name}"'
            raise EngineError("not-supported", text)
        place = (name, trigger.schema, trigger.table)
        texts = json.dumps(payload), json.dumps(dict(session))
        event_id: str = await self._pool.fetchval(event_log.INVOKE, *place, *texts)
        self.look()
        return event_id

    async def redeliver(self, event_id: str) -> None:
        """Send an event again, with the same id and all its retries."""
        if await self._pool.fetchval(event_log.REDELIVER, event_id, self._lock_s) is None:
            known = "select 1 from hdb_catalog.event_log where id = $1"
            if await self._pool.fetchval(known, event_id) is None:
                raise EngineError("not-exists", "event not found")
            raise EngineError("busy", "event is already being processed")
        self.look()

    async def claim(self, limit: int) -> list[Job]:
        rows = await self._pool.fetch(event_log.CLAIM, limit, self._lock_s)
        return [self._job(row) for row in rows]

    async def settle(self, results: list[Result]) -> None:
        await self._pool.execute(event_log.SETTLE, *columns(results))

    def _job(self, row: Mapping[str, Any]) -> Job:
        trigger = self._triggers.get(row["trigger_name"])
        hook = trigger.hook if trigger else None
        envelope = {
            "id": row["id"],
            "created_at": row["created_at"].isoformat(),
            "delivery_info": {
                "current_retry": row["tries"],
                "max_retries": hook.retry.retries if hook else 0,
            },
            "trigger": {"name": row["trigger_name"]},
            "table": {"schema": row["schema_name"], "name": row["table_name"]},
        }
        # The event goes as the text that Postgres has, so that no digit is lost.
        body = f'{json.dumps(envelope)[:-1]}, "event": {spell_numbers(row["payload"])}}}'
        return Job(row["id"], row["trigger_name"], row["tries"], body, hook)

    async def _listen(self) -> None:
        """Ring the bell when a trigger fires, so that nothing waits for the next look."""
        while True:
            try:
                async with self._pool.acquire() as connection:
                    await self._hear(connection)
            except delivery.DATABASE_FAULTS as error:
                logger.warning("listening for events waits for the database: %s", error)
            await asyncio.sleep(delivery.PAUSE_SECONDS)

    async def _hear(self, connection: Any) -> None:
        lost = asyncio.Event()

        def on_loss(*_: object) -> None:
            lost.set()

        def on_event(*_: object) -> None:
            self._pump.bell.set()

        connection.add_termination_listener(on_loss)
        try:
            await connection.add_listener(event_log.CHANNEL, on_event)
            self._pump.bell.set()  # for what came before
            await lost.wait()
        finally:
            with suppress(*delivery.DATABASE_FAULTS):  # a lost one takes its listeners along
                connection.remove_termination_listener(on_loss)
                await connection.remove_listener(event_log.CHANNEL, on_event)

    def _read(self, metadata: dict[str, Any], environ: Mapping[str, str]) -> Iterator[Trigger]:
        for source in metadata.get("sources") or []:
            for table in source.get("tables") or []:
                place = table["table"]
                if isinstance(place, str):
                    place = {"schema": "public", "name": place}
                for item in table.get("event_triggers") or []:
                    name = item["name"]
                    if len(name) > NAME_CHARACTERS_MAX:
                        longest = f"its name has more than {NAME_CHARACTERS_MAX} characters"
                        self.problems[name] = longest
                        continue
                    try:
                        hook = _hook(item, environ)
                    except MetadataError as error:
                        self.problems[name] = str(error)
                        hook = None
                    definition = item.get("definition") or {}
                    schema = place.get("schema", "public")
                    replicates = bool(item.get("trigger_on_replication"))
                    yield Trigger(name, schema, place["name"], definition, hook, replicates)


def spell_numbers(text: str) -> str:
    """Write fractions as Hasura does, which reads and writes them: 150.50 becomes 150.5."""
    if "." not in text:
        return text
    return TOKEN.sub(
        lambda match: match[0] if match[0][0] == '"' else spell(Decimal(match[0])), text
    )


def _hook(item: dict[str, Any], environ: Mapping[str, str]) -> Hook:
    given = item.get("retry_conf") or {}
    known = {RETRY[key]: value for key, value in given.items() if key in RETRY}
    retry = Retry(**{key: value for key, value in known.items() if value is not None})
    return Hook.read(item, retry, environ)


def _parts(trigger: Trigger) -> Iterator[TableTrigger]:
    """List the triggers a table needs. Only an update can listen to other columns than it sends."""
    for operation in OPERATIONS:
        if (spec := trigger.definition.get(operation)) is None:
            continue
        listened = spec.get("columns", "*")
        sent = spec.get("payload") or ("*" if operation == "update" else listened)
        place = (trigger.name, trigger.schema, trigger.table)
        yield TableTrigger(*place, operation.upper(), listened, sent, trigger.replicates)
