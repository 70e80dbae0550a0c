"""Connections that requests hand to each other, without going back to the pool in between.

asyncpg's pool makes a task, two timers and two futures at each hand-over, which costs about as much
as sending a small statement. So most of its connections are leased: kept here while they are idle,
and handed on to the next request that waits. The rest stays in the pool, for triggers and calls of
the API as much as for requests, which borrow them for a few turns. Whatever is not as it should be
goes back to the pool, which knows how to mend or close it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import asyncpg

WAIT_SECONDS_MAX = 15
BORROW_SECONDS_MAX = 0.1  # there was one just now
LEFT_TO_OTHERS = 4
SMALLEST_SHARED = 8  # a smaller pool is not divided
TURNS_BORROWED = 20  # that a borrowed connection is handed on before others may have it


class Leases:
    """Take a connection, give it back; every one that was taken must be given back once."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        size = pool.get_max_size()
        self.most = size - LEFT_TO_OTHERS if size >= SMALLEST_SHARED else 0
        self._idle: list[Any] = []  # the one that was used last is taken first
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._held: dict[Any, int] = {}  # leased and borrowed, with the generation they are of
        self._borrowed: dict[Any, int] = {}  # with the turns that are left
        self._opening = 0
        self._generation = 0

    async def take(self) -> Any:
        """Wait for a connection; raises TimeoutError, or what opening one raises."""
        if not self.most:
            return await self.pool.acquire(timeout=WAIT_SECONDS_MAX)
        is_next = not self._waiting  # those who wait would have seen room; looking for it is slow
        while True:
            if self._idle:
                connection = self._idle.pop()
                if self._is_sound(connection):
                    return connection
                await self._return(connection)
            elif len(self._held) - len(self._borrowed) + self._opening < self.most:
                return await self._lease()
            elif (connection := await self._borrowed_or_handed_on(is_next=is_next)) is not None:
                return connection
            is_next = True

    async def give(self, connection: Any, *, failed: bool) -> None:
        """Hand on, or keep for later; after a failure asyncpg itself looks at the connection."""
        stays = not failed and connection in self._held and self._is_sound(connection)
        if not stays or not self._may_stay(connection):
            await self._return(connection)
        elif not self._wake(connection):
            self._idle.append(connection)

    async def expire(self) -> None:
        """Let no connection that is open now be used by another request."""
        self._generation += 1
        await self.pool.expire_connections()

    async def close(self) -> None:
        """Give what is idle back to the pool, which is about to close."""
        self.most = 0
        while self._idle:
            await self._return(self._idle.pop())

    async def _lease(self) -> Any:
        self._opening += 1
        try:
            connection = await self.pool.acquire(timeout=WAIT_SECONDS_MAX)
            self._held[connection] = self._generation
        except BaseException:
            self._wake(None)  # another may try what this one could not
            raise
        finally:
            self._opening -= 1
        return connection

    async def _borrowed_or_handed_on(self, *, is_next: bool) -> Any:
        if is_next and self._has_room():
            return await self._borrow()
        return await self._handed_on()

    async def _borrow(self) -> Any:
        """Take one that nobody holds; None where others of the pool's have come for it first."""
        try:
            connection = await self.pool.acquire(timeout=BORROW_SECONDS_MAX)
        except TimeoutError:
            return None
        self._held[connection] = self._generation
        self._borrowed[connection] = TURNS_BORROWED
        return connection

    def _may_stay(self, connection: Any) -> bool:
        """Tell whether to hand on or keep; a borrowed one only while somebody waits for it."""
        turns = self._borrowed.get(connection)
        if turns is None:
            return self.most > 0  # or the pool is about to close
        self._borrowed[connection] = turns - 1
        return turns > 0 and any(not turn.done() for turn in self._waiting)

    async def _handed_on(self) -> Any:
        """Wait until somebody gives; None says that there is room for one more."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(turn)
        patience = loop.call_later(WAIT_SECONDS_MAX, _give_up, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                await self._pass_on(turn.result())
            raise
        finally:
            patience.cancel()

    async def _pass_on(self, given: Any) -> None:
        """Give away what came for one who has stopped waiting at that moment."""
        if given is None:
            self._wake(None)
        else:
            await self.give(given, failed=False)

    def _wake(self, connection: Any) -> bool:
        """Hand to the one that has waited longest, if there is one."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False

    def _is_sound(self, connection: Any) -> bool:
        try:
            sound = not connection.is_closed() and not connection.is_in_transaction()
        except asyncpg.InterfaceError:  # it was lost, and has left the pool by itself
            return False
        return sound and self._held[connection] == self._generation

    def _has_room(self) -> bool:
        """Tell whether the pool has a connection, or may open one, that nobody holds."""
        return bool(self.pool.get_size() - self.pool.get_idle_size() < self.pool.get_max_size())

    async def _return(self, connection: Any) -> None:
        self._held.pop(connection, None)
        self._borrowed.pop(connection, None)
        try:
            await self.pool.release(connection)
        finally:
            self._wake(None)


def _give_up(turn: asyncio.Future[Any]) -> None:
    if not turn.done():
        turn.set_exception(TimeoutError())
