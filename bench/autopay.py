"""An autopay run: mandates that are all due, charged against the simulator by the product's cron.

The app is killed once on the way and started again: the run goes on where it was, and in the end
the gateway has charged each mandate once. Prints how it goes and one line for each bar, and writes
.sandbox/bench/autopay.json. Exit code 0: every bar is met; 1: one is missed; 2: not measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from inbound import mandates
from race.report import Bar, machine
from race.servers import ROOT, RaceError

from sandbox.postgres import PostgresError

RESULT = ROOT / ".sandbox" / "bench" / "autopay.json"
MANDATES, QUICK_MANDATES = 10_000, 600


def main() -> int:
    parser = argparse.ArgumentParser("bench/autopay.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_MANDATES} mandates")
    parser.add_argument("--mandates", type=int, help=f"how many, {MANDATES:,} by default")
    parser.add_argument(
        "--together",
        action="store_true",
        help="webhooks and events of the charges come to the same app at the same time",
    )
    parser.add_argument("--output", type=Path, default=RESULT, help="the file for machines")
    given = parser.parse_args()
    number = given.mandates or (QUICK_MANDATES if given.quick else MANDATES)
    try:
        with tempfile.TemporaryDirectory() as directory:
            found = mandates.run(Path(directory), number, together=given.together)
    except (RaceError, PostgresError, OSError) as error:
        print(f"bench: not measured: {error}", file=sys.stderr)
        return 2
    bar = Bar("charges of an autopay run", found.rate, 150, "a s", at_least=True)
    print(f"{number:,} mandates written down in {found.written_s:.1f} s")
    print(f"CPU of a charge, in ms: {found.cpu_ms}")
    print(bar)
    value = {"about": machine(), **asdict(found), "bars": [{**asdict(bar), "verdict": bar.verdict}]}
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(value, indent=1) + "\n")
    return 1 if bar.verdict == "missed" else 0


if __name__ == "__main__":
    sys.exit(main())
