"""What was found: the table, the bars, and the file for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types

from race.laps import CLIENTS, Laps
from race.live import Live
from race.workloads import TOKEN, WORKLOADS

PACKAGES = ("asyncpg", "graphql-core", "httptools", "starlette", "uvicorn", "uvloop")
NESTED = WORKLOADS[3].name


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the goal: what was found against what was asked for."""

    name: str
    found: float | None
    wanted: float
    unit: str
    at_least: bool

    @property
    def verdict(self) -> str:
        if self.found is None:
            return "not measured"
        good = self.found >= self.wanted if self.at_least else self.found <= self.wanted
        return "met" if good else "missed"

    def __str__(self) -> str:
        sign = "at least" if self.at_least else "at most"
        found = "-" if self.found is None else f"{self.found:.2f}".rstrip("0").rstrip(".")
        return f"{self.verdict:<13}{self.name:<52}{found:>8} {self.unit:<7}({sign} {self.wanted:g})"


@dataclass(frozen=True, slots=True)
class Alone:
    """What the engine does without a peer."""

    cold_ms: list[float]
    start_s: float
    start_mb: float
    raced_mb: float
    event_ms: list[float]
    deliveries: list[float]


@dataclass(frozen=True, slots=True)
class Found:
    """All that one run has measured, and where."""

    laps: Laps
    alone: Alone
    live: Live | None
    about: dict[str, Any]


def bars(found: Found) -> list[Bar]:
    alone, live = found.alone, found.live
    return [
        *_race_bars(found.laps),
        Bar(
            "a document never seen, 20 fields, p50", median(alone.cold_ms), 5, "ms", at_least=False
        ),
        Bar("start to the first answer", alone.start_s, 1.5, "s", at_least=False),
        Bar("memory after ten roles have asked", alone.start_mb, 150, "MB", at_least=False),
        Bar(
            "event, insert to delivered, idle, p50",
            median(alone.event_ms),
            20,
            "ms",
            at_least=False,
        ),
        Bar("deliveries of events", median(alone.deliveries), 1000, "a s", at_least=True),
        Bar(
            "1,000 subscribers, one query: statements a tick",
            live.statements if live else None,
            1.5,  # the watch ends between two ticks, and so counts one more or less
            "",
            at_least=False,
        ),
        Bar(
            "1,000 subscribers, one query: cores",
            live.cores if live else None,
            1,
            "",
            at_least=False,
        ),
    ]


def _race_bars(laps: Laps) -> Iterator[Bar]:
    for workload in WORKLOADS:
        for clients in CLIENTS:
            where = f"{workload.name}, {clients} clients"
            peer = 3.5 if workload.name == NESTED else 1.0

            def middle(other: str, figure: str = "rate") -> float | None:
                ratios = laps.ratios(workload.name, clients, other, figure)  # noqa: B023 -- called at once
                return median(ratios) if ratios else None

            yield Bar(f"{where}: rate over bare", middle("bare"), 0.8, "x", at_least=True)
            yield Bar(
                f"{where}: rate over PostGraphile", middle("postgraphile"), peer, "x", at_least=True
            )
            if workload.name != NESTED:
                late = middle("bare", "p99")
                yield Bar(f"{where}: p99 over bare", late, 1.5, "x", at_least=False)


def table(laps: Laps) -> Iterator[str]:
    """Yield the lines of the table for people: medians, and ratios with their ranges."""
    yield (
        f"{'workload':<19}{'clients':>7}{'engine/s':>10}{'bare/s':>8}{'over bare':>18}"
        f"{'over PostGraphile':>21}{'p50 ms':>8}{'p99 ms':>8}{'p99 over bare':>18}"
        f"{'CPU us':>8}{'bare':>6}"
    )
    for workload in (*WORKLOADS, TOKEN):
        for clients in CLIENTS:
            yield _line(laps, workload.name, clients)


def _line(laps: Laps, workload: str, clients: int) -> str:
    other = WORKLOADS[0].name if workload == TOKEN.name else workload

    def ours(figure: str) -> float:
        return laps.median(workload, clients, "engine", figure)

    return (
        f"{workload:<19}{clients:>7}{ours('rate'):>10.0f}"
        f"{laps.median(other, clients, 'bare', 'rate'):>8.0f}"
        f"{_range(laps.ratios(workload, clients, 'bare')):>18}"
        f"{_range(laps.ratios(workload, clients, 'postgraphile')):>21}"
        f"{ours('p50'):>8.2f}{ours('p99'):>8.1f}"
        f"{_range(laps.ratios(workload, clients, 'bare', 'p99')):>18}"
        f"{ours('cpu_us'):>8.0f}{laps.median(other, clients, 'bare', 'cpu_us'):>6.0f}"
    )


def _range(ratios: Sequence[float]) -> str:
    if not ratios:
        return "-"
    return f"{median(ratios):.2f} [{min(ratios):.2f}..{max(ratios):.2f}]"


def ceiling(laps: Laps) -> str:
    """Say what the client itself can do, and how much of a core it takes in the race."""
    rates = [laps.median(WORKLOADS[0].name, clients, "static", "rate") for clients in CLIENTS]
    told = ", ".join(f"{rate:,.0f}" for rate in rates)
    share = max(
        lap.client_cpu
        for place, taken in laps.taken.items()
        if place[2] != "static"
        for lap in taken
    )
    return (
        f"the client alone, against a constant answer: {told} requests/s,"
        f" {'|'.join(map(str, CLIENTS))} clients; in the race it took {share:.2f} of a core at most"
    )


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
        **{package: version(package) for package in PACKAGES},
    }


def lines(found: Found) -> Iterator[str]:
    """Yield the whole report for people: machine, table, ceiling, bars."""
    laps, alone = found.laps, found.alone
    yield ", ".join(f"{name} {value}" for name, value in found.about.items())
    yield f"{laps.rounds} rounds; medians, and ratios within a round with their range\n"
    yield from table(laps)
    yield "\n" + ceiling(laps)
    yield f"the engine's memory after the race: {alone.raced_mb:.0f} MB\n"
    if found.live:
        yield found.live.told
    yield from map(str, bars(found))


def write(file: Path, found: Found) -> None:
    """Write everything that was measured, lap by lap."""
    laps = [
        {
            "workload": name,
            "clients": clients,
            "server": server,
            "laps": [asdict(lap) for lap in taken],
        }
        for (name, clients, server), taken in found.laps.taken.items()
    ]
    value = {
        "about": found.about,
        "rounds": found.laps.rounds,
        "bars": [{**asdict(bar), "verdict": bar.verdict} for bar in bars(found)],
        "alone": asdict(found.alone),
        "live": asdict(found.live) if found.live else None,
        "laps": laps,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=1) + "\n")
