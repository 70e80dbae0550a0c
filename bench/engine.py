"""The engine beside a bare endpoint and PostGraphile 5, on one Postgres, turn by turn.

Prints a table, one line for each bar of the goal, and writes .sandbox/bench/engine.json. Exit
code 0: every bar that was measured is met; 1: one is missed; 2: it could not be measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from race import cold, events, live, report, servers, world
from race.laps import Laps, Plan
from race.report import Alone, Found
from race.servers import Load, RaceError, Server

from sandbox.postgres import Postgres, PostgresError

RESULT = servers.ROOT / ".sandbox" / "bench" / "engine.json"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    lap_s: float
    seconds_max: float
    documents: int
    starts: int
    notices: int
    bursts: int
    live: bool


WHOLE = Size(7, 0.6, 220, 200, 5, 60, 3, live=True)
QUICK = Size(2, 0.2, 30, 60, 2, 20, 1, live=False)
BURST = 2000


def main() -> int:
    parser = argparse.ArgumentParser("bench/engine.py", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one minute: wider ranges, no live queries"
    )
    parser.add_argument("--output", type=Path, default=RESULT, help="the file for machines")
    parser.add_argument("--no-peer", action="store_true", help="leave PostGraphile out")
    given = parser.parse_args()
    size = QUICK if given.quick else WHOLE
    try:
        found = race(size, peer=not given.no_peer)
    except (RaceError, PostgresError, OSError) as error:
        print(f"bench: not measured: {error}", file=sys.stderr)
        return 2
    print("\n".join(report.lines(found)))
    report.write(given.output, found)
    print(f"\nevery lap is in {given.output}")
    return 1 if any(bar.verdict == "missed" for bar in report.bars(found)) else 0


def race(size: Size, *, peer: bool) -> Found:
    """Measure everything, one after the other, so that nothing disturbs anything else."""
    watched = live.measure() if size.live and live.PROGRAM.exists() else None
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(Postgres(directory / "postgres"))
        stack.callback(postgres.destroy)
        world.create(postgres.url)
        metadata = world.write_metadata(directory / "metadata")
        start = cold.start(metadata, postgres.url, size.starts)
        receiver = stack.enter_context(events.receiving())
        engine = stack.enter_context(servers.engine(metadata, postgres.url, receiver.url))
        event_ms = events.latencies(engine.port, receiver, size.notices)
        deliveries = [events.rate(postgres.url, receiver, BURST) for _ in range(size.bursts)]
        cold_ms = cold.documents(engine.port, size.documents)
        laps = _race(stack, engine, postgres.url, size, peer=peer)
        alone = Alone(
            cold_ms, start.seconds, start.megabytes, engine.megabytes, event_ms, deliveries
        )
        about = {**report.machine(), "postgres": _postgres_version(postgres.url), "fsync": True}
    return Found(laps, alone, watched, about)


def _race(stack: ExitStack, engine: Server, url: str, size: Size, *, peer: bool) -> Laps:
    racing = [engine, stack.enter_context(servers.bare(url)), stack.enter_context(servers.static())]
    if peer:
        try:
            racing.append(stack.enter_context(servers.postgraphile(url)))
        except RaceError as error:
            print(f"PostGraphile is left out: {error}")
    load = Load()
    stack.callback(load.close)
    laps = Laps(racing, load)
    laps.warm_up()
    laps.run(Plan(size.rounds, size.lap_s, time.monotonic() + size.seconds_max))
    return laps


def _postgres_version(url: str) -> str:
    with psycopg.connect(url) as db:
        row = db.execute("show server_version").fetchone()
    return str(row[0]) if row else ""


if __name__ == "__main__":
    sys.exit(main())
