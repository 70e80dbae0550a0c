"""A posting beside the barest one, pgledger and django-hordak, on one Postgres, turn by turn.

One posting is one call of a function in its own transaction, with fsync on, over 10,000 accounts;
the client is pgbench, and Python where the peer is Python. Prints rates, ratios and one line for
each bar, and writes .sandbox/bench/ledger.json. Exit code 0: every bar is met; 1: one is missed;
2: one could not be measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from kernel import report, worlds
from kernel.racers import Racer, prepare_hordak
from kernel.report import CLIENTS, Found
from race.report import machine
from race.servers import ROOT, RaceError

from sandbox.postgres import Postgres, PostgresError

RESULT = ROOT / ".sandbox" / "bench" / "ledger.json"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    lap_s: float
    seconds_max: float


WHOLE, QUICK = Size(9, 2.0, 330), Size(3, 1.0, 45)


def main() -> int:
    parser = argparse.ArgumentParser("bench/ledger.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one minute: wider ranges")
    parser.add_argument("--no-hordak", action="store_true", help="leave django-hordak out")
    parser.add_argument("--output", type=Path, default=RESULT, help="the file for machines")
    given = parser.parse_args()
    try:
        found = measure(QUICK if given.quick else WHOLE, hordak=not given.no_hordak)
    except (RaceError, PostgresError, psycopg.Error, OSError) as error:
        print(f"bench: not measured: {error}", file=sys.stderr)
        return 2
    print("\n".join(report.lines(found)))
    report.write(given.output, found)
    print(f"\nevery lap is in {given.output}")
    verdicts = {bar.verdict for bar in report.bars(found)}
    return 1 if "missed" in verdicts else 2 if "not measured" in verdicts else 0


def measure(size: Size, *, hordak: bool) -> Found:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(Postgres(directory / "postgres"))
        stack.callback(postgres.destroy)
        urls = worlds.create(postgres.url)
        names = ["bare", "munim", "hot", "pgledger", "batch", "python", "hordak"]
        if reason := prepare_hordak(urls["hordak"]) if hordak else "as asked":
            print(f"django-hordak is left out: {reason}")
            names.remove("hordak")
        racers = [Racer(name, urls[name]) for name in names]
        with psycopg.connect(postgres.url) as db:
            row = db.execute("show server_version").fetchone()
        about = {**machine(), "postgres": row[0] if row else "", "fsync": True}
        return Found(race(racers, size), about)


def race(racers: list[Racer], size: Size) -> dict[tuple[str, int], list[float]]:
    """Run the rounds; fewer than planned when the time is up. Who begins changes by round."""
    rates: dict[tuple[str, int], list[float]] = defaultdict(list)
    deadline = time.monotonic() + size.seconds_max
    lost: set[str] = set()
    for number in range(size.rounds):
        if number and time.monotonic() > deadline:
            break
        start = number % len(racers)
        for clients in CLIENTS:
            for racer in racers[start:] + racers[:start]:
                if racer.name in lost or (clients > 1 and racer.name == "batch"):
                    continue
                try:
                    rates[racer.name, clients].append(racer.lap(clients, size.lap_s))
                except RaceError as error:
                    print(f"{racer.name} is left out from now on: {error}")
                    lost.add(racer.name)
    return dict(sorted(rates.items(), key=lambda rate: rate[0][1]))


if __name__ == "__main__":
    sys.exit(main())
