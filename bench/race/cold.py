"""The engine alone: documents it has never seen, and its start with sixty tables, ten roles."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from race import world
from race.load import is_whole
from race.requests import ORGANIZATION, http
from race.servers import (
    ROOT,
    RaceError,
    engine_command,
    engine_environ,
    free_port,
    megabytes,
    stop,
)
from race.workloads import SECRET

ANSWER_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds to the first answer, and megabytes once every role has been answered."""

    seconds: float
    megabytes: float


def documents(port: int, number: int) -> list[float]:
    """Return the milliseconds of so many queries of twenty fields that are all new."""
    draw = random.Random(20)
    taken = []
    with socket.create_connection(("127.0.0.1", port), ANSWER_S_MAX) as connection:
        for _ in range(number):
            request = _ask(_new_document(draw), "clerk")
            started = time.perf_counter()
            answer = _exchange(connection, request)
            taken.append((time.perf_counter() - started) * 1000)
            if b'"data":' not in answer:
                raise RaceError(f"a new document failed: {answer[-300:].decode()}")
    return taken


def _new_document(draw: random.Random) -> str:
    """Write a query of twenty fields, over a table and two relationships, with its own names."""
    number = draw.randrange(2, world.ORDINARY + 1)
    columns = draw.sample(sorted(world.COLUMNS), 10)
    mine = " ".join(f"a{draw.randrange(10**9)}: {name}" for name in columns)
    before = " ".join(draw.sample(sorted(world.COLUMNS), 4))
    table = world.ordinary(number)
    return (
        f"query Q{draw.randrange(10**9)} {{ {table}(where: {{active: {{_eq: true}}}},"
        f" order_by: {{id: asc}}, limit: 10) {{ id {mine} client {{ id name email }}"
        f" previous {{ {before} }} }} }}"
    )


def _ask(query: str, role: str) -> bytes:
    headers = {
        "x-hasura-admin-secret": SECRET,
        "x-hasura-role": role,
        "x-hasura-organization-id": ORGANIZATION,
    }
    return http("/v1/graphql", {"query": query}, headers)


def _exchange(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    answer = b""
    while not is_whole(answer):
        part = connection.recv(262_144)
        if not part:
            raise RaceError("the engine closed the connection")
        answer += part
    return answer


def start(metadata: Path, url: str, times: int) -> Start:
    """Start the engine so many times; the median of the seconds, the most of the megabytes."""
    found = [_start(metadata, url) for _ in range(times)]
    return Start(median(item.seconds for item in found), max(item.megabytes for item in found))


def _start(metadata: Path, url: str) -> Start:
    port = free_port()
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **engine_environ("http://127.0.0.1:9/")}
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        command = engine_command(metadata, url, port)
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=said, stderr=said)
        try:
            with _connected(process, port) as connection:
                _first_answer(connection, "clerk")
                seconds = time.perf_counter() - started
                for role in world.ROLES:
                    _first_answer(connection, role)
            return Start(seconds, megabytes(process.pid))
        finally:
            stop(process)


def _connected(process: subprocess.Popen[bytes], port: int) -> socket.socket:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port), ANSWER_S_MAX)
        time.sleep(0.005)
    raise RaceError("the engine does not start")


def _first_answer(connection: socket.socket, role: str) -> None:
    query = "{ transactions(limit: 1, order_by: {id: asc}) { id client { name } } }"
    answer = _exchange(connection, _ask(query, role))
    rows = json.loads(answer.partition(b"\r\n\r\n")[2]).get("data", {}).get("transactions")
    if not rows:
        raise RaceError(f"the first answer of {role} is wrong: {answer[-300:].decode()}")
