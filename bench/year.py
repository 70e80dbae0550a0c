"""A year of autopay by the clock: a thousand customers, charged each month by the product's crons.

The whole product runs: Postgres, engine, app and the simulated gateway with its webhooks. Time goes
from due time to due time, as `python -m sandbox clock` moves it. In the end each customer was
charged once a month, every invariant view is empty, and the ledger's chain is verified from
outside; otherwise there is no result. Writes .sandbox/bench/year.json. Exit code 0: within the
time; 1: not; 2: not measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from inbound import year
from race.report import Bar, machine
from race.servers import ROOT, RaceError

from sandbox.postgres import PostgresError
from sandbox.world import WorldError

RESULT = ROOT / ".sandbox" / "bench" / "year.json"
CUSTOMERS, QUICK_CUSTOMERS = 1_000, 62
SECONDS_MAX = 60


def main() -> int:
    parser = argparse.ArgumentParser("bench/year.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_CUSTOMERS} customers")
    parser.add_argument("--customers", type=int, help=f"how many, {CUSTOMERS:,} by default")
    parser.add_argument("--months", type=int, default=year.MONTHS, help="how long, 12 by default")
    parser.add_argument("--output", type=Path, default=RESULT, help="the file for machines")
    given = parser.parse_args()
    number = given.customers or (QUICK_CUSTOMERS if given.quick else CUSTOMERS)
    try:
        with tempfile.TemporaryDirectory() as directory:
            found = year.run(Path(directory), number, given.months)
    except (RaceError, WorldError, PostgresError, OSError) as error:
        print(f"bench: not measured: {error}", file=sys.stderr)
        return 2
    name = f"{found.charges:,} charges by the clock"
    bar = Bar(name, found.all_seconds, SECONDS_MAX, "s", at_least=False)
    print(f"{found.seconds:.1f} s on the way, {found.quiet_s:.1f} s until all was told")
    print(f"{found.stops} stops, {found.calls} calls of crons; CPU in seconds: {found.cpu_s}")
    print(bar)
    value = {"about": machine(), **asdict(found), "bars": [{**asdict(bar), "verdict": bar.verdict}]}
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(value, indent=1) + "\n")
    return 1 if bar.verdict == "missed" else 0


if __name__ == "__main__":
    sys.exit(main())
