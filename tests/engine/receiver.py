"""A webhook for tests, in the test's own event loop: it keeps what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg
import psycopg
from engine import waiting

from sandbox.postgres import Postgres

SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: Any
    at: float
    method: str = "POST"
    text: str = ""
    pairs: tuple[tuple[str, str], ...] = ()  # the headers as they came, each as often as it did


@dataclass(frozen=True)
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    text: str = "{}"
    after: asyncio.Event | None = None  # the answer waits for it


class Receiver:
    """Answers each request as `answer` says, given how many came before."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.answer: Callable[[int], Answer] = lambda _: Answer()
        self.url = ""

    async def wait_for(self, number: int) -> list[Request]:
        await waiting.until(lambda: len(self.requests) >= number)
        return self.requests

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                await self._exchange(reader, writer)
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        text = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
        method, path, _ = lines[0].split(" ")
        answer = self.answer(len(self.requests))
        given, now = _decoded(text), asyncio.get_running_loop().time()
        parted = (line.partition(": ") for line in lines[1:] if line)
        pairs = tuple((name, value) for name, _, value in parted)
        self.requests.append(Request(path, headers, given, now, method, text, pairs))
        await asyncio.sleep(answer.wait_s)
        if answer.after is not None:
            await answer.after.wait()
        extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        body = answer.text.encode()
        head = f"HTTP/1.1 {answer.status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
        writer.write(head.encode() + body)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        task = asyncio.create_task(receiver.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks)
        await server.wait_closed()


@asynccontextmanager
async def running(*engines: Any) -> AsyncIterator[None]:
    """Install what delivers, and run it."""
    for engine in engines:
        await engine.install()
    tasks = [asyncio.create_task(engine.run()) for engine in engines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes


async def until(pool: Any, query: str, expected: Any) -> None:
    """Wait until a query has the expected answer."""

    async def is_so() -> bool:
        return bool(await pool.fetchval(query) == expected)

    with suppress(TimeoutError):
        await waiting.until(is_so)
    assert await pool.fetchval(query) == expected


def new_database(server: Postgres) -> str:
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(f"create database {name}")
    return server.url.rsplit("/", 1)[0] + f"/{name}"


def open_pool(url: str) -> Any:
    return asyncpg.create_pool(url, min_size=0, max_size=8)
