"""Every outgoing call of every flow, spoilt in every way, by machine."""

import os

import pytest
from proof import sites
from proof.cases import MODES, Tally, pairs, singles
from proof.flows import FLOWS
from proof.seam import Kind
from proof.stage import Stage

# `make test` spoils every call in two ways and a few pairs; `make prove` plays every case there is.
WHOLE = os.environ.get("PROOF") == "all"
PAIRS = int(os.environ.get("PROOF_PAIRS", "4"))  # a flow
SEED = int(os.environ.get("PROOF_SEED", "1"))

# Sites that no flow comes through, with the reason.
NO_AUTHORISATION = "no door opens a payment that is authorised first: tests/payments/test_settling"
OUT_OF_TIME = "only for what a tick had no time to send: tests/autopay/test_charges"
ELSEWHERE = {
    sites.Site("autopay/charging.py", "charge_all", "ReleaseAutopayCharges"): OUT_OF_TIME,
    sites.Site("payments/actions.py", "_cancel", "cancel"): NO_AUTHORISATION,
    sites.Site("payments/actions.py", "capture_payment", "BeginCapture"): NO_AUTHORISATION,
    sites.Site("payments/actions.py", "capture_payment", "capture"): NO_AUTHORISATION,
}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_any_one_call_may_go_wrong(stage: Stage, flow) -> None:
    tally = Tally()
    calls = {tally.play(stage, flow, {}, mode) for mode in MODES}
    assert len(calls) == 1, "without faults a flow makes the same calls whoever is left to mend"
    for faults, mode in singles(*calls, whole=WHOLE, seed=SEED):
        tally.play(stage, flow, faults, mode)

    assert not tally.faults, tally.told()
    assert tally.unmet == 0
    assert tally.cases >= len(MODES) + 2 * max(calls)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_any_two_calls_may_go_wrong(stage: Stage, flow) -> None:
    tally = Tally()
    calls = tally.play(stage, flow, {}, "all")
    for faults, mode in pairs(calls, PAIRS, SEED):
        tally.play(stage, flow, faults, mode)

    assert not tally.faults, tally.told()


@pytest.mark.timeout(3600)
def test_every_call_site_is_come_through(stage: Stage) -> None:
    """Without faults, and where the gateway is silent: then the service comes another way."""
    tally = Tally()
    for flow in FLOWS:
        tally.play(stage, flow, {}, "all")
        for number in [call.number for call in stage.seam.trace if call.has_effect]:
            tally.play(stage, flow, {number: Kind.LATE}, "janitor")

    assert not tally.faults, tally.told()
    missed = sorted(map(str, sites.written() - tally.sites - set(ELSEWHERE)))
    assert not missed, "\n".join(missed)
    assert set(ELSEWHERE) <= sites.written()
