"""Deliver to webhooks: the rule for the next try, and the pump that empties a queue.

Event triggers and cron triggers are both a queue in the database. The pump claims rows of a queue,
posts them concurrently and settles what happened, many rows at a time in both directions.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import asyncpg

from sandbox.engine.outgoing import Outgoing
from sandbox.engine.settings import SettingsError
from sandbox.engine.transforms import TransformError

from .webhooks import Hook, Response, Retry, ask

logger = logging.getLogger(__name__)

# The last is what asyncpg says of a connection that is being lost at this moment.
DATABASE_FAULTS = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
SETTLE_SECONDS_MAX = 10.0  # to record the last results when the engine stops
PAUSE_SECONDS = 1.0  # after a fault of the database
FUTILE_MAX = 3  # doublings of the time between two looks, while they find nothing
MISSING_TRIGGER_SECONDS = 60.0  # until the next look at an event whose trigger is not known


@dataclass(frozen=True, slots=True)
class Job:
    """One claimed row of a queue. Without a hook it is not sent now.

    `version` is that of the log's form, which event triggers and scheduled ones do not share.
    """

    id: str
    name: str
    tries: int
    body: str = ""
    hook: Hook | None = None
    dead: bool = False
    version: str = "2"


class State(StrEnum):
    DELIVERED = "delivered"
    RETRY = "retry"
    ERROR = "error"
    DEAD = "dead"
    RELEASED = "released"  # claimed and not sent: anybody may claim it again


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a job. `response` is missing when it was not sent."""

    job: Job
    state: State
    wait_s: float | None = None
    response: Response | None = None

    @property
    def request_logged(self) -> str | None:
        if self.job.hook is None or self.response is None:
            return None
        headers = json.dumps(self.job.hook.headers_logged)
        payload = self.response.payload or self.job.body
        return f'{{"version": "{self.job.version}", "headers": {headers}, "payload": {payload}}}'

    @property
    def response_logged(self) -> str | None:
        return None if self.response is None else self.response.logged(self.job.version)


class Queue(Protocol):
    """A table of deliveries. Several engines may share one."""

    async def claim(self, limit: int) -> list[Job]:
        """Lock and return rows that are due."""

    async def settle(self, results: list[Result]) -> None:
        """Record what became of claimed rows, and unlock them."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The limits of a pump."""

    interval_s: float = 1.0  # between two looks at an empty queue that nobody rings for
    gather_s: float = 0.02  # between two claims, or two records, of which the first was not full
    batch_max: int = 100
    concurrent_max: int = 100
    grace_s: float = 60.0  # what deliveries on their way get when the engine stops


def decide(response: Response, tries: int, retry: Retry) -> tuple[State, float | None]:
    """Say what follows from a response to the try after `tries` others.

    Retry-After forces another try, even when all are used up.
    """
    if response.is_success:
        return State.DELIVERED, None
    if (wanted := response.retry_after_s) is not None:
        return State.RETRY, float(wanted)
    if tries < retry.retries:
        return State.RETRY, retry.interval_s
    return State.ERROR, None


class Pump:
    """Moves a queue's rows to their webhooks until it is cancelled.

    When cancelled it claims no more, lets what is on its way arrive, and releases the rest.
    """

    def __init__(self, queue: Queue, pace: Pace) -> None:
        self.queue = queue
        self.pace = pace
        self.bell = asyncio.Event()  # rung when there may be something to claim
        self._flying: set[asyncio.Task[None]] = set()
        self._results: list[Result] = []
        self._has_results = asyncio.Event()
        self._closing = False
        self._futile = 0  # looks in a row that somebody rang for, and that found nothing

    async def run(self) -> None:
        async with Outgoing(self.pace.concurrent_max) as outgoing:
            settling = asyncio.create_task(self._settle())
            try:
                while True:
                    await self._step(outgoing)
            finally:
                await self._land(settling)

    async def _step(self, outgoing: Outgoing) -> None:
        # A claim costs a round trip, so it waits until it is worth one.
        if len(self._flying) > self.pace.concurrent_max // 2:
            await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)
            return
        self.bell.clear()
        wanted = min(self.pace.concurrent_max - len(self._flying), self.pace.batch_max)
        try:
            jobs = await self._claim(wanted)
        except DATABASE_FAULTS as error:
            logger.warning("deliveries wait for the database: %s", error)
            await asyncio.sleep(PAUSE_SECONDS)
            return
        except Exception:
            # A row that cannot be read stays locked for a while; all others still go out.
            logger.exception("some deliveries could not be read")
            await asyncio.sleep(PAUSE_SECONDS)
            return
        if jobs:
            self._futile = 0
        for job in jobs:
            task = asyncio.create_task(self._deliver(outgoing, job))
            self._flying.add(task)
            task.add_done_callback(self._flying.discard)
        if len(jobs) < wanted:
            await self._rest()

    async def _rest(self) -> None:
        """Wait for the bell: after a long silence no more than that, else for others to come.

        Every change rings, and most change nothing that is watched: the more of them rang for
        nothing, the longer the next ones wait.
        """
        loop = asyncio.get_running_loop()
        rested_at = loop.time() + self.pace.gather_s * 2 ** min(self._futile, FUTILE_MAX)
        # Not wait_for(): on Python 3.11 it loses a cancellation that meets the bell.
        try:
            async with asyncio.timeout(self.pace.interval_s):
                await self.bell.wait()
            self._futile += 1
        except TimeoutError:
            self._futile = 0
        await asyncio.sleep(rested_at - loop.time())

    async def _claim(self, wanted: int) -> list[Job]:
        claiming = asyncio.ensure_future(self.queue.claim(wanted))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # The rows may be locked already, and nobody else would see them for a long time.
            with contextlib.suppress(*DATABASE_FAULTS):
                for job in await claiming:
                    self._finish(Result(job, State.RELEASED))
            raise

    async def _deliver(self, outgoing: Outgoing, job: Job) -> None:
        if job.dead:
            self._finish(Result(job, State.DEAD))
        elif job.hook is None:
            self._finish(Result(job, State.RETRY, MISSING_TRIGGER_SECONDS))
        else:
            try:
                response = await ask(outgoing, job.hook, job.body)
            except asyncio.CancelledError:
                self._finish(Result(job, State.RELEASED))
                raise
            except TransformError as error:
                # Trying again would change nothing, and nothing was sent that could be logged.
                logger.warning("%s is not delivered, its transform fails: %s", job.name, error)
                self._finish(Result(job, State.ERROR))
                return
            except Exception:
                # A fault of the engine's own: a failure like any other, or it would stay locked.
                logger.exception("%s could not be delivered", job.name)
                response = Response(fault="internal error")
            state, wait_s = decide(response, job.tries, job.hook.retry)
            self._finish(Result(job, state, wait_s, response))

    def _finish(self, result: Result) -> None:
        self._results.append(result)
        self._has_results.set()

    async def _settle(self) -> None:
        """Record results. What comes while one batch is written, or soon after, is the next."""
        while self._results or not self._closing:
            await self._has_results.wait()
            self._has_results.clear()
            results, self._results = self._results, []
            try:
                if results:
                    await self.queue.settle(results)
            except asyncpg.DataError:
                await self._settle_singly(results)
            except DATABASE_FAULTS as error:
                logger.warning("results of deliveries wait for the database: %s", error)
                self._results = results + self._results
                self._has_results.set()
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception:
                # Whatever one of them is, the others were delivered, and nobody else says so.
                logger.exception("results of deliveries cannot be recorded together")
                await self._settle_singly(results)
            if not self._closing:
                await asyncio.sleep(self.pace.gather_s)

    async def _settle_singly(self, results: list[Result]) -> None:
        """Keep a result that the database cannot store from holding up the others for ever."""
        for result in results:
            try:
                await self.queue.settle([result])
            except Exception:  # of this one: those after it are recorded
                logger.exception("delivery %s stays locked until its lock runs out", result.job.id)

    async def _land(self, settling: asyncio.Task[None]) -> None:
        if self._flying:
            await asyncio.wait(self._flying, timeout=self.pace.grace_s)
        for task in list(self._flying):
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)
        self._closing = True
        self._has_results.set()
        with contextlib.suppress(TimeoutError):  # without a database, locks run out by themselves
            await asyncio.wait_for(settling, SETTLE_SECONDS_MAX)


def setting(environ: Mapping[str, str], name: str, default: float) -> float:
    """Read a number from the environment; one that is none is refused with its name."""
    text = environ.get(name, "")
    try:
        value = float(text) if text.strip() else default
    except ValueError:
        raise SettingsError(f"{name}={text} is not a number") from None
    if value <= 0:
        raise SettingsError(f"{name}={text} is not more than zero")
    return value


def columns(results: list[Result]) -> list[list[Any]]:
    """Turn results into the arrays that the statements which settle them take."""
    rows = [
        (
            result.job.id,
            result.state.value,
            result.wait_s,
            result.response.status if result.response else None,
            result.request_logged,
            result.response_logged,
        )
        for result in results
    ]
    return [list(column) for column in zip(*rows, strict=True)]
