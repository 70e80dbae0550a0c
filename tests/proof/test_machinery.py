"""The machinery itself: a proof that could not fail would prove nothing."""

from typing import Any

import pytest
from proof import sites, trace
from proof.acknowledged import Acknowledged, Promise, unbooked
from proof.cases import Case, Tally, pairs, singles
from proof.flows import FLOWS
from proof.seam import Call, Kind
from proof.stage import Stage
from requests.adapters import HTTPAdapter

BUY = FLOWS[0]


class Nothing:
    """Books that hold nothing, and a gateway that took money once."""

    def sql(self, _query: str, *_values: object) -> list[dict[str, Any]]:
        return []

    def charges(self) -> list[dict[str, Any]]:
        return [{"id": "pi_1"}]


def call(number: int = 1, peer: str = "stripe", door: str = "a", **changes: Any) -> Call:
    said: dict[str, Any] = {
        "method": "POST",
        "path": "/stripe/v1/refunds",
        "operation": "POST /stripe/v1/refunds",
        "key": "k",
        "fields": {},
        "started": float(number),
        "ended": number + 0.5,
        "intent_is_committed": True,
    }
    site = sites.Site("refunds/sending.py", "send", "refund")
    return Call(number=number, door=door, site=site, peer=peer, **(said | changes))


def test_a_trace_in_order_breaks_no_rule() -> None:
    assert trace.broken([call(1, peer="hasura"), call(2), call(3, peer="hasura")]) == []


def test_a_gateway_asked_before_the_row_is_committed_is_a_breach() -> None:
    (breach,) = trace.broken([call(intent_is_committed=False)])
    assert "no row k was committed" in breach


def test_a_gateway_asked_without_a_key_is_a_breach() -> None:
    (breach,) = trace.broken([call(key=None, intent_is_committed=None)])
    assert "no idempotency key" in breach


def test_a_gateway_asked_inside_a_database_request_is_a_breach() -> None:
    (breach,) = trace.broken([call(1, peer="hasura", ended=9.0), call(2)])
    assert "runs inside" in breach


def test_another_door_may_ask_the_database_meanwhile() -> None:
    assert trace.broken([call(1, peer="hasura", door="b", ended=9.0), call(2)]) == []


def test_another_key_for_the_same_refund_is_a_breach() -> None:
    fields = {"metadata[refund_id]": "r"}
    (breach,) = trace.broken([call(1, fields=fields), call(2, key="other", fields=fields)])
    assert "2 keys" in breach
    assert trace.broken([call(1, fields=fields), call(2, key="k:2", fields=fields)]) == []


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("purchase", {"credit_purchase_id": "p", "session_id": "s", "amount": 1}),
        ("message", {"event_id": "e"}),
        ("receipt", {"payment_attempt_id": "a"}),
        ("paid", {"credit_purchase_id": "p"}),
        ("refund", {"refund_id": "r", "amount": 1}),
        ("mandate", {"autopay_mandate_id": "m"}),
    ],
)
def test_a_promise_that_no_book_holds_is_broken(kind: str, said: dict[str, Any]) -> None:
    heard = Acknowledged(promises=[Promise(kind, said)])
    assert len(heard.broken(Nothing())) == 1


def test_a_charge_in_no_book_is_found() -> None:
    assert unbooked(Nothing()) == ["charge pi_1 is in no book"]


def test_every_call_is_spoilt_and_over_the_seeds_in_every_way() -> None:
    for seed in range(6):
        numbers = {n for faults, _ in singles(7, whole=False, seed=seed) for n in faults}
        assert numbers == set(range(1, 8))
    over_seeds = [case for seed in range(12) for case in singles(7, whole=False, seed=seed)]
    assert {kind for faults, _ in over_seeds for kind in faults.values()} == set(Kind)
    assert len(singles(7, whole=True, seed=1)) == 7 * len(Kind) * 4


def test_pairs_are_the_same_for_the_same_seed() -> None:
    assert pairs(7, 5, seed=3) == pairs(7, 5, seed=3) != pairs(7, 5, seed=4)
    assert all(len(faults) == 2 for faults, _ in pairs(7, 50, seed=3))


@pytest.mark.parametrize("kind", Kind)
def test_each_fault_does_what_it_says(stage: Stage, kind: Kind) -> None:
    case = Case(stage, BUY, {2: kind}, "webhook")
    case.run()
    second = stage.seam.trace[1]

    assert second.site == sites.Site("pages.py", "open_page", "open")
    assert second.fate == kind
    reached = kind in {Kind.CRASH_AFTER, Kind.TIMEOUT, Kind.LATE}
    assert bool(case.own("checkout.session")) == (second.status is not None) == reached


SABOTAGE = {
    "credits that vanish": (
        "update ledger_accounts set balance = balance + 10000 where code = 'credits_issued'",
        "invariant_account_balances",
    ),
    "a message that was acknowledged": ("delete from gateway_events", "message"),
    "a receipt that was acknowledged": (
        "update payment_attempts set receipt_url = null",
        "there is no receipt",
    ),
}


@pytest.mark.parametrize("name", SABOTAGE)
def test_what_is_lost_after_it_was_promised_is_found(stage: Stage, name: str) -> None:
    sabotage, told = SABOTAGE[name]
    case = Case(stage, BUY, {}, "webhook")
    assert case.run() == []
    with stage.database.transaction():
        stage.database.execute("set local session_replication_role = replica")
        stage.database.execute(sabotage)

    assert any(told in fault for fault in case.judge(finished=True))


def test_a_service_that_never_asks_again_is_found(stage: Stage) -> None:
    """With nobody left to mend, what a lost answer leaves behind is left, and told."""
    tally = Tally()
    tally.play(stage, BUY, {2: Kind.LATE}, "client")
    assert tally.faults == []

    broken = Case(stage, BUY, {1: Kind.CRASH_BEFORE}, "webhook")
    assert broken.run() == []
    assert "session_id" not in broken.facts


@pytest.mark.usefixtures("open_stages")
def test_the_seam_is_there_only_while_a_test_has_the_stage() -> None:
    assert HTTPAdapter.send.__module__ == "requests.adapters"
