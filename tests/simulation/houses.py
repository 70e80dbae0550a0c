"""The four simulators in this process: their books, their clock, and the webhooks they owe us."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from simulation.dice import GATEWAYS, Fates
from simulation.service import Service
from simulation.wires import Asked, Reply, Wire, at_once

from sandbox import gateways, world
from sandbox.gateways.server.app import build_app, build_house
from sandbox.gateways.server.deliveries import Delivery
from sandbox.gateways.server.posting import PostError
from sandbox.gateways.server.simulator import Options
from sandbox.gateways.server.worker import Worker

MOST = 100_000


@dataclass
class Courier:
    """Takes webhooks to the service's doors. Of some the gateway does not hear the answer."""

    service: Service
    is_unheard: bool = False
    refused: dict[str, int] = field(default_factory=dict)

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, seconds_max: float
    ) -> tuple[int, str]:
        del seconds_max
        reply = self.service.call("POST", urlsplit(url).path, body, headers)
        if self.is_unheard:
            raise PostError("the answer was lost")
        if not reply.is_yes:
            said = f"{url} answers {reply.status} {reply.body.decode()[:200]}"
            self.refused[said] = self.refused.get(said, 0) + 1
        return reply.status, reply.body.decode()

    async def close(self) -> None:
        """Nothing is open."""


class Houses:
    """The simulators of one wave, with books of their own."""

    def __init__(self, folder: Path, ports: world.Ports, service: Service, fates: Fates) -> None:
        self.house = build_house(folder, ports.gateways_url)
        self.store = self.house.store
        for thrift in ("synchronous = off", "journal_mode = memory", "locking_mode = exclusive"):
            self.store.db.execute(f"pragma {thrift}")  # nobody else reads it, or will
        self.fates = fates
        self.simulators = {
            name: gateways.load(name, self.house, _options(name, ports)) for name in GATEWAYS
        }
        self.wire = Wire(build_app(self.house, self.simulators))
        self.courier = Courier(service)
        self.worker = Worker(self.store, self.house.outbox, self.simulators, self.courier)

    def close(self) -> None:
        self.store.close()

    def carry(self, asked: Asked) -> Reply:
        """Take a call of the service to its gateway, or lose it on the way."""
        fault = self.fates.of_call(has_effect=asked.method != "GET")
        if fault is not None:
            self.house.faults.add(fault)
        try:
            return self.wire.ask(asked)
        finally:
            self.house.faults.clear()

    def control(self, path: str, order: Mapping[str, Any]) -> dict[str, Any]:
        """Have a payer or a bank do something."""
        reply = self.wire.send("POST", f"/_sandbox{path}", json.dumps(order).encode())
        answer: dict[str, Any] = json.loads(reply.body)
        return answer

    def move_clock(self, skew: float) -> None:
        """Let the simulated time be that far ahead; what became due by it has happened."""
        self.store.move_clock(skew)
        while self.store.due_timers(1):
            self.worker.catch_up()

    def settle(self) -> None:
        """Have those settle what they owe that pay out by hand here."""
        for name in ("payu", "cashfree"):
            self.control(f"/{name}/settle", {})

    def deliver(self) -> int:
        """Send the webhooks that are due, in any order. Answers how many were sent."""
        sent = 0
        while due := self.house.outbox.due(MOST):
            for delivery in self.fates.shuffled(due):
                sent += self._deliver(delivery)
        return sent

    def _deliver(self, delivery: Delivery) -> int:
        fate = None if delivery.attempts else self.fates.of_webhook()
        if fate == "never sent":
            self._set(delivery, state="dropped")
            return 0
        if fate == "delayed":
            due = self.store.exact_now() + self.fates.delay()
            self._set(delivery, due=due, attempts=1)
            return 0
        self.courier.is_unheard = fate == "answered unheard"
        at_once(self.worker.send(delivery))
        self.courier.is_unheard = False
        if fate == "sent twice":
            at_once(self.worker.send(replace(delivery, attempts=delivery.attempts + 1)))
        return 1

    def _set(self, delivery: Delivery, **values: object) -> None:
        names = ", ".join(f"{name} = :{name}" for name in values)
        self.store.db.execute(
            f"update deliveries set {names} where id = :id", {**values, "id": delivery.id}
        )

    def find(self, gateway: str, kind: str, name: str) -> dict[str, Any] | None:
        """Read one object of a gateway's own books."""
        return self.house.books(gateway).find(kind, name)

    def objects(self, gateway: str, kind: str) -> Iterator[dict[str, Any]]:
        """Read one gateway's own books, oldest first."""
        rows = self.store.db.execute(
            "select body from objects where gateway = ? and kind = ? order by position",
            (gateway, kind),
        )
        for row in rows.fetchall():
            yield json.loads(row["body"])

    def webhooks(self, gateway: str, type_: str, name: str) -> list[dict[str, Any]]:
        """List the webhooks of a type that name something, and what became of each."""
        rows = self.store.db.execute(
            "select state, created from deliveries"
            " where gateway = ? and type like ? and instr(body, cast(? as blob)) > 0",
            (gateway, type_, name),
        )
        return [dict(row) for row in rows.fetchall()]


def _options(name: str, ports: world.Ports) -> Options:
    key, secret = world.SIMULATED[name]
    return Options(
        webhooks=(f"{ports.app_url}/payments/webhook/{name}",),
        secrets=(secret,),
        keys=(key,),
        events=world.SUBSCRIBED.get(name, ()),
    )


@dataclass
class Browser:
    """What a payer's browser asks of a gateway directly; nothing of that is lost."""

    wire: Wire

    def request(self, method: str, url: str, **_: Any) -> Any:
        parts = urlsplit(url)
        reply = self.wire.ask(Asked(method, "", parts.path, parts.query, {}, b""))
        answer = requests.Response()
        answer.status_code = reply.status
        return answer


@dataclass
class Server:
    """As much of the running server of simulators as a world's payer asks for."""

    http: Browser


@dataclass
class Street:
    """What the payers' worlds (tests/gateways/*_world.py) stand on, in this process."""

    gateway: str
    api: str
    server: Server
    act: Callable[[str, Mapping[str, Any]], dict[str, Any]]

    def control(self, path: str, order: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self.act(f"/{self.gateway}{path}", order or {})


def turned_away() -> Any:
    """A gateway may turn a payer away whose page is over; the worlds assert that it does not."""
    return suppress(AssertionError, KeyError)
