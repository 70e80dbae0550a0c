"""A relay in a thread: it hands bytes on between two servers and counts a mark among them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Relay:
    """`seen` is how often the mark went by on its way to the server; it is never split in two."""

    port: int = 0
    seen: int = 0


@contextmanager
def relaying(to_port: int, mark: bytes) -> Iterator[Relay]:
    """Relay to a port of this machine until the block ends."""
    relay, loop = Relay(), asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", to_port)

        async def there() -> None:
            while data := await reader.read(65_536):
                relay.seen += data.count(mark)
                outer.write(data)
            outer.close()

        async def back() -> None:
            while data := await inner.read(65_536):
                writer.write(data)
            writer.close()

        await asyncio.gather(there(), back(), return_exceptions=True)

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    relay.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield relay
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        _end(loop, server)


def _end(loop: asyncio.AbstractEventLoop, server: asyncio.Server) -> None:
    server.close()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    loop.close()
