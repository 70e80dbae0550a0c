"""Connections that requests hand to each other, without going back to the pool in between.

asyncpg's pool makes a task, two timers and two futures at each hand-over, which costs about as much
as sending a small statement. So most of its connections are leased: kept here while they are idle,
and handed on to the next request that waits. The rest stays in the pool, for triggers and calls of
the API as much as for requests. Whatever is not as it should be goes back to the pool, which knows
how to mend or close it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import asyncpg

WAIT_SECONDS_MAX = 15
LEFT_TO_OTHERS = 4
SMALLEST_SHARED = 8  # a smaller pool is not divided


class Leases:
    """Take a connection, give it back; every one that was taken must be given back once."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        size = pool.get_max_size()
        self.most = size - LEFT_TO_OTHERS if size >= SMALLEST_SHARED else 0
        self._idle: list[Any] = []  # the one that was used last is taken first
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._leased: dict[Any, int] = {}  # with the generation it is of
        self._opening = 0
        self._generation = 0

    async def take(self) -> Any:
        """Wait for a connection; raises TimeoutError, or what opening one raises."""
        if not self.most:
            return await self.pool.acquire(timeout=WAIT_SECONDS_MAX)
        while True:
            if self._idle:
                connection = self._idle.pop()
                if self._is_sound(connection):
                    return connection
                await self._return(connection)
            elif len(self._leased) + self._opening < self.most:
                return await self._open()
            elif self._has_room():
                return await self.pool.acquire(timeout=WAIT_SECONDS_MAX)
            elif (connection := await self._handed_on()) is not None:
                return connection

    async def give(self, connection: Any, *, failed: bool) -> None:
        """Hand on, or keep for later; after a failure asyncpg itself looks at the connection."""
        if connection not in self._leased:
            await self._release(connection)
        elif failed or not self.most or not self._is_sound(connection):
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

    async def _open(self) -> Any:
        self._opening += 1
        try:
            connection = await self.pool.acquire(timeout=WAIT_SECONDS_MAX)
            self._leased[connection] = self._generation
        except BaseException:
            self._wake(None)  # another may try what this one could not
            raise
        finally:
            self._opening -= 1
        return connection

    async def _handed_on(self) -> Any:
        """Wait until somebody gives; None says that there is room for one more."""
        turn: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                return await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # it was given, and cannot be used any more
                given = turn.result()
                if given is None:
                    self._wake(None)
                else:
                    await self.give(given, failed=False)
            raise

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
        return sound and self._leased[connection] == self._generation

    def _has_room(self) -> bool:
        """Tell whether the pool has a connection, or may open one, that nobody holds."""
        return bool(self.pool.get_size() - self.pool.get_idle_size() < self.pool.get_max_size())

    async def _return(self, connection: Any) -> None:
        del self._leased[connection]
        await self._release(connection)

    async def _release(self, connection: Any) -> None:
        try:
            await self.pool.release(connection)
        finally:
            self._wake(None)
