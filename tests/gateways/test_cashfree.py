"""The adapter against answers of Cashfree's, also those that a simulator would not give."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import responses
from gateways.cashfree_entities import (
    API,
    ATTEMPT,
    INR_2500,
    NOW,
    ORDER,
    REFUND,
    SECRET,
    dispute,
    payment,
    refund,
)

from app.config import ConfigError, read
from app.errors import GatewayRefusedError, GatewayUnavailableError, SignatureInvalidError
from app.gateways import Charge, Method, Outcome, Query, RefundOrder, Return, Settled, Subject
from app.gateways.cashfree import Adapter, Settings
from app.money import Money


@pytest.fixture
def adapter() -> Iterator[Adapter]:
    made = Adapter(Settings("TEST_client", (SECRET, "cf_secret_B"), API))
    yield made
    made.http.close()


@pytest.fixture
def answers() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def charge(**changes: Any) -> Charge:
    wanted = {
        "id": ATTEMPT,
        "amount": INR_2500,
        "title": "250 credits",
        "email": "asha@example.com",
        "name": "Asha Rao",
        "phone": "+919876543210",
        "success_url": "https://shop.example/ok?order={order_id}",
        "cancel_url": "https://shop.example/no",
        "expires_at": NOW + timedelta(hours=1),
    }
    return Charge(**{**wanted, **changes})


# Asking


def test_an_order_is_written_as_the_documentation_has_it(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    made = {**ORDER, "order_amount": 2500, "payment_session_id": "session_x"}
    answers.post(f"{API}/orders", json=made)
    page = adapter.open(charge(method=Method.UPI))

    request = answers.calls[0].request
    body = request.body or b""
    assert isinstance(body, bytes)
    assert b'"order_amount": 2500.00' in body
    assert json.loads(body) == {
        "order_id": ATTEMPT,
        "order_amount": 2500.0,
        "order_currency": "INR",
        "order_expiry_time": "2026-09-21T15:13:25+00:00",
        "order_note": "250 credits",
        "order_meta": {
            "return_url": "https://shop.example/ok?order={order_id}",
            "payment_methods": "upi",
        },
        "customer_details": {
            "customer_id": "6f1e9a3e5a554a5a9a55000000000001",
            "customer_phone": "9876543210",
            "customer_email": "asha@example.com",
            "customer_name": "Asha Rao",
        },
    }
    assert request.headers["x-client-id"] == "TEST_client"
    assert request.headers["x-client-secret"] == SECRET
    assert request.headers["x-api-version"] == "2025-01-01"
    assert page.reference == ATTEMPT
    assert page.url == f"{API}/view/sessions/checkout"
    assert page.form == {"payment_session_id": "session_x"}


def test_a_page_is_where_browsers_reach_it(answers: responses.RequestsMock) -> None:
    answers.post(f"{API}/orders", json={**ORDER, "order_amount": 2500, "payment_session_id": "s"})
    adapter = Adapter(Settings("TEST_client", (SECRET,), API, "https://pay.example/pg/"))
    page = adapter.open(charge())
    adapter.http.close()

    assert page.url == "https://pay.example/pg/view/sessions/checkout"


def test_a_hold_is_asked_for_by_the_note(adapter: Adapter, answers: responses.RequestsMock) -> None:
    answers.post(f"{API}/orders", json={**ORDER, "order_amount": 2500, "payment_session_id": "s"})
    adapter.open(charge(authorize_only=True, name="Li", email=""))

    body = json.loads(answers.calls[0].request.body or b"")
    assert body["order_note"] == "preauth_transaction"
    assert set(body["customer_details"]) == {"customer_id", "customer_phone"}
    assert "payment_methods" not in body["order_meta"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"phone": ""}, "phone number"),
        ({"amount": Money(2500, "USD")}, "USD"),
        ({"method": Method.BANK_DEBIT}, "bank_debit"),
    ],
)
def test_what_cashfree_does_not_take_is_refused_by_name(
    adapter: Adapter, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(GatewayRefusedError, match=said):
        adapter.open(charge(**changes))


@pytest.mark.parametrize(
    ("status", "code"), [(409, "order_already_exists"), (400, "order_id_already_exists")]
)
def test_an_order_that_exists_is_the_same_page(
    adapter: Adapter, answers: responses.RequestsMock, status: int, code: str
) -> None:
    error = {"message": "order with same id is already present", "code": code}
    answers.post(f"{API}/orders", json=error, status=status)
    known = {**ORDER, "order_amount": 2500.0, "payment_session_id": "session_x"}
    answers.get(f"{API}/orders/{ATTEMPT}", json=known)

    assert adapter.open(charge()).form == {"payment_session_id": "session_x"}


def test_another_order_under_the_same_id_is_refused(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    answers.post(f"{API}/orders", json={"code": "order_already_exists"}, status=409)
    known = {**ORDER, "order_amount": 2499.99, "payment_session_id": "session_x"}
    answers.get(f"{API}/orders/{ATTEMPT}", json=known)

    with pytest.raises(GatewayRefusedError, match="another order"):
        adapter.open(charge())


def test_a_refusal_says_what_cashfree_says_and_no_more(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    error = {"message": "order_amount : should be at least 1", "code": "order_amount_invalid"}
    answers.post(f"{API}/orders", json=error, status=400)

    with pytest.raises(GatewayRefusedError) as refusal:
        adapter.open(charge())
    assert refusal.value.message == "Cashfree refused: order_amount : should be at least 1"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "[]"),
        (200, "{}"),
        (200, "null"),
        (200, "<html>502</html>"),
        (200, ""),
        (401, '{"message": "authentication Failed", "type": "authentication_error"}'),
        (404, "<html>Not Found</html>"),
        (429, '{"type": "rate_limit_error"}'),
        (500, '{"type": "api_error"}'),
        (302, ""),
    ],
)
def test_what_means_nothing_leaves_everything_open(
    adapter: Adapter, answers: responses.RequestsMock, status: int, body: str
) -> None:
    answers.post(f"{API}/orders", body=body, status=status)
    answers.get(f"{API}/orders/{ATTEMPT}", body=body, status=status)

    with pytest.raises(GatewayUnavailableError):
        adapter.open(charge())
    with pytest.raises(GatewayUnavailableError):
        adapter.find(Query(payment_attempt_id=ATTEMPT, since=NOW))


def test_only_an_order_that_is_not_there_is_nothing(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    gone = {"message": "Order Reference Id does not exist", "code": "order_not_found"}
    answers.get(f"{API}/orders/{ATTEMPT}", json=gone, status=404)
    answers.get(f"{API}/orders/BK-1", json={"code": "request_failed"}, status=404)
    answers.get(f"{API}/orders/BK-2", json=gone, status=400)

    assert adapter.find(Query(payment_attempt_id=ATTEMPT, since=NOW)) is None
    for name in ("BK-1", "BK-2"):
        with pytest.raises(GatewayRefusedError):
            adapter.find(Query(payment_attempt_id=ATTEMPT, since=NOW, gateway_session_id=name))


def test_another_order_than_asked_for_says_nothing(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    other = {**ORDER, "order_amount": 1, "order_id": "BK-17", "order_status": "PAID"}
    answers.get(f"{API}/orders/{ATTEMPT}", json=other)

    with pytest.raises(GatewayUnavailableError, match="another order"):
        adapter.find(Query(payment_attempt_id=ATTEMPT, since=NOW))


REFUNDS = f"{API}/orders/{ATTEMPT}/refunds"
OUR_REFUND = f"{REFUNDS}/{REFUND.replace('-', '')}"
NO_REFUND = {"message": "Refund does not exist", "code": "refund_not_found"}
NOTHING_LEFT = {"message": "Nothing is left", "code": "refund_invalid"}
REFUND_ORDER = RefundOrder(REFUND, f"{ATTEMPT}:1453002795", Money(100_000, "INR"), "cancellation")


def test_a_refund_is_asked_for_below_its_order(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    answers.get(REFUNDS, json=[])
    answers.post(REFUNDS, json=refund(refund_amount=1000))
    found = adapter.refund(REFUND_ORDER)

    body = answers.calls[1].request.body or b""
    assert isinstance(body, bytes)
    assert b'"refund_amount": 1000.00' in body
    assert json.loads(body) == {
        "refund_id": REFUND.replace("-", ""),
        "refund_amount": 1000.0,
        "refund_speed": "STANDARD",
        "refund_note": "cancellation",
    }
    assert (found.outcome, found.refund_id) == (Outcome.SUCCEEDED, REFUND)


def test_a_refund_that_exists_is_told_as_it_is(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    answers.get(REFUNDS, json=[])
    answers.post(REFUNDS, json={"code": "refund_id_already_exists"}, status=400)
    known = refund(refund_amount=999, refund_status="PENDING")
    answers.get(OUR_REFUND, json=known)

    found = adapter.refund(REFUND_ORDER)
    assert (found.outcome, found.amount) == (Outcome.PENDING, Money(99_900, "INR"))


def test_a_refund_that_cashfree_refuses_has_failed(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    error = {"message": "Refund amount is too high", "code": "refund_amount_invalid"}
    answers.get(REFUNDS, json=[])
    answers.post(REFUNDS, json=error, status=400)
    answers.get(OUR_REFUND, json=NO_REFUND, status=404)

    found = adapter.refund(REFUND_ORDER)
    assert (found.outcome, found.refund_id) == (Outcome.FAILED, REFUND)
    assert found.failure_message == "Cashfree refused: Refund amount is too high"


def test_a_refusal_that_speaks_of_the_refund_itself_is_no_failure(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    """It took all that there was, and its answer was lost: asked for again, nothing is left."""
    answers.get(REFUNDS, json=[])
    answers.post(REFUNDS, json=NOTHING_LEFT, status=400)
    answers.get(OUR_REFUND, json=refund(refund_amount=1000, refund_status="SUCCESS"))

    found = adapter.refund(REFUND_ORDER)
    assert (found.outcome, found.refund_id) == (Outcome.SUCCEEDED, REFUND)


def test_a_refusal_says_nothing_while_the_refund_cannot_be_looked_up(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    answers.get(REFUNDS, json=[])
    answers.post(REFUNDS, json=NOTHING_LEFT, status=400)
    answers.get(OUR_REFUND, json={"message": "not now"}, status=400)

    with pytest.raises(GatewayUnavailableError, match="not now"):
        adapter.refund(REFUND_ORDER)


def of_its_own(**changes: Any) -> dict[str, Any]:
    """As Cashfree shows what it gave back by itself."""
    said = {"refund_id": None, "refund_type": "PAYMENT_AUTO_REFUND", "cf_refund_id": 1243460973}
    return refund(refund_amount=1000, **(said | changes))


def test_what_cashfree_has_given_back_by_itself_is_not_asked_for_again(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    """A refund names no payment: the one that pays the order would go back as well."""
    answers.get(
        REFUNDS, json=[refund(cf_payment_id=17, refund_amount=1000), of_its_own(order_id=None)]
    )
    found = adapter.refund(REFUND_ORDER)

    assert (found.outcome, found.refund_id) == (Outcome.SUCCEEDED, REFUND)
    assert (found.gateway_refund_id, found.amount) == ("1243460973", Money(100_000, "INR"))
    assert found.gateway_payment_id == f"{ATTEMPT}:1453002795"
    assert [one.request.method for one in answers.calls] == ["GET"]


@pytest.mark.parametrize(
    "other",
    [
        of_its_own(cf_payment_id=17),  # of another payment
        of_its_own(refund_status="CANCELLED"),
        refund(refund_id="a1b2", refund_amount=1000),  # made at the console
    ],
)
def test_what_has_not_gone_back_is_asked_for(
    adapter: Adapter, answers: responses.RequestsMock, other: dict[str, Any]
) -> None:
    answers.get(REFUNDS, json=[other])
    answers.post(REFUNDS, json=refund(refund_amount=1000))

    assert adapter.refund(REFUND_ORDER).gateway_refund_id == "11325999"


def test_a_refusal_of_what_cashfree_gave_back_meanwhile_is_no_failure(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    answers.get(REFUNDS, json=[])
    answers.post(REFUNDS, json=NOTHING_LEFT, status=400)
    answers.get(OUR_REFUND, json=NO_REFUND, status=404)
    answers.get(REFUNDS, json=[of_its_own()])
    found = adapter.refund(REFUND_ORDER)

    assert (found.outcome, found.refund_id) == (Outcome.SUCCEEDED, REFUND)
    assert found.gateway_refund_id == "1243460973"


def test_all_refunds_of_a_payment_are_those_of_its_order_that_are_its_own(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    ours = REFUND.replace("-", "")
    there = [
        refund(refund_amount=1000, refund_id="a1b2", cf_refund_id=1),  # made at the console
        refund(refund_amount=1000, refund_id=ours, cf_refund_id=2),
        of_its_own(cf_refund_id=3, refund_id=ours),  # a name in it is none that we gave
        refund(refund_amount=1000, refund_id="c3d4", cf_refund_id=4, cf_payment_id=17),
    ]
    answers.get(REFUNDS, json=there)
    found = adapter.find_refunds(f"{ATTEMPT}:1453002795")

    assert [(one.gateway_refund_id, one.refund_id) for one in found] == [
        *(("1", None), ("2", REFUND), ("3", None)),
    ]
    assert {one.gateway_payment_id for one in found} == {f"{ATTEMPT}:1453002795"}


def test_a_list_of_refunds_that_is_refused_is_no_answer(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    answers.get(REFUNDS, json={"message": "not now"}, status=400)

    with pytest.raises(GatewayUnavailableError, match="not now"):
        adapter.refund(REFUND_ORDER)


def test_a_refund_that_cashfree_made_instead_of_ours_is_found(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    answers.get(OUR_REFUND, json=NO_REFUND, status=404)
    answers.get(REFUNDS, json=[of_its_own(refund_status="PENDING")])
    found = adapter.find_refund(REFUND, f"{ATTEMPT}:1453002795")

    assert found is not None
    assert (found.outcome, found.refund_id) == (Outcome.PENDING, REFUND)


def test_a_capture_is_asked_for_once_under_its_own_key(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    path = f"{API}/orders/{ATTEMPT}"
    answers.post(f"{path}/authorization", json={})
    answers.get(path, json={**ORDER, "order_amount": 2500, "order_status": "PAID"})
    taken = payment("SUCCESS", payment_amount=2500, payment_message="PRE_AUTH|ok")
    answers.get(f"{path}/payments", json=[taken])
    for _ in range(2):
        found = adapter.capture(ATTEMPT, f"{ATTEMPT}:1453002795", INR_2500)
        assert found.outcome is Outcome.PAID
    adapter.capture(ATTEMPT, f"{ATTEMPT}:1453002795", Money(100_000, "INR"))
    adapter.cancel(ATTEMPT, f"{ATTEMPT}:1453002795")

    keys = [
        one.request.headers["x-idempotency-key"]
        for one in answers.calls
        if one.request.method == "POST"
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3  # a no to one amount is none to another


HOLD = {**ORDER, "order_amount": 2500, "order_status": "PAID"}
RUNNING = {"message": "in process", "code": "request_invalid", "type": "idempotency_error"}
NO_ORDER = {"message": "Order Reference Id does not exist", "code": "order_not_found"}


def test_a_request_that_is_still_running_is_no_refusal(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    path = f"{API}/orders/{ATTEMPT}"
    answers.post(f"{path}/authorization", json=RUNNING, status=409)
    answers.get(path, json=HOLD)
    held = payment("SUCCESS", payment_amount=2500, is_captured=False)
    answers.get(f"{path}/payments", json=[held])

    answers.get(REFUNDS, json=[])
    answers.post(REFUNDS, json=RUNNING, status=409)

    with pytest.raises(GatewayUnavailableError, match="still at the same request"):
        adapter.refund(REFUND_ORDER)
    with pytest.raises(GatewayUnavailableError, match="still at the same request"):
        adapter.capture(ATTEMPT, f"{ATTEMPT}:1453002795", INR_2500)


def test_what_was_never_there_is_not_captured(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    path = f"{API}/orders/{ATTEMPT}"
    answers.post(f"{path}/authorization", json=NO_ORDER, status=404)
    answers.get(path, json=NO_ORDER, status=404)

    with pytest.raises(GatewayRefusedError, match="does not exist"):
        adapter.capture(ATTEMPT, f"{ATTEMPT}:1453002795", INR_2500)


def test_what_cashfree_has_and_does_not_show_is_asked_about_again(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    path = f"{API}/orders/{ATTEMPT}"
    answers.patch(path, json={})
    answers.get(path, json=NO_ORDER, status=404)
    answers.get(REFUNDS, json=[])
    answers.post(REFUNDS, json={"code": "refund_id_already_exists"}, status=400)
    answers.get(OUR_REFUND, json=NO_REFUND, status=404)

    with pytest.raises(GatewayUnavailableError):
        adapter.expire(ATTEMPT, ATTEMPT)
    with pytest.raises(GatewayUnavailableError):
        adapter.refund(REFUND_ORDER)


@pytest.mark.parametrize("body", [{}, [1], None])
def test_payments_that_are_no_list_say_nothing(
    adapter: Adapter, answers: responses.RequestsMock, body: Any
) -> None:
    path = f"{API}/orders/{ATTEMPT}"
    answers.get(path, json={**ORDER, "order_amount": 2500, "order_status": "ACTIVE"})
    answers.get(f"{path}/payments", json=body)

    with pytest.raises(GatewayUnavailableError):
        adapter.find(Query(payment_attempt_id=ATTEMPT, since=NOW))


def test_an_order_without_payments_is_open(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    path = f"{API}/orders/{ATTEMPT}"
    answers.get(path, json={**ORDER, "order_amount": 2500, "order_status": "ACTIVE"})
    none = {"message": "no payments", "code": "payment_not_found"}
    answers.get(f"{path}/payments", json=none, status=404)

    found = adapter.find(Query(payment_attempt_id=ATTEMPT, since=NOW))
    assert found is not None
    assert found.outcome is Outcome.REQUIRES_ACTION


# Disputes


PAYMENT = f"{ATTEMPT}:1453002795"
LIST = f"{API}/orders/{ATTEMPT}/disputes"


def test_disputes_are_those_of_the_payments_order(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    answers.get(LIST, json=[dispute()])
    (found,) = adapter.find_payment_disputes(PAYMENT)

    assert (found.subject, found.outcome) == (Subject.DISPUTE, Outcome.OPENED)
    assert (found.payment_attempt_id, found.gateway_payment_id) == (ATTEMPT, PAYMENT)
    assert (found.gateway_dispute_id, found.amount) == ("433447817", INR_2500)
    assert (found.opened_at, found.reason) == (NOW - timedelta(seconds=5), "Fraud Transaction")
    assert found.evidence_due_at == datetime(2026, 9, 27, 18, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("resolved_at", "outcome"),
    [
        ("9999-09-09T00:00:00", Outcome.UNDER_REVIEW),
        (None, Outcome.UNDER_REVIEW),
        ("", Outcome.UNDER_REVIEW),
        ("2026-09-30T11:26:58", Outcome.LOST),
        ("2026-09-30T11:26:58+05:30", Outcome.LOST),
    ],
)
def test_papers_that_were_not_enough_lose_once_the_dispute_is_resolved(
    adapter: Adapter, answers: responses.RequestsMock, resolved_at: str | None, outcome: Outcome
) -> None:
    status = "CHARGEBACK_INSUFFICIENT_EVIDENCE"
    answers.get(LIST, json=[dispute(dispute_status=status, resolved_at=resolved_at)])

    assert [one.outcome for one in adapter.find_payment_disputes(PAYMENT)] == [outcome]


def test_an_order_that_cashfree_does_not_know_has_no_disputes(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    answers.get(LIST, status=404, json={"code": "order_not_found", "message": "no such order"})

    assert adapter.find_payment_disputes(PAYMENT) == []


@pytest.mark.parametrize(
    "said",
    [
        {"disputes": []},
        ["a dispute"],
        [dispute(order_details={"order_id": "another", "cf_payment_id": 1})],
        [dispute(), dispute(order_details={"order_id": "another", "cf_payment_id": 1})],
    ],
    ids=["an object", "words", "another order's", "of two orders"],
)
def test_disputes_of_another_order_say_nothing(
    adapter: Adapter, answers: responses.RequestsMock, said: object
) -> None:
    answers.get(LIST, json=said)

    with pytest.raises(GatewayUnavailableError):
        adapter.find_payment_disputes(PAYMENT)


@pytest.mark.parametrize(
    "nonsense",
    [{"order_details": None}, {"dispute_amount": "much"}],
)
def test_a_dispute_that_cannot_be_read_leaves_the_others_of_its_order(
    adapter: Adapter, answers: responses.RequestsMock, nonsense: dict[str, Any]
) -> None:
    said = [dispute(dispute_id=7, **nonsense), dispute()]
    answers.get(LIST, json=said)
    bad, good = adapter.find_payment_disputes(PAYMENT)

    assert (bad.outcome, bad.gateway_dispute_id) == (Outcome.UNREADABLE, "7")
    assert (good.outcome, good.gateway_dispute_id) == (Outcome.OPENED, "433447817")


# Returns and settlements


@pytest.mark.parametrize("fields", [{"order_id": ATTEMPT}, {}, {"order_status": "PAID"}])
def test_a_return_proves_nothing(adapter: Adapter, fields: dict[str, str]) -> None:
    found = adapter.read_return(Return(fields, ATTEMPT, ATTEMPT))

    assert (found.outcome, found.payment_attempt_id) == (Outcome.UNKNOWN, ATTEMPT)


@pytest.mark.parametrize("order_id", ["", REFUND, "BK-17"])
def test_a_return_with_another_orders_id_is_refused(adapter: Adapter, order_id: str) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read_return(Return({"order_id": order_id}, ATTEMPT, ATTEMPT))


def line(kind: str, sale: str, amount: float, net: float, **more: Any) -> dict[str, Any]:
    return {
        "event_details": {
            "event_id": more.pop("event_id", "1"),
            "event_type": kind,
            "event_amount": amount,
            "event_settlement_amount": net,
            "event_currency": "INR",
            "sale_type": sale,
            "event_status": "SUCCESS",
            "event_service_charge": more.pop("charge", 0),
            "event_service_tax": more.pop("tax", 0),
        },
        "settlement_details": {
            "cf_settlement_id": 900001,
            "utr": "CITIN26000000001",
            "settlement_date": "2026-09-22T15:02:00+05:30",
        },
        **more,
    }


def test_a_settlement_is_read_page_by_page(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    about = {
        "order_details": {"order_id": ATTEMPT},
        "payment_details": {"cf_payment_id": 1453002795},
    }
    first = line("PAYMENT", "CREDIT", 2500, 2442.25, charge=48.94, tax=8.81, **about)
    back = line("REFUND", "DEBIT", 1000, -1000, refund_details={"refund_id": REFUND})
    lost = line("CHARGEBACK", "DEBIT", 100, 100, event_id="2", order_details=None)
    other = line("OTHER_ADJUSTMENT", "CREDIT", 0.5, 0.5)
    undone = line("REFUND", "DEBIT", 1, 1)
    undone["event_details"]["event_status"] = "FAILED"
    answers.post(f"{API}/settlement/recon", json={"cursor": "next", "data": [first, undone]})
    answers.post(f"{API}/settlement/recon", json={"cursor": None, "data": [back, lost, other]})

    found = list(adapter.settlements(date(2026, 9, 22)))
    asked = [json.loads(one.request.body or b"") for one in answers.calls]
    assert [one["pagination"]["cursor"] for one in asked] == [None, "next"]
    assert asked[0]["filters"] == {
        "start_date": "2026-09-22T00:00:00+05:30",
        "end_date": "2026-09-22T23:59:59+05:30",
    }
    kinds = [Settled.PAYMENT, Settled.REFUND, Settled.DISPUTE, Settled.ADJUSTMENT]
    assert [one.kind for one in found] == kinds
    assert [one.net.amount for one in found] == [244_225, -100_000, -10_000, 50]
    assert [one.gross.amount for one in found] == [250_000, -100_000, -10_000, 50]
    assert (found[0].fee.amount, found[0].tax.amount) == (4894, 881)
    assert all(
        one.net.amount == one.gross.amount - one.fee.amount - one.tax.amount for one in found
    )
    assert (found[0].settlement_id, found[0].utr) == ("900001", "CITIN26000000001")
    assert found[0].payment_attempt_id == ATTEMPT
    assert found[0].gateway_payment_id == f"{ATTEMPT}:1453002795"
    assert found[1].refund_id == REFUND
    assert len({one.line_id for one in found}) == len(found)


def test_a_report_that_goes_in_circles_ends(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    page = {"cursor": "same", "data": [line("PAYMENT", "CREDIT", 1, 1)]}
    answers.post(f"{API}/settlement/recon", json=page)

    assert len(list(adapter.settlements(date(2026, 9, 22)))) == 2
    assert len(answers.calls) == 2


def test_a_settlement_without_a_day_is_not_understood(
    adapter: Adapter, answers: responses.RequestsMock
) -> None:
    broken = line("PAYMENT", "CREDIT", 1, 1)
    broken["settlement_details"]["settlement_date"] = "soon"
    answers.post(f"{API}/settlement/recon", json={"cursor": None, "data": [broken]})

    with pytest.raises(GatewayUnavailableError):
        list(adapter.settlements(date(2026, 9, 22)))


# Settings


def test_the_address_decides_what_is_live() -> None:
    assert Settings("id", ("secret",)).livemode is True
    assert Settings("id", ("secret",), API).livemode is False


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"CASHFREE_CLIENT_ID": "id"},
        {"CASHFREE_CLIENT_ID": "id", "CASHFREE_CLIENT_SECRET": " , "},
        {"CASHFREE_CLIENT_SECRET": "secret"},
    ],
)
def test_without_its_secrets_it_does_not_start(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="CASHFREE_"):
        read(Settings, environ, prefix="cashfree_")
    with pytest.raises(ConfigError, match="CASHFREE_CLIENT_SECRET"):
        Settings("id", ())


def test_secrets_do_not_show_in_a_settings_text() -> None:
    assert SECRET not in repr(Settings("id", (SECRET,)))
