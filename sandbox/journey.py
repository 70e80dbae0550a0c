"""A journey through virtual time: from one moment at which something is due to the next.

What is due is read from the queues themselves. What a simulated gateway is to do by itself (a page
closes, a webhook is sent again) is asked of the simulator.

At each stop the clock is set, the simulator is told, and the service's crons are called as Hasura
would have called them, each once for all the ticks it missed: they find work in the data and not
in the tick. What ticks at one moment is called at once. A cron whose queues have nothing due is not
called, for it would find nothing. Hasura's own scheduler goes on in real time, and harms nothing
for the same reason.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import yaml
from croniter import croniter

from sandbox.gateways.server.posting import Poster, PostError
from sandbox.queues import Due, Queues, may_find
from sandbox.world import ACTION_SECRET, METADATA, Ports, WorldError

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ANSWER_SECONDS_MAX = 60.0  # what Hasura grants a cron
HEADERS = {"Content-Type": "application/json", "ACTION-SECRET": ACTION_SECRET}
SUCCESSES = range(200, 300)
LAST_ROUNDS_MAX = 1_000  # at the target time stands still; work that never ends must not hold it

# Reads everything and changes nothing, so one call at the end says as much as one at every stop.
WATCHERS = frozenset({"check_invariants"})


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron trigger of the metadata."""

    name: str
    path: str
    schedule: str

    def tick_after(self, moment: datetime) -> datetime:
        found: datetime = croniter(self.schedule, moment).get_next(datetime)
        return found

    def tick_before(self, moment: datetime) -> datetime:
        """Answer the last tick at or before a moment."""
        found: datetime = croniter(self.schedule, moment + timedelta(seconds=1)).get_prev(datetime)
        return found

    @property
    def is_rare(self) -> bool:
        """Whether it ticks less than hourly: then each tick is a stop."""
        return _pause(self.schedule) > HOUR


@dataclass(slots=True)
class Story:
    """What happened on the way."""

    stops: int = 0
    calls: int = 0
    failures: dict[str, str] = field(default_factory=dict)  # the last failure of each cron


@cache
def _pause(schedule: str) -> timedelta:
    ticks = croniter(schedule, datetime(2026, 1, 1, tzinfo=UTC))
    first: datetime = ticks.get_next(datetime)
    second: datetime = ticks.get_next(datetime)
    return second - first


def crons(metadata: Path = METADATA) -> list[Cron]:
    text = (metadata / "cron_triggers.yaml").read_text(encoding="utf-8")
    return [
        Cron(one["name"], one["webhook"].removeprefix("{{APP_URL}}"), one["schedule"])
        for one in yaml.safe_load(text) or []
    ]


class Journey:
    """Moves one sandbox's time forward."""

    def __init__(self, database: Any, web: httpx.AsyncClient, ports: Ports) -> None:
        self.database = database
        self.web = web
        self.ports = ports
        self.crons = crons()
        self.story = Story()
        self.now = datetime.now(UTC)
        self._looked: dict[str, datetime] = {}  # when each cron last had its turn
        self._stuck: tuple[object, timedelta] = (None, MINUTE)
        self.queues = Queues(database)
        self._poster = Poster()

    async def go(self, target: datetime, report: Callable[[datetime, Story], None]) -> Story:
        """Travel to a moment. Cut short anywhere it leaves time at the last stop, and all whole."""
        self.now = await self.database.fetchval("select clock_now()")
        self._looked = {cron.name: self.now for cron in self.crons}
        try:
            while (stop := await self._next_stop()) < target:
                await self._stop(stop)
                report(self.now, self.story)
            await self._arrive(target)
        finally:
            await self._poster.close()
        return self.story

    async def _next_stop(self) -> datetime:
        gateways = await gateways_due(self.web, self.ports)
        queues = await self.queues.due()
        moments = [on_the_minute(queue.coming) for queue in queues if queue.coming]
        moments += [cron.tick_after(self.now) for cron in self.crons if cron.is_rare]
        if gateways and gateways > self.now:  # what is due already is on its way
            moments.append(on_the_minute(gateways))
        late = [queue for queue in queues if queue.is_late]
        if late:
            moments.append(self.now.replace(second=0, microsecond=0) + self._patience(late))
        return min(moments, default=datetime.max.replace(tzinfo=UTC))

    def _patience(self, late: list[Due]) -> timedelta:
        """Wait a minute while work is being done, and twice as long each time when none was."""
        before, wait = self._stuck
        seen = _shape(late)
        wait = min(wait * 2, DAY) if seen == before else MINUTE
        self._stuck = (seen, wait)
        return wait

    async def _stop(self, moment: datetime) -> None:
        await self._set(moment)
        self.story.stops += 1
        ticks = {
            cron: tick
            for cron in self.crons
            if cron.name not in WATCHERS
            and (tick := cron.tick_before(self.now)) > self._looked[cron.name]
        }
        self._looked |= dict.fromkeys([cron.name for cron in ticks], self.now)
        queues = await self.queues.due()
        called = [cron for cron in ticks if may_find(cron.name, queues)]
        called.sort(key=lambda cron: (ticks[cron], cron.name))
        await self._run([list(group) for _, group in groupby(called, ticks.__getitem__)])

    async def _arrive(self, target: datetime) -> None:
        """At the end call every cron, and those that sweep until nothing more gets done."""
        await self._set(max(target, self.now))
        sweeps = [[cron] for cron in self.crons if cron.name not in WATCHERS]
        await self._run(sweeps)
        for _ in range(LAST_ROUNDS_MAX):
            before = await self._late()
            if not before:
                break
            await self._run(sweeps)
            if before == await self._late():
                break
        await self._run([[cron] for cron in self.crons if cron.name in WATCHERS])
        self.story.stops += 1

    async def _late(self) -> list[object]:
        return _shape([queue for queue in await self.queues.due() if queue.is_late])

    async def _set(self, moment: datetime) -> None:
        self.now = await set_clock(self.database, moment)

    async def _run(self, groups: list[list[Cron]]) -> None:
        """Call group after group, those of a group at once, and only the very first one alone.

        The service asks for the time anew at each tick. Only then is the simulator told, as
        webhooks may not carry a time that the service does not know.
        """
        first = groups[0][0] if groups else None
        if first:
            await self._call(first)
        await tell_simulator(self.database, self.web, self.ports)
        for group in groups:
            await asyncio.gather(*(self._call(cron) for cron in group if cron is not first))

    async def _call(self, cron: Cron) -> None:
        tick = {
            "id": str(uuid4()),
            "name": cron.name,
            "payload": {},
            "scheduled_time": self.now.isoformat(),
        }
        url, body = f"{self.ports.app_url}{cron.path}", json.dumps(tick).encode()
        try:
            status, text = await self._poster.post(url, HEADERS, body, ANSWER_SECONDS_MAX)
        except PostError as failure:
            raise WorldError(f"the app does not answer {cron.path}: {failure}") from failure
        self.story.calls += 1
        self.story.failures.pop(cron.name, None)
        if status not in SUCCESSES:
            self.story.failures[cron.name] = f"{status} {text[:120].strip()}"


def _shape(queues: list[Due]) -> list[object]:
    """Tell what of queues is another after any of their work is done."""
    return [(queue.name, queue.overdue, queue.oldest) for queue in queues]


def on_the_minute(moment: datetime) -> datetime:
    """Answer the first minute at or after a moment: crons tick on minutes."""
    whole = moment.replace(second=0, microsecond=0)
    return whole if whole == moment else whole + MINUTE


async def set_clock(database: Any, moment: datetime) -> datetime:
    """Set the clock to a moment, in whole seconds, and never back; answer what it says then."""
    return await _skew(
        database, "greatest(skew_seconds, ceil(extract(epoch from $1 - now())))", moment
    )


async def set_clock_back(database: Any, skew_seconds: int) -> datetime:
    """Set the skew itself. Whoever calls has seen that nothing is recorded after that time."""
    return await _skew(database, "$1", skew_seconds)


async def _skew(database: Any, wanted: str, value: object) -> datetime:
    found: datetime = await database.fetchval(
        f"with moved as (update clock set skew_seconds = {wanted} returning skew_seconds)"  # noqa: S608  # one of the two texts above
        " select now() + skew_seconds * interval '1 second' from moved",
        value,
    )
    return found


async def gateways_due(web: httpx.AsyncClient, ports: Ports) -> datetime | None:
    """Ask when a simulated gateway will do something by itself, once its webhooks have arrived."""
    try:
        answer = await web.get(f"{ports.gateways_url}/_sandbox/clock/quiet")
    except httpx.HTTPError as failure:
        raise WorldError(f"the gateways do not answer: {failure!r}") from failure
    if not answer.is_success:
        raise WorldError(f"the gateways do not tell the time: {answer.text[:200]}")
    due = answer.json()["next_due"]
    return due and datetime.fromtimestamp(due, UTC)


async def tell_simulator(database: Any, web: httpx.AsyncClient, ports: Ports) -> None:
    """Have the simulated gateways live in the same time."""
    skew = await database.fetchval("select skew_seconds from clock")
    url = f"{ports.gateways_url}/_sandbox/clock"
    try:
        answer = await web.post(url, json={"skew_seconds": skew})
    except httpx.HTTPError as failure:
        raise WorldError(f"the gateways do not answer: {failure!r}") from failure
    if not answer.is_success:
        raise WorldError(f"the gateways refuse the time: {answer.text[:200]}")
