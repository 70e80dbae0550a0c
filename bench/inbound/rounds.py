"""Rounds: every service in turn under the same load, and ratios between laps of one round.

Each webhook is sent once. What a lap leaves to be done in the background is waited for before the
next lap begins, so that nobody works while another is measured.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import LiteralString

from race.servers import Load, RaceError

from inbound import books
from inbound.services import Service

CLIENTS = (1, 8, 32)
RATE_MAX = 3000  # nobody here takes more webhooks a second
WARM_UP_S = 0.5
QUIET_S_MAX = 120.0
PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Lap:
    """One service under one load: webhooks a second, milliseconds, and its own CPU a webhook."""

    rate: float
    latencies_us: list[int] = field(repr=False)
    cpu_us: float
    client_cpu: float
    quiet_s: float  # how long its background work went on after the last answer


@dataclass(frozen=True, slots=True)
class Plan:
    rounds: int
    lap_s: float
    deadline: float


class Rounds:
    """All that was measured, by service and number of clients, round by round."""

    def __init__(self, services: Sequence[Service], load: Load, prepared: int) -> None:
        self.services = {service.name: service for service in services}
        self.load = load
        self.prepared = prepared
        self.next = {service.name: service.first for service in services}
        self.rounds = 0
        self.taken: dict[tuple[str, int], list[Lap]] = defaultdict(list)

    def warm_up(self) -> None:
        for service in self.services.values():
            for clients in (1, max(CLIENTS)):
                self._lap(service, clients, WARM_UP_S)

    def run(self, plan: Plan) -> None:
        """Run the rounds; fewer than planned when the time is up, or webhooks run out."""
        names = list(self.services)
        for number in range(plan.rounds):
            if number and (time.monotonic() > plan.deadline or not self._has_another(plan)):
                return
            turned = names[number % len(names) :] + names[: number % len(names)]
            for clients in CLIENTS:
                for name in turned:
                    lap = self._lap(self.services[name], clients, plan.lap_s)
                    self.taken[name, clients].append(lap)
            self.rounds += 1

    def _has_another(self, plan: Plan) -> bool:
        """Tell whether every service has webhooks for a round half as fast again as its best."""
        best: dict[str, float] = defaultdict(float)
        for (name, _), laps in self.taken.items():
            best[name] = max(best[name], *(lap.rate for lap in laps))
        return all(
            self._left(service) > 1.5 * best[name] * plan.lap_s * len(CLIENTS)
            for name, service in self.services.items()
        )

    def _left(self, service: Service) -> int:
        return service.first + self.prepared - self.next[service.name]

    def check(self) -> None:
        """Raise RaceError unless every webhook that was sent had its effect, once."""
        sent: dict[tuple[str, LiteralString], int] = defaultdict(int)
        for name, service in self.services.items():
            sent[service.url, service.effects] += self.next[name] - service.first
        for (url, effects), number in sent.items():
            found = books.count(url, effects)
            if found != number:
                raise RaceError(
                    f"{number} webhooks were sent, and {found} had their effect: {effects}"
                )

    def _lap(self, service: Service, clients: int, seconds: float) -> Lap:
        job = {
            "path": service.message.path,
            "event": service.message.event,
            "first": self.next[service.name],
            "count": min(self._left(service), math.ceil(seconds * RATE_MAX)),
            "marker": service.marker,
            "port": service.port,
            "clients": clients,
            "seconds": seconds,
        }
        before = service.cpu_seconds
        result = json.loads(self.load.ask(json.dumps(job).encode()) or '{"broken": "it ended"}')
        if "broken" in result or result["failures"]:
            text = result.get("broken") or result["failure"]
            raise RaceError(f"{service.name} failed with {clients} clients: {text}")
        cpu_us = (service.cpu_seconds - before) / result["sent"] * 1e6
        self.next[service.name] += result["sent"]
        rate = result["sent"] / result["seconds"]
        quiet_s = wait_until_quiet(service)
        return Lap(rate, result["latencies_us"], cpu_us, result["client_cpu"], quiet_s)

    def median(self, name: str, clients: int, figure: str) -> float:
        return float(median(getattr(lap, figure) for lap in self.taken[name, clients]))

    def percentile_ms(self, name: str, clients: int, share: float) -> float:
        """Return a percentile of all laps together: one lap of a slow service holds few."""
        ordered = sorted(us for lap in self.taken[name, clients] for us in lap.latencies_us)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000

    def ratios(self, name: str, other: str, clients: int) -> list[float]:
        """Return one service's rate over another's, round by round."""
        pairs = zip(self.taken[name, clients], self.taken.get((other, clients), []), strict=False)
        return [our.rate / their.rate for our, their in pairs]


def wait_until_quiet(service: Service) -> float:
    """Wait until the service's queue is empty. Returns the seconds."""
    if not service.queue:
        return 0.0
    started = time.monotonic()
    while books.count(service.url, service.queue):
        if time.monotonic() - started > QUIET_S_MAX:
            raise RaceError(f"{service.name} has work left after {QUIET_S_MAX:.0f} s")
        time.sleep(PAUSE_S)
    return time.monotonic() - started
