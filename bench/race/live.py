"""Live queries: bench/subscribers.py is a program of its own; this runs it and reads its table."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass

from race.servers import BENCH, ROOT, RaceError

PROGRAM = BENCH / "subscribers.py"
SECONDS_MAX = 120
LINE = re.compile(r"^one live query.*?([\d.]+) statements/s.*?([\d.]+) cores", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Live:
    """A thousand subscribers to one query: the worst of the cases that were measured."""

    statements: float
    cores: float
    told: str


def measure() -> Live:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        ran = subprocess.run(
            [sys.executable, str(PROGRAM)],
            check=False,
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
        )
    except subprocess.TimeoutExpired as error:
        raise RaceError(f"the live queries did not end in {SECONDS_MAX} seconds") from error
    found = [(float(one), float(other)) for one, other in LINE.findall(ran.stdout)]
    if ran.returncode or not found:
        raise RaceError(f"the live queries were not measured: {ran.stderr.strip()[-300:]}")
    return Live(max(one for one, _ in found), max(other for _, other in found), ran.stdout)
