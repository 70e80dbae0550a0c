"""Every outgoing call of every flow, spoilt in every way, by machine."""

import os

import pytest
from proof import sites
from proof.cases import MODES
from proof.flows import FLOWS
from proof.seam import Call, Kind
from proof.stage import Stage
from proof.tally import Tally, pairs, singles

# `make thorough` spoils every call in three ways, and some pairs; `make prove` plays every case.
WHOLE = os.environ.get("PROOF") == "all"
WAYS = 3
PAIRS = int(os.environ.get("PROOF_PAIRS", "29"))  # a flow
SEED = int(os.environ.get("PROOF_SEED", "1"))

# Sites that no flow comes through, with the reason.
OUT_OF_TIME = "only for what a tick had no time to send: tests/autopay/test_charges"
SEVERAL = "only for messages that come at the same time: tests/autopay/test_keeping"
TOLD = "only where a webhook about an open dispute is lost: tests/disputes/test_open_ones"
LATER = "only a day after a refund has succeeded: tests/refunds/test_sending"
FOLLOWED = "only for a refund made at the gateway, later: tests/refunds/test_searches"
AT_THE_DOOR = "counts what is refused, once a minute: tests/payments/test_refused_messages"
WATCHER = "reads a view a call, and moves no money: tests/reconciliation/test_invariants"
FORGETS = "forgets what nobody needs, and moves no money: tests/retention"
WATCHES = (
    ("check_invariants", "BeginInvariantChecks"),
    ("_read", "ReadInvariant"),
    ("_read", "PutOffInvariant"),
    ("check_invariants", "EndInvariantChecks"),
)
ELSEWHERE = {
    **{sites.Site("reconciliation/crons.py", *watch): WATCHER for watch in WATCHES},
    sites.Site("retention/crons.py", "forget_messages", "ForgetGatewayMessages"): FORGETS,
    sites.Site("retention/crons.py", "forget_messages", "ForgetDeliveries"): FORGETS,
    sites.Site("autopay/charging.py", "give_back", "ReleaseAutopayCharges"): OUT_OF_TIME,
    sites.Site("inbox.py", "receive_together", "ReceiveGatewayEvents"): SEVERAL,
    sites.Site("endpoints.py", "_write_refusals", "NoteRefusedMessages"): AT_THE_DOOR,
    sites.Site("refunds/sending.py", "check", "EndRefundLook"): LATER,
    sites.Site("refunds/sending.py", "_look_up", "find_refunds"): FOLLOWED,
    sites.Site("payments/disputes.py", "_of_payment", "find_payment_disputes"): TOLD,
}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_any_one_call_may_go_wrong(stage: Stage, flow) -> None:
    tally = Tally()
    calls = {tally.play(stage, flow, {}, mode) for mode in MODES}
    assert len(calls) == 1, "without faults a flow makes the same calls whoever is left to mend"
    for faults, mode in singles(*calls, whole=WHOLE, seed=SEED + flow.turn, ways=WAYS):
        tally.play(stage, flow, faults, mode)

    assert not tally.faults, tally.told()
    assert tally.unmet == 0
    assert tally.cases >= len(MODES) + WAYS * max(calls)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_any_two_calls_may_go_wrong(stage: Stage, flow) -> None:
    tally = Tally()
    calls = tally.play(stage, flow, {}, "all")
    for faults, mode in pairs(calls, PAIRS, SEED):
        tally.play(stage, flow, faults, mode)

    assert not tally.faults, tally.told()


def is_worth_losing(call: Call) -> bool:
    """Whether the service goes another way when it does not hear: of its crons, any question."""
    return call.has_effect or (call.peer != "hasura" and "/crons/" in call.door)


@pytest.mark.timeout(3600)
def test_every_call_site_is_come_through(stage: Stage) -> None:
    """Without faults, and where the gateway is silent: then the service comes another way."""
    tally = Tally()
    for flow in FLOWS:
        tally.play(stage, flow, {}, "all")
        for number in [call.number for call in stage.seam.trace if is_worth_losing(call)]:
            tally.play(stage, flow, {number: Kind.LATE}, "janitor")

    assert not tally.faults, tally.told()
    missed = sorted(map(str, sites.written() - tally.sites - set(ELSEWHERE)))
    assert not missed, "\n".join(missed)
    assert set(ELSEWHERE) <= sites.written()
