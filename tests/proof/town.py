"""A town of real processes that are killed while people buy: what they were promised must hold.

Postgres (with fsync, as in life), engine, simulator and service run each by itself, with a line
that can be spoilt between each two. Buyers keep buying, and ask again under the same key until they
hear yes; what they heard is written down outside of it all, on disk, and held against the books at
the end. Meanwhile one part after the other is killed with SIGKILL, stopped for a while, or cut off.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from books import broken_invariants
from e2e.line import Line, Verb
from proof.acknowledged import Acknowledged, Promise, unbooked
from proof.counters import Counters
from psycopg.rows import dict_row

from sandbox import migrations, seeds, supervisor, tokens, world
from sandbox.postgres import Postgres
from sandbox.processes import Process, Service
from sandbox.world import Ports

BUYERS = 4
AMOUNT = 2500
WELL_SECONDS_MAX = 60.0
HEAL_SECONDS_MAX = 120.0
PAUSE_SECONDS = 0.05
# What a buyer may hear amid the trouble: ask again. Anything else is a fault.
PASSING = frozenset({409, 424, 500, 503})
SPOILT = (Verb.DELAY, Verb.DROP_BEFORE, Verb.DROP_AFTER, Verb.RESET, Verb.HALF_CLOSE, Verb.THROTTLE)


class Town:
    """The processes, the lines between them, and the books."""

    def __init__(self, directory: Path, postgres: Postgres, ports: Ports) -> None:
        self.directory = directory
        self.postgres = postgres
        self.ports = ports
        self.web = httpx.Client(timeout=WELL_SECONDS_MAX, trust_env=False)
        self.heard = Acknowledged(directory / "acknowledged.jsonl")
        self.paid: set[str] = set()
        self.answers: Counter[str] = Counter()
        self.skew = 0
        self.lines: dict[str, Line] = {}
        self.parts: dict[str, Process] = {}

    def raise_up(self, stack: ExitStack) -> None:
        """Start everything, so that the stack takes it down again."""
        stack.callback(self.web.close)
        migrations.apply(self.postgres.url, world.MIGRATIONS, report=lambda _: None)
        seeds.apply(self.postgres.url, world.SEEDS)
        targets = {
            "engine to Postgres": self.postgres.port,
            "app to engine": self.ports.hasura,
            "app to gateway": self.ports.gateways,
        }
        for name, target in targets.items():
            self.lines[name] = stack.enter_context(Line(target))
        for service in self._services():
            self.parts[service.name] = Process(service, self.directory)
            stack.callback(self.parts[service.name].stop)
            self.parts[service.name].start()
        for part in self.parts.values():
            part.wait_until_well(WELL_SECONDS_MAX)
        self.skew = self.sql("select skew_seconds from clock")[0]["skew_seconds"]

    def _services(self) -> Iterator[Service]:
        port = self.lines["engine to Postgres"].port
        url = self.postgres.url.replace(f":{self.postgres.port}/", f":{port}/")
        yield supervisor.engine_service(self.ports, url)
        yield supervisor.gateways_service(self.ports, self.directory)
        service = supervisor.app_service(self.ports)
        hasura, gateway = self.lines["app to engine"].port, self.lines["app to gateway"].port
        watched = {
            "HASURA_ENDPOINT": f"http://127.0.0.1:{hasura}/v1/graphql",
            "STRIPE_API_URL": f"http://127.0.0.1:{gateway}/stripe",
        }
        environment = {**service.environment, **watched}
        yield Service(service.name, service.arguments, environment, service.port)

    # Trouble.

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL and start it again."""
        process_id = self.parts[name].process_id
        assert process_id
        os.kill(process_id, signal.SIGKILL)
        self.parts[name].stop()
        self.parts[name].start()
        self.parts[name].wait_until_well(WELL_SECONDS_MAX)

    def kill_postgres(self) -> None:
        os.kill(self.postgres.process_id, signal.SIGKILL)
        self.postgres.stop()
        self.postgres.start()

    def freeze(self, name: str, seconds: float) -> None:
        """Stop a process where it is, as a paused machine does, and let it go on."""
        process_id = self.parts[name].process_id
        assert process_id
        os.kill(process_id, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(process_id, signal.SIGCONT)

    def spoil(self, name: str, verb: Verb, chance: random.Random) -> None:
        line = self.lines[name]
        line.spoil(verb, times=chance.randint(1, 20), seconds=chance.random() * 2, rate=20_000)
        time.sleep(1.0)
        line.mend()

    def troubles(self, chance: random.Random) -> dict[str, Callable[[], None]]:
        """Name everything that can be done to the town."""
        found: dict[str, Callable[[], None]] = {
            "kill app": lambda: self.kill("app"),
            "kill engine": lambda: self.kill("engine"),
            "kill Postgres": self.kill_postgres,
            "freeze app": lambda: self.freeze("app", 1.5),
            "freeze engine": lambda: self.freeze("engine", 1.5),
        }
        for line in self.lines:
            verb = chance.choice(SPOILT)
            found[f"{verb} from {line}"] = lambda line=line, verb=verb: self.spoil(
                line, verb, chance
            )
        return found

    # Buyers.

    def buy(self, ended: threading.Event, chance: random.Random) -> None:
        """Buy again and again until it is over; a purchase that was begun is brought to its end."""
        with httpx.Client(timeout=WELL_SECONDS_MAX, trust_env=False) as web:
            while not ended.is_set():
                user = chance.choice([tokens.ADA, tokens.USERS[1]])
                key = f"town-{uuid4()}"
                said = self.ask(web, user, key)
                self.heard.heard(
                    "purchase",
                    credit_purchase_id=said["credit_purchase_id"],
                    session_id=said["session_id"],
                    amount=AMOUNT,
                )
                if chance.random() < 0.1 and self.ask(web, user, key) != said:
                    self.answers["another answer to the same key"] += 1
                if chance.random() < 0.9:
                    self.pay(web, said)
                time.sleep(PAUSE_SECONDS)

    def ask(self, web: httpx.Client, user: tokens.User, key: str) -> Any:
        """Ask for a page under one key until it is given."""
        asked = {"amount": AMOUNT, "email": user.email, "idempotency_key": key}
        deadline = time.monotonic() + HEAL_SECONDS_MAX
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                answer = web.post(
                    f"http://127.0.0.1:{self.ports.app}/create-payment",
                    json={"input": asked, "session_variables": {"x-hasura-user-id": user.id}},
                    headers={"ACTION-SECRET": world.ACTION_SECRET},
                )
                self.answers[str(answer.status_code)] += 1
                if answer.is_success:
                    return answer.json()
                if answer.status_code not in PASSING:
                    raise AssertionError(f"{answer.status_code} {answer.text}")
            time.sleep(PAUSE_SECONDS)
        raise AssertionError(f"{key} is not answered in {HEAL_SECONDS_MAX:.0f} s")

    def pay(self, web: httpx.Client, said: Mapping[str, Any]) -> None:
        path = f"_sandbox/stripe/sessions/{said['session_id']}/pay"
        answer = web.post(
            f"http://127.0.0.1:{self.ports.gateways}/{path}", json={"card": "4242424242424242"}
        )
        assert answer.is_success, answer.text
        self.heard.heard("paid", credit_purchase_id=said["credit_purchase_id"])
        self.paid.add(said["credit_purchase_id"])

    # Books.

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.postgres.url, row_factory=dict_row) as connection:
            return connection.execute(query, values or None).fetchall()

    def charges(self) -> list[dict[str, Any]]:
        file = f"file:{self.directory / 'gateways' / 'gateways.sqlite3'}?mode=ro"
        with contextlib.closing(sqlite3.connect(file, WELL_SECONDS_MAX, uri=True)) as books:
            rows = books.execute("select body from objects where kind = 'payment_intent'")
            found = [json.loads(body) for (body,) in rows.fetchall()]
        return [one for one in found if one["status"] == "succeeded"]

    def advance(self, seconds: int) -> None:
        """Let time go by, so that what waits to be tried again is tried now."""
        self.skew += seconds
        self.sql("update clock set skew_seconds = %s returning only_row", self.skew)
        for cron in ("apply_gateway_events", "check_payments"):
            self.web.post(
                f"http://127.0.0.1:{self.ports.app}/crons/{cron}",
                json={"name": cron, "payload": {}},
                headers={"ACTION-SECRET": world.ACTION_SECRET},
            )
        said = {"skew_seconds": self.skew}
        self.web.post(f"http://127.0.0.1:{self.ports.gateways}/_sandbox/clock", json=said)

    def heal(self) -> list[str]:
        """Wait until every paid purchase is granted. Answers those that are not."""
        deadline = time.monotonic() + HEAL_SECONDS_MAX
        while (waiting := self._ungranted()) and time.monotonic() < deadline:
            self.advance(30)
            time.sleep(0.5)
        return [f"paid and never granted: {one}" for one in waiting]

    def _ungranted(self) -> list[str]:
        rows = self.sql("select id::text from credit_purchases where granted_at is not null")
        return sorted(self.paid - {row["id"] for row in rows})

    def faults(self) -> list[str]:
        """Name everything that does not hold."""
        with psycopg.connect(self.postgres.url, row_factory=dict_row) as connection:
            broken = broken_invariants(connection)
        found = [f"{view}: {rows[:3]}" for view, rows in broken.items()]
        return found + self.heard.broken(self) + unbooked(self)


@contextmanager
def open_town(directory: Path, ports: Ports, postgres_port: int) -> Iterator[Town]:
    """Start the town in a directory; what an earlier slice left there goes on."""
    directory.mkdir(parents=True, exist_ok=True)
    with Postgres(directory / "postgres", postgres_port) as postgres, ExitStack() as stack:
        town = Town(directory, postgres, ports)
        town.raise_up(stack)
        for line in _lines(town.heard.file):
            promise = Promise(**json.loads(line))
            town.heard.promises.append(promise)
        yield town


def _lines(file: Path | None) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file and file.exists() else []


def slice_of(town: Town, counters: Counters, seed: int, goes_on: Callable[[int], bool]) -> None:
    """Trouble the town while `goes_on(cycles)`, let it heal, judge it, and add to the counters."""
    chance = random.Random(seed)
    started, troubles, cycles = time.monotonic(), Counter[str](), 0
    ended = threading.Event()
    with ThreadPoolExecutor(BUYERS) as pool:
        buyers = [pool.submit(town.buy, ended, random.Random(seed + n)) for n in range(BUYERS)]
        try:
            order: list[str] = []
            while goes_on(cycles):
                choices = town.troubles(chance)
                order = order or chance.sample(range(len(choices)), len(choices))
                name = list(choices)[order.pop()]
                choices[name]()
                troubles[name] += 1
                cycles += 1
                counters.slowest_recovery = max(counters.slowest_recovery, _recovery(town))
        finally:
            ended.set()
        for buyer in buyers:
            buyer.result()
    counters.faults += town.heal() + town.faults()
    counters.slices += 1
    counters.cycles += cycles
    counters.seconds += time.monotonic() - started
    counters.promises, counters.charges = len(town.heard.promises), len(town.charges())
    counters.add("troubles", troubles)
    counters.add("answers", town.answers)


def _recovery(town: Town) -> float:
    """Measure how long after the trouble a fresh buyer hears yes."""
    started = time.monotonic()
    with httpx.Client(timeout=20, trust_env=False) as web:
        town.ask(web, tokens.ADA, f"probe-{uuid4()}")
    return time.monotonic() - started
