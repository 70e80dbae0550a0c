"""A connection that Postgres has given up, in the moment before its end is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from engine import harness
from engine.conftest import create_shop

from sandbox.engine import settings
from sandbox.engine.documents.requests import Request
from sandbox.engine.engine import Engine
from sandbox.engine.session import Session
from sandbox.postgres import Postgres

ADMIN = Session("admin", {"x-hasura-role": "admin"})
QUERY = '{ owner_by_pk(id: "ann") { id } }'
MOVE = "mutation { move_money(args: {p_from: 1, p_to: 3, p_amount: 1}) { id } }"
TWO_MOVES = "mutation { a: move_money(args: {p_from: 1, p_to: 3, p_amount: 1}) { id } __typename }"
CUT = """select pg_terminate_backend(pid, 30000) from pg_stat_activity
  where pid <> pg_backend_pid() and datname = current_database()"""


class Relay:
    """Passes on what Postgres says, and never that it has hung up."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.tasks: list[asyncio.Task[None]] = []
        self.answers: list[asyncio.Task[None]] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, asked = await asyncio.open_connection("127.0.0.1", self.upstream)
        self.writers += [writer, asked]
        for source, sink in ((reader, asked), (answers, writer)):
            self.tasks.append(asyncio.create_task(self._pass_on(source, sink)))
        self.answers.append(self.tasks[-1])

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)

    async def passed_on(self) -> None:
        """Wait until Postgres has hung up, and asyncpg has read what it said before."""
        async with asyncio.timeout(60):
            await asyncio.gather(*self.answers)
        for _ in range(10):
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for writer in self.writers:
            writer.transport.abort()


@asynccontextmanager
async def relayed(url: str, metadata: Path) -> AsyncIterator[tuple[Engine, Relay]]:
    """An engine that reaches its database through a relay."""
    parts = urlsplit(url)
    relay = Relay(int(parts.port or 0))
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    flags = {"database_url": url.replace(f":{parts.port}/", f":{port}/"), "metadata": str(metadata)}
    engine = Engine(settings.read(harness.ENVIRONMENT, flags))
    try:
        await engine.open(listening=False)
        yield engine, relay
    finally:
        engine.pool.terminate()
        await engine.close()
        await relay.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("query", "moved"), [(QUERY, 0), (MOVE, 1), (TWO_MOVES, 1)], ids=["query", "one", "together"]
)
def test_a_request_on_a_connection_that_is_being_lost_is_answered_once(
    bare_postgres: Postgres, shop_directory: Path, query: str, moved: int
) -> None:
    url = create_shop(bare_postgres)

    async def scene() -> Any:
        async with relayed(url, shop_directory) as (engine, relay):
            await engine.answer(Request(QUERY, {}, None), ADMIN)
            with psycopg.connect(url, autocommit=True) as postgres:
                assert postgres.execute(CUT).fetchall() == [(True,)]
            await relay.passed_on()
            return await engine.answer(Request(query, {}, None), ADMIN)

    answer, _ = asyncio.run(scene())
    assert answer.startswith('{"')
    with psycopg.connect(url) as postgres:
        rows = postgres.execute("select balance_minor from wallet where id = 1").fetchall()
    assert rows == [(1000 - moved,)]
