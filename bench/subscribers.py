"""What a thousand subscribers cost the engine: statements a tick, and shares of one core.

Starts a Postgres and an engine of its own, connects SUBSCRIBERS sockets, and watches the engine's
process for SECONDS: while nothing changes, while the answer changes at every tick, and with
another variable for each subscriber. The client's own work runs in this process and is not counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil  # type: ignore[import-untyped]  # it ships no types
import psycopg
import yaml
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from sandbox.postgres import Postgres

SUBSCRIBERS = 1000
SECONDS = 10
SCHEMA = """
create table prices (id integer primary key, amount bigint not null);
insert into prices select n, n * 100 from generate_series(1, 10) as n;
"""
SAME = "subscription { prices(order_by: {id: asc}) { id amount } }"
OWN = "subscription ($n: bigint!) { prices(where: {amount: {_gte: $n}}) { id amount } }"
SOURCE = {
    "name": "default",
    "kind": "postgres",
    "configuration": {"connection_info": {"database_url": {"from_env": "DATABASE_URL"}}},
    "tables": [{"table": {"schema": "public", "name": "prices"}}],
}


def write_metadata(directory: Path) -> Path:
    (directory / "databases").mkdir(parents=True)
    (directory / "version.yaml").write_text("version: 3\n")
    (directory / "databases" / "databases.yaml").write_text(yaml.safe_dump([SOURCE]))
    return directory


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start_engine(url: str, metadata: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sandbox.engine", "--metadata", str(metadata)]
    command += ["--database-url", url, "--port", str(port)]
    kept = {name: value for name, value in os.environ.items() if "HASURA" not in name}
    engine = subprocess.Popen(command, env=kept, stdout=subprocess.DEVNULL)
    for _ in range(100):
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
                return engine
        except OSError:
            time.sleep(0.1)
    engine.terminate()
    raise SystemExit("the engine did not start")


class Crowd:
    """Connected subscribers, and how many frames they have heard."""

    def __init__(self) -> None:
        self.sockets: list[ClientConnection] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.frames = 0
        self.complete = asyncio.Event()

    async def join(self, port: int, query: str, variables: dict[str, Any]) -> None:
        address = f"ws://127.0.0.1:{port}/v1/graphql"
        chosen = [Subprotocol("graphql-transport-ws")]
        wire = await connect(address, subprotocols=chosen, ping_interval=None)
        self.sockets.append(wire)
        await wire.send('{"type":"connection_init"}')
        payload = {"query": query, "variables": variables}
        await wire.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        self.tasks.append(asyncio.create_task(self._listen(wire)))

    async def _listen(self, wire: ClientConnection) -> None:
        async for message in wire:
            self.frames += str(message).startswith('{"type":"next"')
            if self.frames >= SUBSCRIBERS:
                self.complete.set()

    async def leave(self) -> None:
        for at in range(0, len(self.sockets), 100):
            await asyncio.gather(*(wire.close() for wire in self.sockets[at : at + 100]))
        await asyncio.gather(*self.tasks, return_exceptions=True)


@asynccontextmanager
async def crowd(port: int, query: str, *, own: bool) -> AsyncIterator[Crowd]:
    found = Crowd()
    try:
        for at in range(0, SUBSCRIBERS, 50):
            numbers = range(at, min(at + 50, SUBSCRIBERS))
            await asyncio.gather(
                *(found.join(port, query, {"n": n} if own else {}) for n in numbers)
            )
        await asyncio.wait_for(found.complete.wait(), 60)
        await asyncio.sleep(2)  # until the first frames are no longer felt
        yield found
    finally:
        await found.leave()


def scans(database: psycopg.Connection[Any]) -> int:
    """Count how often the table was read: once for each watcher's row of a statement."""
    sql = "select seq_scan + coalesce(idx_scan, 0) from pg_stat_user_tables"
    row = database.execute(f"{sql} where relname = 'prices'").fetchone()
    return int(row[0]) if row else 0


def commits(database: psycopg.Connection[Any]) -> int:
    sql = "select xact_commit from pg_stat_database where datname = current_database()"
    row = database.execute(sql).fetchone()
    return int(row[0]) if row else 0


async def measure(
    label: str,
    found: Crowd,
    engine: psutil.Process,
    database: psycopg.Connection[Any],
    *,
    busy: bool,
) -> None:
    """Watch for SECONDS; `busy` changes a row at every tick."""
    frames, before = found.frames, engine.cpu_times()
    scanned, committed = scans(database), commits(database)
    began, own = time.monotonic(), 2
    while time.monotonic() - began < SECONDS:
        if busy:
            database.execute("update prices set amount = amount + 1 where id = 10")
            own += 1
        await asyncio.sleep(1)
    elapsed, after = time.monotonic() - began, engine.cpu_times()
    await asyncio.sleep(1.2)  # Postgres tells its counters with a delay
    statements = commits(database) - committed - own
    cores = (after.user + after.system - before.user - before.system) / elapsed
    print(
        f"{label:<34}{statements / (elapsed + 1.2):>8.1f} statements/s"
        f"{(scans(database) - scanned) / (elapsed + 1.2):>9.1f} reads/s"
        f"{(found.frames - frames) / elapsed:>9.0f} frames/s"
        f"{cores:>7.2f} cores{engine.memory_info().rss / 2**20:>7.0f} MiB",
        flush=True,
    )


async def run(port: int, process: psutil.Process, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as database:
        async with crowd(port, SAME, own=False) as found:
            await measure("one live query, nothing changes", found, process, database, busy=False)
            await measure("one live query, always changes", found, process, database, busy=True)
        async with crowd(port, OWN, own=True) as found:
            await measure("own variables, nothing changes", found, process, database, busy=False)
            await measure("own variables, always change", found, process, database, busy=True)


def main() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    directory = Path(tempfile.mkdtemp())
    print(f"{SUBSCRIBERS} subscribers, {SECONDS} s each, one tick a second")
    with Postgres(directory / "data", fsync=False) as server:
        with psycopg.connect(server.url, autocommit=True) as database:
            database.execute(SCHEMA)
        port = free_port()
        engine = start_engine(server.url, write_metadata(directory / "metadata"), port)
        try:
            asyncio.run(run(port, psutil.Process(engine.pid), server.url))
        finally:
            engine.terminate()
            engine.wait(20)
    server.destroy()


if __name__ == "__main__":
    main()
