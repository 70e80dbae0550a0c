"""Reads for the slow watchers of a statement, one after the other, while the rest goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from .cohorts import Cohort

Read = Callable[[Cohort], Awaitable[None]]


class SlowLane:
    """A cohort whose answer comes quickly again leaves the lane."""

    def __init__(self, read: Read, patience_s: float) -> None:
        self._read = read
        self._patience_s = patience_s
        self._waiting: dict[Cohort, None] = {}
        self._task: asyncio.Task[None] | None = None

    def read(self, cohorts: Iterable[Cohort]) -> None:
        """Put cohorts in line; one that waits already keeps its place."""
        for cohort in cohorts:
            self._waiting.setdefault(cohort)
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            cohort = next(iter(self._waiting))
            started = loop.time()
            await self._read(cohort)
            cohort.is_slow = loop.time() - started > self._patience_s / 2
            del self._waiting[cohort]

    async def close(self) -> None:
        """Give up what is being read."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
