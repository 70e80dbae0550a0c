"""`make soak MINUTES=10`: trouble a town for a while; the next slice goes on where this one ended.

Everything stays in .sandbox/soak: the town's data, every promise ever heard, and counters.json,
which adds up over all slices. Each slice has a seed of its own, which is its number.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

from ports import free_port
from proof.counters import Counters
from proof.town import open_town, slice_of

from sandbox.world import STATE, Ports

SOAK = STATE / "soak"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--fresh", action="store_true", help="forget the slices before")
    parser.add_argument("--state", type=Path, default=SOAK)
    options = parser.parse_args()
    if options.fresh:
        shutil.rmtree(options.state, ignore_errors=True)

    counters = Counters()
    counters.load(options.state / "counters.json")
    ends = time.monotonic() + options.minutes * 60

    def goes_on(cycles: int) -> bool:
        say(f"\r  slice {counters.slices + 1}, cycle {cycles + 1}")
        return time.monotonic() < ends

    ports = Ports(free_port(), free_port(), free_port())
    with open_town(options.state, ports, free_port()) as town:
        slice_of(town, counters, seed=counters.slices + 1, goes_on=goes_on)
    counters.save(options.state / "counters.json")
    say(f"\n  {counters}\n")
    if counters.faults:
        sys.exit("\n".join(["what did not hold:", *counters.faults[:20]]))


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
