"""The services of the race, each as it runs in production: what they are started with."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

import psutil  # type: ignore[import-untyped]  # it ships no types
from race.servers import BENCH, ROOT, RaceError, Server, free_port, running

from inbound.messages import ACCOUNT, MARK, SECRET, Message, payment_intent
from sandbox import supervisor, world
from sandbox.world import Ports

DJSTRIPE = ROOT / ".sandbox" / "bench" / "djstripe"
ENDPOINT = "20000000-0000-4000-8000-000000000001"
PAGE_PAID = Message("/stripe-webhook", "checkout.session.completed")
INTENT_PAID = Message(f"/stripe/webhook/{ENDPOINT}/", "payment_intent.succeeded")
WELL_S_MAX = 60.0
WITH_EFFECT = '"status":"applied"'


@dataclass(frozen=True, slots=True)
class Service:
    """Somebody who takes webhooks: where, which, and how to see in a database what came of them.

    `marker` is in every right answer. `effects` counts in the database what was done, `first` is
    the number of the first event.
    """

    name: str
    servers: tuple[Server, ...]
    message: Message
    marker: str
    url: str
    effects: LiteralString
    first: int = 0
    queue: LiteralString = ""  # counts what is still to be done when the answers are given

    @property
    def port(self) -> int:
        return self.servers[0].port

    @property
    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(server.pid) for server in self.servers)


@dataclass(frozen=True, slots=True)
class Product:
    """Our app and its engine over one database."""

    app: Server
    engine: Server
    ports: Ports = field(default_factory=Ports)


def wait_until_well(server: Server, path: str) -> None:
    """Wait until it answers anything at all: a port takes connections before the program is there.

    Raises RaceError.
    """
    deadline = time.monotonic() + WELL_S_MAX
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(world.HOST, server.port, timeout=WELL_S_MAX)
        try:
            connection.request("GET", path)
            if connection.getresponse().status < 500:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        finally:
            connection.close()
    raise RaceError(f"{server.name} does not answer in {WELL_S_MAX:.0f} s")


def cpu_seconds(pid: int) -> float:
    """Return what a process and its workers have used."""
    process = psutil.Process(pid)
    times = [process.cpu_times()]
    for worker in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ended since they were listed
            times.append(worker.cpu_times())
    return float(sum(time.user + time.system for time in times))


@contextmanager
def stripe_api() -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "inbound.stripe_api", str(port)]
    with running("stripe api", command, port) as server:
        yield server


@contextmanager
def product(url: str, api_port: int, *, apart: bool = False) -> Iterator[Product]:
    """Start the app and the engine as `make run` does.

    `apart`: what the engine itself calls (events, crons) is answered by somebody else, as it is
    where each call has a process of its own.
    """
    ports = Ports(hasura=free_port(), app=free_port(), gateways=api_port)
    called = Ports(hasura=ports.hasura, app=api_port) if apart else ports
    app, engine = supervisor.app_service(ports), supervisor.engine_service(called, url)
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                running(each.name, [sys.executable, *each.arguments], each.port, each.environment)
            )
            for each in (engine, app)
        ]
        for server in started:
            wait_until_well(server, "/healthz")
        yield Product(started[1], started[0], ports)


@contextmanager
def handmade(url: str) -> Iterator[Server]:
    """Start the service by hand under the WSGI server of the app, with as many threads."""
    port = free_port()
    arguments = supervisor.app_service(Ports(app=port)).arguments
    command = [sys.executable, *arguments[:-1], "inbound.handmade:flask"]
    with running("handmade", command, port, {"DATABASE_URL": url}) as server:
        wait_until_well(server, "/")
        yield server


def prepare_djstripe(url: str, api_port: int) -> None:
    """Make dj-stripe's tables. Raises RaceError when it is not installed."""
    if not djstripe_python().exists():
        raise RaceError("it is not installed: `make bench-webhooks` does that")
    command = [str(djstripe_python()), str(BENCH / "djstripe" / "prepare.py"), SECRET, ACCOUNT]
    environ = {**os.environ, **_djstripe_environ(url, api_port)}
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RaceError(f"dj-stripe's tables cannot be made: {ran.stderr.strip()[-600:]}")


@contextmanager
def djstripe(url: str, api_port: int, *, fetch: bool) -> Iterator[Server]:
    """Start dj-stripe under gunicorn, two processes of eight threads."""
    port = free_port()
    environ = _djstripe_environ(url, api_port)
    if not fetch:
        environ["WITHOUT_FETCH"] = json.dumps(payment_intent(MARK, 0))
    gunicorn = ["-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"]
    size = ["--workers", "2", "--threads", "8", "--keep-alive", "75", "--no-control-socket"]
    command = [str(djstripe_python()), *gunicorn, *size, "merchant.wsgi:application"]
    with running("dj-stripe", command, port, environ) as server:
        wait_until_well(server, "/")
        yield server


def djstripe_python() -> Path:
    return DJSTRIPE / "bin" / "python"


def _djstripe_environ(url: str, api_port: int) -> dict[str, str]:
    return {
        "PYTHONPATH": str(BENCH / "djstripe"),
        "DJANGO_SETTINGS_MODULE": "merchant.settings",
        "DATABASE_URL": url,
        "STRIPE_API_URL": f"http://{world.HOST}:{api_port}",
    }
