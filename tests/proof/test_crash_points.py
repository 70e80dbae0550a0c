"""Every outgoing call of every flow, spoilt in every way, by machine."""

import os

import pytest
from proof import sites
from proof.cases import MODES, Tally, pairs, singles
from proof.flows import FLOWS
from proof.seam import Kind
from proof.stage import Stage

PAIRS = int(os.environ.get("PROOF_PAIRS", "25"))  # a flow; more with `make prove PAIRS=1000`
SEED = int(os.environ.get("PROOF_SEED", "1"))

# Sites that no flow comes through, with the reason.
ELSEWHERE: dict[sites.Site, str] = {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_any_one_call_may_go_wrong(stage: Stage, flow, mode: str) -> None:
    tally = Tally()
    calls = tally.play(stage, flow, {}, mode)
    assert calls >= 1
    for faults in singles(calls):
        tally.play(stage, flow, faults, mode)

    print(f"{flow.name}, {mode}: {tally.cases} cases, {calls} calls")
    assert tally.faults == []
    assert tally.unmet == 0
    assert tally.cases == 1 + calls * len(Kind)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_any_two_calls_may_go_wrong(stage: Stage, flow) -> None:
    tally = Tally()
    calls = tally.play(stage, flow, {}, "all")
    for number, faults in enumerate(pairs(calls, PAIRS, SEED)):
        tally.play(stage, flow, faults, list(MODES)[number % len(MODES)])

    assert tally.faults == []


def test_every_call_site_is_come_through(stage: Stage) -> None:
    tally = Tally()
    for flow in FLOWS:
        tally.play(stage, flow, {}, "all")

    assert tally.faults == []
    missed = sites.written() - tally.sites - set(ELSEWHERE)
    assert sorted(map(str, missed)) == []
