"""The autopay run that bench/autopay.py measures."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from race.servers import RaceError, Server, free_port, running

from inbound import books, services
from inbound.books import ORGANIZATION
from inbound.messages import CURRENCY
from inbound.services import cpu_seconds, wait_until_well
from sandbox import supervisor
from sandbox.postgres import Postgres
from sandbox.processes import Service
from sandbox.world import ACTION_SECRET, HOST, STRIPE_SECRET_KEY, Ports

CRON_S_MAX = 120.0
KILLED_AFTER = 0.1  # of the mandates
RUN_S_MAX = 900.0
SHOWN_S = 2.0
LEASE_S = 61  # what a killed worker holds is free again after so long

# Due since midnight, and announced in time: what stands between is the cron.
MANDATES = f"""
insert into customers (id, organization_id, livemode, user_id, email)
select md5('autopay customer ' || n)::uuid, '{ORGANIZATION}', false, 'autopay-' || n,
    'payer' || n || '@example.com'
from generate_series(0, cardinality(%(customers)s::text []) - 1) as n;
insert into payment_methods (
    id, organization_id, livemode, customer_id, gateway, gateway_customer_id,
    gateway_payment_method_id, type
)
select md5('autopay method ' || n)::uuid, '{ORGANIZATION}', false,
    md5('autopay customer ' || n)::uuid, 'stripe', (%(customers)s::text [])[n + 1],
    (%(methods)s::text [])[n + 1], 'card'
from generate_series(0, cardinality(%(customers)s::text []) - 1) as n;
insert into autopay_mandates (
    organization_id, livemode, customer_id, idempotency_key, requested_by, gateway,
    payment_method_id, amount, currency, day_of_month, local_time, timezone, status, anchor_on,
    next_due_on, next_notice_at, customer_email, success_url, cancel_url, setup_expires_at,
    consented_by, consented_at
)
select '{ORGANIZATION}', false, md5('autopay customer ' || n)::uuid, 'bench', 'service',
    'stripe', md5('autopay method ' || n)::uuid, 2500, '{CURRENCY}',
    extract(day from clock_now()), '00:00', 'UTC', 'active', clock_now()::date,
    clock_now()::date, clock_now() - interval '3 days', 'payer@example.com',
    'https://shop.example/', 'https://shop.example/', clock_now(), 'bench',
    clock_now() - interval '4 days'
from generate_series(0, cardinality(%(customers)s::text []) - 1) as n;
analyze customers;
analyze payment_methods;
analyze autopay_mandates;
"""
CHARGED = "select count(*) from autopay_charges where status = 'succeeded'"
OPEN = "select count(*) from autopay_charges where status in ('due', 'claimed', 'charging')"
MOVE = "update clock set skew_seconds = skew_seconds + %s"


@dataclass(frozen=True, slots=True)
class Run:
    """What a run came to. `cpu_ms` is of each server, for one charge."""

    mandates: int
    written_s: float
    rate: float
    seconds: float
    calls: int
    cpu_ms: dict[str, float]
    together: bool


@dataclass(slots=True)
class World:
    """All that runs. The app is started again after it was killed."""

    url: str
    postgres: int  # the process
    ports: Ports
    called: Server
    gateways: Server
    engine: Server
    app: Server | None = None


def run(directory: Path, number: int, *, together: bool) -> Run:
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres(directory / "postgres"))
        stack.callback(postgres.destroy)
        world = _start(stack, postgres, directory, together=together)
        _write_mandates(world, number)
        with _app(world):
            written_s = _materialise(world, number)
            _run_until_killed(world, number)
        with _app(world):
            return _finish(world, number, written_s, together=together)


def _start(stack: ExitStack, postgres: Postgres, directory: Path, *, together: bool) -> World:
    books.write_merchant(postgres.url)
    called = stack.enter_context(services.stripe_api())
    ports = Ports(hasura=free_port(), app=free_port(), gateways=free_port())
    asked = ports if together else Ports(ports.hasura, called.port, ports.gateways)
    started = [
        stack.enter_context(_service(each))
        for each in (
            supervisor.gateways_service(asked, directory),
            supervisor.engine_service(asked, postgres.url),
        )
    ]
    return World(postgres.url, postgres.process_id, ports, called, *started)


@contextmanager
def _service(service: Service) -> Iterator[Server]:
    command = [sys.executable, *service.arguments]
    with running(service.name, command, service.port, service.environment) as server:
        wait_until_well(server, "/healthz")
        yield server


@contextmanager
def _app(world: World) -> Iterator[None]:
    with _service(supervisor.app_service(world.ports)) as world.app:
        yield


def _write_mandates(world: World, number: int) -> None:
    """Save a card for each at the gateway, and write down that all are due today."""
    saved = _ask(world.ports.gateways, "POST", "/_sandbox/stripe/customers", {"count": number})
    values = {
        "customers": [made["customer"] for made in saved["customers"]],
        "methods": [made["payment_method"] for made in saved["customers"]],
    }
    with psycopg.ClientCursor(psycopg.connect(world.url, autocommit=True)) as cursor:
        cursor.execute(MANDATES, values)
        cursor.connection.close()


def _materialise(world: World, number: int) -> float:
    started = time.monotonic()
    while _cron(world, "materialise_autopay")["written"]:
        pass
    taken = time.monotonic() - started
    found = books.count(world.url, OPEN)
    if found != number:
        raise RaceError(f"{found} charges of {number} were written down")
    return taken


def _run_until_killed(world: World, number: int) -> None:
    """Run until a tenth is charged, then kill the app in the midst of it."""
    assert world.app
    thread = threading.Thread(target=_tick_until_killed, args=(world,))
    thread.start()
    deadline = time.monotonic() + RUN_S_MAX
    while books.count(world.url, CHARGED) < number * KILLED_AFTER:
        if time.monotonic() > deadline or not thread.is_alive():
            break
        time.sleep(0.05)
    world.app.process.kill()
    thread.join()
    print(f"{books.count(world.url, CHARGED):,} charged when the app was killed", flush=True)


def _tick_until_killed(world: World) -> None:
    try:
        while _cron(world, "run_autopay"):
            pass
    except (OSError, http.client.HTTPException):
        return  # it was killed, as it should be


def _finish(world: World, number: int, written_s: float, *, together: bool) -> Run:
    """Charge the rest, and measure it; then what the killed worker held, which is not measured."""
    assert world.app
    servers = {"app": world.app, "engine": world.engine, "simulator": world.gateways}
    pids = {name: server.pid for name, server in servers.items()} | {"postgres": world.postgres}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    first, started, calls = books.count(world.url, CHARGED), time.monotonic(), 0
    with _shown(world, number):
        while _cron(world, "run_autopay"):
            calls += 1
            if time.monotonic() - started > RUN_S_MAX:
                raise RaceError(f"not all charged in {RUN_S_MAX:.0f} s")
    seconds = time.monotonic() - started
    done = books.count(world.url, CHARGED) - first
    if not done:
        raise RaceError("nothing was charged after the app was started again")
    cpu_ms = {
        name: round((cpu_seconds(pid) - before[name]) / done * 1000, 2)
        for name, pid in pids.items()
    }
    _take_over(world)
    _check(world, number)
    return Run(number, written_s, done / seconds, seconds, calls, cpu_ms, together)


def _take_over(world: World) -> None:
    """Let the killed worker's lease end: its charges go on from the same attempts."""
    with psycopg.connect(world.url, autocommit=True) as db:
        left = books.count(world.url, OPEN)
        db.execute(MOVE, [LEASE_S])
    while _cron(world, "run_autopay"):
        pass
    print(f"{left} that the killed worker held were taken over", flush=True)


def _check(world: World, number: int) -> None:
    """Raise RaceError unless books and gateway agree that each mandate was charged once."""
    charged = books.count(world.url, CHARGED)
    attempts = books.count(world.url, "select count(*) from payment_attempts")
    taken = sum(1 for intent in _intents(world) if intent["status"] == "succeeded")
    if not charged == attempts == taken == number:
        raise RaceError(
            f"{number} mandates: {attempts} attempts, {charged} charged here, {taken} there"
        )
    print(f"each of the {number:,} mandates was charged once, here and at the gateway", flush=True)


def _intents(world: World) -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        path = f"/stripe/v1/payment_intents?limit=100{after}"
        page = _ask(world.ports.gateways, "GET", path)
        yield from page["data"]
        if not page["has_more"]:
            return
        after = f"&starting_after={page['data'][-1]['id']}"


@contextmanager
def _shown(world: World, number: int) -> Iterator[None]:
    """Say every few seconds how far the run is."""
    is_over = threading.Event()

    def show() -> None:
        while not is_over.wait(SHOWN_S):
            print(f"  {books.count(world.url, CHARGED):,} of {number:,} charged", flush=True)

    thread = threading.Thread(target=show)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _cron(world: World, name: str) -> dict[str, Any]:
    """Call a cron of the app as the engine does."""
    return _ask(world.ports.app, "POST", f"/crons/{name}", {})


def _ask(port: int, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection(HOST, port, timeout=CRON_S_MAX)
    headers = {
        "content-type": "application/json",
        "action-secret": ACTION_SECRET,
        "authorization": f"Bearer {STRIPE_SECRET_KEY}",
    }
    try:
        connection.request(
            method, path, None if body is None else json.dumps(body).encode(), headers
        )
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status >= 300:
        raise RaceError(f"{path}: {answer.status} {text[-300:].decode(errors='replace')}")
    found: dict[str, Any] = json.loads(text)
    return found
