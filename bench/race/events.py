"""Event triggers: from an insert to its delivery, and how many deliveries a second.

The handler is a few lines on a socket in a thread of this process, which otherwise waits.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import psycopg

from race.load import is_whole
from race.requests import ORGANIZATION, http
from race.servers import RaceError
from race.workloads import SECRET

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
PAUSE_S = 0.03  # so that the engine is idle again
DELIVERY_S_MAX = 20.0


@dataclass(slots=True)
class Receiver:
    """Counts what it is delivered, with the time of the last one."""

    url: str = ""
    count: int = 0
    last_at: float = 0.0
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def take(self) -> None:
        with self.arrived:
            self.count += 1
            self.last_at = time.perf_counter()
            self.arrived.notify_all()

    def wait_for(self, count: int) -> float:
        """Wait until so many have arrived; returns when the last one did."""
        with self.arrived:
            if not self.arrived.wait_for(lambda: self.count >= count, DELIVERY_S_MAX):
                raise RaceError(f"{self.count} of {count} events were delivered")
            return self.last_at


class Endpoint(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if is_whole(self.received):
            self.received = b""
            self.receiver.take()
            self.transport.write(ANSWER)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve the handler in a thread until the block ends."""
    receiver = Receiver()
    loop = asyncio.new_event_loop()
    make = loop.create_server(lambda: Endpoint(receiver), "127.0.0.1", 0, backlog=500)
    server = loop.run_until_complete(make)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def latencies(port: int, receiver: Receiver, number: int) -> list[float]:
    """Insert row after row over GraphQL; milliseconds from sending the mutation to its delivery."""
    mutation = 'mutation { insert_notices_one(object: {organization_id: 7, body: "news"}) { id } }'
    session = {"x-hasura-admin-secret": SECRET, "x-hasura-organization-id": ORGANIZATION}
    request = http("/v1/graphql", {"query": mutation}, session)
    taken = []
    with socket.create_connection(("127.0.0.1", port), DELIVERY_S_MAX) as connection:
        for _ in range(number):
            expected = receiver.count + 1
            started = time.perf_counter()
            connection.sendall(request)
            taken.append((receiver.wait_for(expected) - started) * 1000)
            answer = connection.recv(65_536)
            if b'"errors":' in answer:
                raise RaceError(f"a notice was refused: {answer[-300:].decode()}")
            time.sleep(PAUSE_S)
    return taken


def rate(url: str, receiver: Receiver, number: int) -> float:
    """Insert so many rows at once; deliveries a second from the commit to the last of them."""
    expected = receiver.count + number
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(
            "insert into notices (organization_id, body)"
            " select 7, 'news ' || n from generate_series(1, %s) as n",
            [number],
        )
    committed = time.perf_counter()
    return number / (receiver.wait_for(expected) - committed)
