"""Which cases there are: the calls of a flow that are spoilt one at a time, or two."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

from proof.cases import MODES, Case, Flow
from proof.seam import Kind
from proof.sites import Site
from proof.stage import Stage

# From a call to the next, and from a seed to the next. Neither has a factor in common with the
# number of ways under modes, so they miss none; each step is to another way and another mode.
CALL_STRIDE, SEED_STRIDE = 7, 5


@dataclass
class Tally:
    """Cases played, what was wrong with them, and the call sites they came through."""

    cases: int = 0
    faults: list[str] = field(default_factory=list)
    sites: set[Site] = field(default_factory=set)
    unmet: int = 0  # cases whose fault waited for a call that never came

    def play(self, stage: Stage, flow: Flow, faults: Mapping[int, Kind], mode: str) -> int:
        """Play one case and judge it. Answers how many calls it made before any recovery."""
        # Each case begins with gateways that work: silences of many cases would close them.
        stage.database.execute("delete from gateway_circuits")
        case = Case(stage, flow, faults, mode)
        found = case.run()
        self.cases += 1
        self.unmet += not stage.seam.spoilt
        self.sites |= {call.site for call in stage.seam.trace}
        if found:
            said = ", ".join(f"{kind} at call {number}" for number, kind in faults.items())
            self.faults.append(f"{flow.name}, {said or 'no fault'}, {mode}: {'; '.join(found)}")
        if found or self.cases % 50 == 0:
            stage.empty()
        return case.calls

    def told(self) -> str:
        return "\n".join([f"{len(self.faults)} of {self.cases} cases:", *self.faults[:20]])


def singles(
    calls: int, *, whole: bool, seed: int, ways: int = 2
) -> list[tuple[dict[int, Kind], str]]:
    """Spoil the calls one at a time: each in every way under every mode, or in some, by the seed.

    Every call is spoilt in either; over as many seeds as there are ways and modes, in all of them.
    """
    numbers, every = range(1, calls + 1), list(product(Kind, MODES))
    if whole:
        return [({number: kind}, mode) for number, (kind, mode) in product(numbers, every)]
    apart = len(every) // ways + 1
    turns = [
        (number, CALL_STRIDE * number + SEED_STRIDE * seed + way * apart)
        for number in numbers
        for way in range(ways)
    ]
    chosen = [(number, *every[turn % len(every)]) for number, turn in turns]
    return [({number: kind}, mode) for number, kind, mode in chosen]


def pairs(calls: int, count: int, seed: int) -> list[tuple[dict[int, Kind], str]]:
    """Sample two faults in one case; the later one may meet the recovery from the first."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        first = chance.randint(1, calls)
        second = chance.randint(first + 1, calls + 4)
        faults = {first: chance.choice(list(Kind)), second: chance.choice(list(Kind))}
        found.append((faults, chance.choice(list(MODES))))
    return found
