"""Pollers: one statement is run again on a beat, and those whose answer changed are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Protocol

from sandbox.engine.compile.steps import Stream
from sandbox.engine.errors import EngineError
from sandbox.engine.settings import Pace

from .cohorts import Answer, Arguments, Cohort, Subscriber
from .multiplex import Row
from .slow_lane import SlowLane

LOG = logging.getLogger("engine")

# A cohort and those of it who wait for their first answer.
Asked = tuple[Cohort, list[Subscriber]]


class Source(Protocol):
    async def rows(self, batch: Sequence[Arguments]) -> list[Row]: ...


class Poller:
    """Reads for all cohorts at each beat, and for newcomers at once."""

    def __init__(self, source: Source, pace: Pace) -> None:
        self.source = source
        self.pace = pace
        self.cohorts: dict[Arguments, Cohort] = {}
        self.places: dict[Subscriber, Cohort] = {}
        self.task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._batch = pace.batch
        self._patience_s = pace.patience_ms / 1000
        self._lane = SlowLane(self._poll_alone, self._patience_s)

    def add(self, arguments: Arguments, subscriber: Subscriber) -> None:
        cohort = self.cohorts.get(arguments)
        if cohort is None:
            cohort = self.cohorts[arguments] = Cohort(arguments)
        cohort.add(subscriber)
        self.places[subscriber] = cohort
        self._woken.set()

    def remove(self, subscriber: Subscriber) -> None:
        cohort = self.places.pop(subscriber)
        cohort.remove(subscriber)
        if not cohort.subscribers:
            del self.cohorts[cohort.arguments]
            self._woken.set()

    async def run(self) -> None:
        """Poll until nobody listens."""
        try:
            await self._run()
        finally:
            await self._lane.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self.cohorts:
            whole = loop.time() >= due
            if whole:
                due = loop.time() + self.pace.interval_ms / 1000
            self._woken.clear()
            chosen = [item for item in self.cohorts.values() if whole or item.newcomers]
            self._lane.read(item for item in chosen if item.is_slow)
            quick = [item for item in chosen if not item.is_slow]
            while quick:
                batch, quick = quick[: self._batch], quick[self._batch :]
                await self._poll_together([(item, item.take_newcomers()) for item in batch])
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._woken.wait()

    async def _poll_together(self, asked: list[Asked]) -> None:
        """Read for some cohorts; when that takes too long, find out who is slow."""
        if await self._in_time(asked):
            return
        slow = [item for item in asked if len(asked) == 1 or not await self._in_time([item])]
        for cohort, newcomers in slow:
            cohort.is_slow = True
            cohort.put_back(newcomers)
        if not slow:  # it is their number
            self._batch = max(1, len(asked) // 2)
        self._lane.read(cohort for cohort, _ in slow)

    async def _in_time(self, asked: list[Asked]) -> bool:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._poll(asked)
        except TimeoutError:
            return False
        return True

    async def _poll_alone(self, cohort: Cohort) -> None:
        """Read for one cohort, however long that takes."""
        if cohort.subscribers:
            await self._poll([(cohort, cohort.take_newcomers())])

    async def _poll(self, asked: list[Asked]) -> None:
        """Read for some cohorts; when that fails, find out for which of them."""
        try:
            rows = await self._rows(asked)
        except EngineError as error:
            # Without a database there is nothing to find out.
            if len(asked) == 1 or error.code.startswith("postgres-"):
                for cohort, newcomers in asked:
                    _tell(cohort, newcomers, error)
                    newcomers.clear()
                return
            half = len(asked) // 2
            await self._poll(asked[:half])
            await self._poll(asked[half:])
            return
        for (cohort, newcomers), row in zip(asked, rows, strict=True):
            self.received(cohort, newcomers, row)
            newcomers.clear()

    async def _rows(self, asked: list[Asked]) -> list[Row]:
        try:
            return await self.source.rows([cohort.arguments for cohort, _ in asked])
        except EngineError:
            raise
        except Exception as error:
            LOG.exception("a subscription could not be read")
            raise EngineError("unexpected", "internal error", status=500) from error

    def received(self, cohort: Cohort, newcomers: list[Subscriber], row: Row) -> None:
        raise NotImplementedError


def _tell(cohort: Cohort, newcomers: list[Subscriber], error: EngineError) -> None:
    """Tell a failure. A value that Postgres cannot read is refused at once, and for good."""
    cohort.digest = None
    others = [item for item in cohort.settled() if item not in newcomers]
    for subscriber in cohort.present(newcomers):
        if error.code == "data-exception":
            subscriber.refused(error)
        else:
            subscriber.failed(error)
    for subscriber in others:
        subscriber.failed(error)


class LivePoller(Poller):
    """Sends an answer when its text is another one than before."""

    def received(self, cohort: Cohort, newcomers: list[Subscriber], row: Row) -> None:
        text = row[0] or "null"
        digest = blake2b(text.encode(errors="replace"), digest_size=16).digest()
        changed = digest != cohort.digest
        cohort.digest = digest
        told = cohort.settled() if changed else cohort.present(newcomers)
        answer = Answer(text)
        for subscriber in told:
            subscriber.answered(answer)


class StreamPoller(Poller):
    """Sends rows that have not been sent, and moves the cursor past them."""

    def __init__(self, source: Source, pace: Pace, step: Stream) -> None:
        super().__init__(source, pace)
        self.cursor = step.cursor

    def received(self, cohort: Cohort, _newcomers: list[Subscriber], row: Row) -> None:
        """Whoever has come meanwhile stands at the same cursor, so the rows are theirs, too."""
        text, cursor = row
        if text is None or not cohort.subscribers:
            return
        self._move(cohort, cursor)
        answer = Answer(text)
        for subscriber in list(cohort.subscribers):
            subscriber.answered(answer)

    def _move(self, cohort: Cohort, cursor: str | None) -> None:
        """File the cohort under where it stands now, together with others that stand there."""
        del self.cohorts[cohort.arguments]
        before, after = cohort.arguments[: self.cursor], cohort.arguments[self.cursor + 1 :]
        cohort.arguments = (*before, cursor, *after)
        other = self.cohorts.setdefault(cohort.arguments, cohort)
        if other is not cohort:
            other.subscribers |= cohort.subscribers
            other.newcomers |= cohort.newcomers
            for subscriber in cohort.subscribers:
                self.places[subscriber] = other
