"""Laps: every server in turn under the same load, round after round, and ratios within a round.

The machine is shared and its speed drifts, so no figure of one round is compared with another's:
a ratio is taken between laps that follow each other, and its median over the rounds is told.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from race.servers import Load, RaceError, Server
from race.workloads import BY_PK, TOKEN, WORKLOADS, Workload

CLIENTS = (1, 8, 32)
WARM_UP_S = 0.3

Place = tuple[str, int, str]  # workload, clients, server


@dataclass(frozen=True, slots=True)
class Lap:
    """One server under one load: requests a second, milliseconds, and its own CPU a request."""

    rate: float
    p50: float
    p99: float
    cpu_us: float
    client_cpu: float


@dataclass(frozen=True, slots=True)
class Plan:
    rounds: int
    lap_s: float
    deadline: float


class Laps:
    """All that was measured, by place and round."""

    def __init__(self, servers: Sequence[Server], load: Load) -> None:
        self.servers = {server.name: server for server in servers}
        self.load = load
        self.rounds = 0
        self.taken: dict[Place, list[Lap]] = defaultdict(list)

    def warm_up(self) -> None:
        """Let every connection prepare its statements."""
        for workload, peer in self._starts(0):
            if peer != "static":
                self._run(workload, max(CLIENTS), peer, WARM_UP_S)

    def run(self, plan: Plan) -> None:
        """Run the rounds; fewer than planned when the time is up."""
        for number in range(plan.rounds):
            if number and time.monotonic() > plan.deadline:
                return
            for clients in CLIENTS:
                for workload, peer in self._starts(number):
                    lap = self._run(workload, clients, peer, plan.lap_s)
                    self.taken[workload.name, clients, peer].append(lap)
            self.rounds += 1

    def _starts(self, number: int) -> Iterator[tuple[Workload, str]]:
        """List who runs what; who begins changes from round to round."""
        racing = [name for name in self.servers if name != "static"]
        turned = racing[number % len(racing) :] + racing[: number % len(racing)]
        for workload in WORKLOADS:
            yield from ((workload, peer) for peer in turned)
            if workload is BY_PK:
                yield TOKEN, "engine"
                yield BY_PK, "static"

    def _run(self, workload: Workload, clients: int, peer: str, seconds: float) -> Lap:
        server = self.servers[peer]
        job = {
            "workload": workload.name,
            "peer": peer,
            "port": server.port,
            "clients": clients,
            "seconds": seconds,
            "seed": self.rounds * 1000 + clients,
        }
        before = server.cpu_seconds
        result = json.loads(self.load.ask(json.dumps(job).encode()) or '{"broken": "it ended"}')
        if "broken" in result or result["failures"]:
            text = result.get("broken") or result["failure"]
            raise RaceError(f"{peer} failed at {workload.name} with {clients} clients: {text}")
        used = server.cpu_seconds - before
        cpu_us = used / (result["rate"] * seconds) * 1e6
        return Lap(result["rate"], result["p50"], result["p99"], cpu_us, result["client_cpu"])

    def median(self, workload: str, clients: int, peer: str, figure: str) -> float:
        taken = self.taken[workload, clients, peer]
        return float(median(getattr(lap, figure) for lap in taken))

    def ratios(self, workload: str, clients: int, other: str, figure: str = "rate") -> list[float]:
        """Return the engine's figure over another server's, round by round."""
        ours = self.taken[workload, clients, "engine"]
        theirs = self.taken.get(
            (BY_PK.name if workload == TOKEN.name else workload, clients, other)
        )
        pairs = zip(ours, theirs or [], strict=False)
        return [getattr(our, figure) / getattr(their, figure) for our, their in pairs]
