"""The machinery itself: a proof that could not fail would prove nothing."""

from typing import Any

import pytest
from proof import peers, sites, trace
from proof.acknowledged import Acknowledged, Promise, unbooked, unknown_refunds
from proof.cases import MODES, Case
from proof.flows import FLOWS
from proof.ledgers import LEDGERS, SentBack
from proof.paying import on_the_page
from proof.seam import Call, Kind
from proof.shops import GATEWAYS, At
from proof.stage import Stage
from proof.tally import Tally, pairs, singles
from requests.adapters import HTTPAdapter

from app import gateways
from app.gateways.payu import references

BUY = FLOWS[0]


class Nothing:
    """Books that hold nothing, and a gateway that took money once."""

    def sql(self, _query: str, *_values: object) -> list[dict[str, Any]]:
        return []

    def charges(self) -> list[dict[str, Any]]:
        return [{"id": "pi_1"}]


def call(number: int = 1, peer: str = "stripe", door: str = "a", **changes: Any) -> Call:
    key, reference = changes.pop("key", "k"), changes.pop("reference", None)
    said: dict[str, Any] = {
        "method": "POST",
        "path": "/stripe/v1/refunds",
        "operation": "POST /stripe/v1/refunds",
        "fields": {},
        "asks": peers.Meaning(peer != "hasura", key, reference),
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
    (breach,) = trace.broken([call(1, reference="r"), call(2, key="other", reference="r")])
    assert "2 keys" in breach
    assert trace.broken([call(1, reference="r"), call(2, key="k:2", reference="r")]) == []


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


def sent_back(refund_id: str | None, *, is_undone: bool = False) -> SentBack:
    return SentBack(refund_id, "re_1", 1_000, is_done=not is_undone, is_undone=is_undone)


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ([sent_back("ours")], []),
        ([sent_back("ours", is_undone=True), sent_back("ours")], []),
        ([sent_back("ours"), sent_back("ours")], ["refund ours was sent 2 times"]),
        ([sent_back(None)], ["refund None at the gateway is none of ours"]),
    ],
)
def test_a_refund_at_the_gateway_is_one_of_ours_and_there_once(
    kept: list[SentBack], told: list[str]
) -> None:
    class Books(Nothing):
        def sql(self, _query: str, *_values: object) -> list[dict[str, Any]]:
            return [{"id": "ours"}]

        def sent_back(self) -> list[SentBack]:
            return kept

    assert unknown_refunds(Books()) == told


ROW = "6f1e9a3e-5a55-4a5a-9a55-000000000001"
TOKEN = references.token(ROW)
CALLS = [
    ("stripe", "POST", "/v1/refunds", {"metadata[refund_id]": ROW}, {"Idempotency-Key": ROW}),
    ("razorpay", "POST", "/v1/orders", {"receipt": ROW, "notes": {"payment_attempt_id": ROW}}, {}),
    (
        *("razorpay", "POST", "/v1/payments/pay_1/refund"),
        *({"notes": {"refund_id": ROW}}, {"X-Refund-Idempotency": ROW}),
    ),
    (
        *("payu", "POST", "/merchant/postservice.php"),
        *({"command": "cancel_refund_transaction", "var2": TOKEN}, {}),
    ),
    ("payu", "POST", "/_payment", {"txnid": references.txnid(ROW)}, {}),
    ("cashfree", "POST", "/pg/orders", {"order_id": ROW}, {}),
    (
        *("cashfree", "POST", f"/pg/orders/{ROW}/refunds"),
        *({"refund_id": ROW.replace("-", "")}, {}),
    ),
]
LOOK_UPS = [
    ("razorpay", "GET", "/v1/orders", {}),
    ("payu", "POST", "/merchant/postservice.php", {"command": "verify_payment", "var1": TOKEN}),
    ("cashfree", "POST", "/pg/settlement/recon", {"pagination": {}}),
]
ON_KNOWN_OBJECTS = [
    ("stripe", "POST", "/v1/payment_intents/pi_1/capture"),
    ("razorpay", "POST", "/v1/payments/pay_1/capture"),
    ("cashfree", "PATCH", f"/pg/orders/{ROW}"),
    ("cashfree", "POST", f"/pg/orders/{ROW}/authorization"),
    ("razorpay", "POST", "/v1/payments/create/json"),
    ("cashfree", "POST", "/pg/orders/sessions"),
]


@pytest.mark.parametrize(("gateway", "method", "path", "fields", "headers"), CALLS)
def test_what_a_gateway_is_asked_to_do_names_our_row(
    gateway: str, method: str, path: str, fields: dict[str, Any], headers: dict[str, str]
) -> None:
    asks = peers.meaning(gateway, peers.Sent(method, path, headers, fields))
    assert asks == peers.Meaning(has_effect=True, key=ROW, reference=ROW)


@pytest.mark.parametrize(("gateway", "method", "path", "fields"), LOOK_UPS)
def test_a_look_up_does_nothing(
    gateway: str, method: str, path: str, fields: dict[str, Any]
) -> None:
    assert peers.meaning(gateway, peers.Sent(method, path, {}, fields)) == peers.LOOK_UP


@pytest.mark.parametrize(("gateway", "method", "path"), ON_KNOWN_OBJECTS)
def test_what_names_the_gateways_own_object_needs_no_row(
    gateway: str, method: str, path: str
) -> None:
    asks = peers.meaning(gateway, peers.Sent(method, path, {}, {}))
    assert asks.has_effect
    assert asks.is_on_a_known_object


def test_every_gateway_has_a_ledger_a_meaning_and_flows() -> None:
    assert {at.gateway for at in GATEWAYS} == set(LEDGERS) <= set(peers.GATEWAYS)
    assert set(gateways.names()) == set(LEDGERS)


@pytest.mark.parametrize("ways", [1, 2, 3])
def test_every_call_is_spoilt_and_over_the_seeds_in_every_way_under_every_mode(ways: int) -> None:
    over_seeds = set()
    for seed in range(len(Kind) * len(MODES)):
        cases = singles(7, whole=False, seed=seed, ways=ways)
        assert {number for faults, _ in cases for number in faults} == set(range(1, 8))
        assert len(cases) == 7 * ways
        over_seeds |= {(*faults.items(), mode) for faults, mode in cases}
    whole = {(*faults.items(), mode) for faults, mode in singles(7, whole=True, seed=1)}
    assert len(whole) == 7 * len(Kind) * len(MODES)
    assert over_seeds == whole


def test_pairs_are_the_same_for_the_same_seed() -> None:
    assert pairs(7, 5, seed=3) == pairs(7, 5, seed=3) != pairs(7, 5, seed=4)
    assert all(len(faults) == 2 for faults, _ in pairs(7, 50, seed=3))


@pytest.mark.parametrize("at", GATEWAYS, ids=lambda at: at.gateway)
def test_money_that_a_gateway_took_and_no_book_holds_is_found(stage: Stage, at: At) -> None:
    case = Case(stage, on_the_page(at), {}, "webhook")
    assert case.run() == []
    with stage.database.transaction():
        stage.database.execute("set local session_replication_role = replica")
        stage.database.execute("update payment_attempts set gateway_payment_id = 'another'")

    assert any("is in no book" in fault for fault in case.judge(finished=True))


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
