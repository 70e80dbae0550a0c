"""The year of autopay that bench/year.py measures: the whole product, and a clock that is moved."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psycopg
from race.servers import RaceError, Server, free_port, running

from inbound import books
from inbound.books import ORGANIZATION
from inbound.messages import AMOUNT, CURRENCY
from inbound.services import cpu_seconds, wait_until_well
from sandbox import chain, supervisor
from sandbox.journey import WATCHERS, Journey, Story
from sandbox.postgres import Postgres
from sandbox.world import STRIPE_SECRET_KEY, Ports

MONTHS = 12
SHOWN_S = 5.0
QUIET_S_MAX = 120.0

# A night without anything due: whoever is set up now is charged twelve times until a year from now.
BEGIN = """
update clock
set skew_seconds = ceil(extract(epoch from date_trunc('day', now() + interval '1 day') - now()))
"""
END = "select clock_now() + make_interval(months => $1)"
CUSTOMERS = f"""
insert into customers (id, organization_id, livemode, user_id, email)
select md5('autopay customer ' || n)::uuid, '{ORGANIZATION}', false, 'autopay-' || n,
    'payer' || n || '@example.com'
from generate_series(1, %(number)s::int) as n;
analyze customers;
"""
# By the doors that Hasura calls, as each customer: the page is asked for, the method was saved.
SET_UP = f"""
select count(setup.id)
from unnest(%(customers)s::text [], %(methods)s::text []) with ordinality
    as saved (customer, method, n)
cross join lateral open_autopay_setup(
    json_build_object(
        'x-hasura-role', 'service', 'x-hasura-livemode', 'false',
        'x-hasura-user-id', 'autopay-' || saved.n
    ),
    'year', {AMOUNT}, '{CURRENCY}', (saved.n %% 31 + 1)::int, 'stripe', 'https://shop.example/',
    'https://shop.example/'
) as setup
cross join lateral receive_gateway_event(
    '{{"x-hasura-role": "service", "x-hasura-livemode": "false"}}', 'stripe', '', false,
    'year ' || saved.n, 'setup_intent.succeeded', clock_now(), '{{}}', jsonb_build_object(
        'subject', 'setup', 'outcome', 'succeeded', 'autopay_mandate_id', setup.id,
        'gateway_customer_id', saved.customer, 'gateway_payment_method_id', saved.method
    )
)
"""
# Whoever is charged exactly so often; what is announced already is of the next year.
CHARGED = """
select count(*) from (
    select from autopay_mandates
    left join autopay_charges
        on autopay_charges.autopay_mandate_id = autopay_mandates.id
        and (autopay_charges.status <> 'due' or autopay_charges.due_at <= clock_now())
    left join payment_attempts
        on payment_attempts.payment_intent_id = autopay_charges.payment_intent_id
    group by autopay_mandates.id
    having count(*) = %(months)s and bool_and(autopay_charges.status = 'succeeded')
        and count(distinct autopay_charges.period) = %(months)s
        and bool_and(payment_attempts.status = 'captured')
) as whole
"""
INVARIANTS = "select viewname from pg_views where viewname like 'invariant\\_%'"


@dataclass(frozen=True, slots=True)
class Year:
    """What the year took. `quiet_s` is how long the outbox was busy after the clock stood still."""

    customers: int
    months: int
    charges: int
    seconds: float
    quiet_s: float
    stops: int
    calls: int
    cpu_s: dict[str, float]  # of each process

    @property
    def all_seconds(self) -> float:
        return self.seconds + self.quiet_s


def run(directory: Path, customers: int, months: int = MONTHS) -> Year:
    """Charge every customer once a month. Raises RaceError unless all books say just that."""
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres(directory / "postgres"))
        stack.callback(postgres.destroy)
        books.write_merchant(postgres.url)
        ports = Ports(hasura=free_port(), app=free_port(), gateways=free_port())
        servers = _start(stack, ports, postgres.url, directory)
        with psycopg.connect(postgres.url, autocommit=True) as db:
            db.execute(BEGIN)
        pids = {name: server.pid for name, server in servers.items()}
        pids["postgres"] = postgres.process_id
        before = _cpu_seconds(pids)
        story, seconds = asyncio.run(_live(postgres.url, ports, customers, months))
        quiet_s = _wait_until_quiet(postgres.url)
        cpu_s = {name: round(used - before[name], 1) for name, used in _cpu_seconds(pids).items()}
        _check(postgres.url, customers, months)
        charges = customers * months
        return Year(customers, months, charges, seconds, quiet_s, story.stops, story.calls, cpu_s)


def _cpu_seconds(pids: dict[str, int]) -> dict[str, float]:
    found = {name: cpu_seconds(pid) for name, pid in pids.items()}
    return found | {"the mover": time.process_time()}


def _start(stack: ExitStack, ports: Ports, url: str, directory: Path) -> dict[str, Server]:
    services = (
        supervisor.gateways_service(ports, directory),
        supervisor.engine_service(ports, url),
        supervisor.app_service(ports),
    )
    started = {}
    for each in services:
        command = [sys.executable, *each.arguments]
        started[each.name] = stack.enter_context(
            running(each.name, command, each.port, each.environment)
        )
        wait_until_well(started[each.name], "/healthz")
    return started


async def _live(url: str, ports: Ports, customers: int, months: int) -> tuple[Story, float]:
    """Set everybody up and let the time go by. Only the latter is measured."""
    database = await asyncpg.connect(url)
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as web:
            await _set_up(url, web, ports, customers)
            end: datetime = await database.fetchval(END, months)
            started = time.monotonic()
            story = await Journey(database, web, ports).go(end, _Shown(started))
            seconds = time.monotonic() - started
            taken = [intent async for intent in _intents(web, ports)]
    finally:
        await database.close()
    # What the watchers look at is read below as well, and without their limit of time.
    failures = {cron: why for cron, why in story.failures.items() if cron not in WATCHERS}
    if failures:
        raise RaceError(f"crons failed: {failures}")
    if [intent["status"] for intent in taken] != ["succeeded"] * customers * months:
        raise RaceError(f"the gateway has {len(taken)} payments, or not all succeeded")
    return story, seconds


async def _set_up(url: str, web: httpx.AsyncClient, ports: Ports, customers: int) -> None:
    answer = await web.post(
        f"{ports.gateways_url}/_sandbox/stripe/customers",
        json={"count": customers},
        headers={"authorization": f"Bearer {STRIPE_SECRET_KEY}"},
    )
    saved = answer.raise_for_status().json()["customers"]
    values = {
        "number": customers,
        "customers": [made["customer"] for made in saved],
        "methods": [made["payment_method"] for made in saved],
    }
    with psycopg.connect(url, autocommit=True) as db, psycopg.ClientCursor(db) as cursor:
        cursor.execute(CUSTOMERS, values)
        done = cursor.execute(SET_UP, values).fetchone()
        cursor.execute("analyze payment_methods; analyze autopay_mandates")
    if done != (customers,):
        raise RaceError(f"{done} of {customers} were set up")


async def _intents(web: httpx.AsyncClient, ports: Ports) -> AsyncIterator[dict[str, Any]]:
    after: dict[str, str] = {}
    while True:
        answer = await web.get(
            f"{ports.gateways_url}/stripe/v1/payment_intents",
            params={"limit": "100"} | after,
            headers={"authorization": f"Bearer {STRIPE_SECRET_KEY}"},
        )
        page = answer.raise_for_status().json()
        for intent in page["data"]:
            yield intent
        if not page["has_more"]:
            return
        after = {"starting_after": page["data"][-1]["id"]}


class _Shown:
    """Says every few seconds how far the time has come."""

    def __init__(self, started: float) -> None:
        self.started = self.said = started

    def __call__(self, now: datetime, story: Story) -> None:
        if time.monotonic() - self.said >= SHOWN_S:
            self.said = time.monotonic()
            passed = timedelta(seconds=round(self.said - self.started))
            print(f"  {now:%Y-%m-%d %H:%M}  {story.stops} stops, {passed}", flush=True)


def _wait_until_quiet(url: str) -> float:
    started = time.monotonic()
    while books.count(url, books.UNDELIVERED):
        if time.monotonic() - started > QUIET_S_MAX:
            raise RaceError(f"the outbox is not empty after {QUIET_S_MAX:.0f} s")
        time.sleep(0.05)
    return time.monotonic() - started


def _check(url: str, customers: int, months: int) -> None:
    """Raise RaceError unless each was charged once a month, and every invariant and hash holds."""
    with psycopg.connect(url, autocommit=True) as db:
        whole = db.execute(CHARGED, {"months": months}).fetchone()
        broken = {
            view: found
            for (view,) in db.execute(INVARIANTS).fetchall()
            if (found := db.execute(f"select * from {view} limit 3").fetchall())
        }
        counted: Any = db.execute("select count(*) from payment_attempts").fetchone()
    if whole != (customers,) or counted != (customers * months,):
        raise RaceError(f"{whole} of {customers} were charged {months} times; {counted} attempts")
    if broken:
        raise RaceError(f"invariants are broken: {broken}")
    ledger = asyncio.run(chain.verify(url))
    if ledger.broken or not ledger.blocks or ledger.transactions < customers * months:
        raise RaceError(f"the ledger does not hold: {ledger}")
    print(
        f"each of {customers:,} customers was charged {months} times, here and at the gateway;"
        f" no invariant is broken; {ledger.transactions:,} transactions in {ledger.blocks} blocks"
        f" hold, {ledger.unsealed} are not sealed yet",
        flush=True,
    )
