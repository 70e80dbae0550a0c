"""A TCP line between two parts that can be spoilt, whatever is spoken on it.

`proxy.py` understands HTTP and springs a trap at one call; this understands nothing, and so stands
before Postgres as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from enum import StrEnum
from typing import Any, Self

CHUNK = 1 << 16
THROTTLED_CHUNKS_A_SECOND = 20
LINGER_NOT = struct.pack("ii", 1, 0)  # close by resetting the connection


class Verb(StrEnum):
    """What happens to bytes on their way."""

    PASS = "pass"
    DELAY = "delay"  # what is asked arrives `seconds` later
    DROP_BEFORE = "drop before"  # what is asked is not passed on, and the connection closes
    DROP_AFTER = "drop after"  # what is answered is not passed back, and the connection closes
    RESET = "reset"  # half of an answer, then the connection is reset
    HALF_CLOSE = "half close"  # half of an answer, then its end, while the way there stays open
    THROTTLE = "throttle"  # `rate` bytes a second, both ways
    SWALLOW = "swallow"  # silence: nothing arrives, and nothing closes


THERE = frozenset({Verb.DELAY, Verb.DROP_BEFORE, Verb.THROTTLE, Verb.SWALLOW})
BACK = frozenset({Verb.DROP_AFTER, Verb.RESET, Verb.HALF_CLOSE, Verb.THROTTLE, Verb.SWALLOW})
CLOSING = frozenset({Verb.DROP_BEFORE, Verb.DROP_AFTER, Verb.RESET, Verb.HALF_CLOSE})

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


class Line:
    """Passes TCP on to a port of this machine, until it is told otherwise."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.hits = 0  # how often a verb other than pass was met
        self._verb, self._times = Verb.PASS, 0
        self._seconds, self._rate = 0.0, 0
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def spoil(self, verb: Verb, *, times: int = 1, seconds: float = 0.0, rate: int = CHUNK) -> None:
        """Meet the next `times` pieces of bytes with a verb; on connections already open, too."""
        self._seconds, self._rate = seconds, rate
        self._verb, self._times = verb, times

    def mend(self) -> None:
        self._verb = Verb.PASS

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _close(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # one side is gone, or all of it ends: the other side is closed below
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _join(self, reader: Reader, writer: Writer) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        pumps = [
            asyncio.ensure_future(self._pump(reader, back, writer, THERE)),
            asyncio.ensure_future(self._pump(there, writer, back, BACK)),
        ]
        try:
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            back.transport.abort()

    async def _pump(
        self, reader: Reader, writer: Writer, other: Writer, mine: frozenset[Verb]
    ) -> None:
        while data := await reader.read(CHUNK):
            verb = self._take(mine)
            if verb in CLOSING:
                await self._cut(verb, data, writer, other)
                return
            await self._forward(verb, data, writer)
        with contextlib.suppress(OSError):
            writer.write_eof()

    def _take(self, mine: frozenset[Verb]) -> Verb:
        if self._verb not in mine or self._times < 1:
            return Verb.PASS
        self.hits += 1
        self._times -= 1
        return self._verb

    async def _forward(self, verb: Verb, data: bytes, writer: Writer) -> None:
        if verb is Verb.SWALLOW:
            return
        if verb is Verb.DELAY:
            await asyncio.sleep(self._seconds)
        size = CHUNK
        if verb is Verb.THROTTLE:
            size = max(1, self._rate // THROTTLED_CHUNKS_A_SECOND)
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
            if verb is Verb.THROTTLE:
                await asyncio.sleep(1 / THROTTLED_CHUNKS_A_SECOND)

    async def _cut(self, verb: Verb, data: bytes, writer: Writer, other: Writer) -> None:
        if verb in {Verb.RESET, Verb.HALF_CLOSE}:
            writer.write(data[: len(data) // 2])
            await writer.drain()
        if verb is Verb.HALF_CLOSE:
            writer.write_eof()
            return
        if verb is Verb.RESET:
            client: socket.socket = writer.get_extra_info("socket")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        writer.transport.abort()
        other.transport.abort()
