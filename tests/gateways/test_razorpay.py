"""What Razorpay is asked, and what its answers are worth: those, too, that no simulator gives."""

import json
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import requests
import responses
from gateways.razorpay_entities import (
    ATTEMPT,
    INR_2500,
    KEY_SECRET,
    OLD_SECRET,
    REFUND,
    SECRET,
    charge,
    dispute,
    error,
    listed,
    order,
    payment,
    query,
    refund,
)

from app.errors import GatewayRefusedError, GatewayUnavailableError
from app.gateways import Method, Outcome, RefundOrder, Settled
from app.gateways.razorpay import Adapter, Settings
from app.money import Money

API = "https://api.razorpay.com/v1"


@pytest.fixture
def adapter() -> Adapter:
    return Adapter(Settings("rzp_test_1", KEY_SECRET, (SECRET, OLD_SECRET)))


# Opening


@responses.activate
def test_an_order_is_asked_for_with_our_id_as_its_receipt(adapter: Adapter) -> None:
    responses.get(f"{API}/orders", json=listed())
    responses.post(f"{API}/orders", json=order())
    page = adapter.open(charge())

    asked, made = (call.request for call in responses.calls)
    assert parse_qs(urlsplit(asked.url).query)["receipt"] == [ATTEMPT]
    assert asked.headers["Authorization"].startswith("Basic ")
    body = json.loads(made.body)
    assert (body["amount"], body["currency"]) == (250_000, "INR")
    assert (body["receipt"], body["notes"]) == (ATTEMPT, {"payment_attempt_id": ATTEMPT})
    assert body["payment"]["capture"] == "automatic"
    assert page.reference == "order_1"
    assert page.url == "https://api.razorpay.com/v1/checkout/embedded"
    assert page.form == {
        "key_id": "rzp_test_1",
        "order_id": "order_1",
        "amount": "250000",
        "currency": "INR",
        "name": "250 credits",
        "description": "250 credits",
        "prefill[name]": "Asha Rao",
        "prefill[email]": "asha@example.com",
        "prefill[contact]": "+919876543210",
        "callback_url": "https://shop.example/paid?a=1",
        "cancel_url": "https://shop.example/cancelled",
    }


@responses.activate
def test_an_order_that_is_there_is_not_made_again(adapter: Adapter) -> None:
    foreign = order("paid", id="order_9", receipt=str(uuid4()), notes=[])
    earlier = order(id="order_2", created_at=9)
    responses.get(f"{API}/orders", json=listed(foreign, order("attempted"), earlier))

    assert adapter.open(charge()).reference == "order_1"


@responses.activate
def test_an_order_of_another_amount_is_not_shown_to_a_payer(adapter: Adapter) -> None:
    responses.get(f"{API}/orders", json=listed(order(amount=1)))

    with pytest.raises(GatewayRefusedError, match="another amount"):
        adapter.open(charge())


@responses.activate
def test_a_payers_choice_and_a_reservation_are_passed_on(adapter: Adapter) -> None:
    responses.get(f"{API}/orders", json=listed())
    responses.post(f"{API}/orders", json=order())
    page = adapter.open(charge(authorize_only=True, method=Method.PAY_LATER, phone=""))

    body = json.loads(responses.calls[1].request.body)
    assert body["payment"]["capture"] == "manual"
    assert page.form["method"] == "paylater"
    assert "prefill[contact]" not in page.form


def test_a_browser_may_reach_the_page_at_another_address() -> None:
    urls = {"api_url": "http://127.0.0.1:9/razorpay/", "checkout_url": "https://pay.example/rzp/"}
    adapter = Adapter(Settings("rzp_test_1", KEY_SECRET, (SECRET,), **urls))
    with responses.RequestsMock() as answers:
        answers.get("http://127.0.0.1:9/razorpay/v1/orders", json=listed(order()))

        assert adapter.open(charge()).url == "https://pay.example/rzp/v1/checkout/embedded"


@responses.activate
def test_another_currency_is_refused_before_anybody_is_asked(adapter: Adapter) -> None:
    with pytest.raises(GatewayRefusedError):
        adapter.open(charge(amount=Money(2500, "USD")))
    assert not responses.calls


UNCLEAR = [
    {"status": 500, "json": error("sorry", "SERVER_ERROR")},
    {"status": 502, "body": "<html>Bad gateway</html>"},
    {"status": 429, "json": error("Too many requests")},
    {"status": 409, "json": error("Another request with the same idempotency key is in progress")},
    {
        "status": 400,
        "json": error("Different request with the same idempotency key has already ..."),
    },
    {"status": 409, "json": error("Try again")},
    {"status": 400, "json": error("Bank is down", "GATEWAY_ERROR")},
    {"status": 400, "json": error("sorry", "SERVER_ERROR")},
    {"status": 400, "json": {"message": "not Razorpay's words"}},
    {"status": 404, "json": []},
    {"status": 401, "json": error("Authentication failed")},
    {"status": 302, "headers": {"Location": "https://elsewhere.example"}},
    {"status": 200, "body": "<html>hello</html>"},
    {"status": 200, "body": ""},
    {"status": 200, "json": None},
    {"status": 200, "json": {}},
    {"status": 200, "json": {"items": None}},
    {"status": 200, "json": {"id": None, "items": [5]}},
    {"body": requests.ConnectionError("refused")},
    {"body": requests.ReadTimeout("slow")},
]


@pytest.mark.parametrize("reply", UNCLEAR)
@responses.activate
def test_whatever_is_not_a_clear_answer_is_unavailable(
    adapter: Adapter, reply: dict[str, Any]
) -> None:
    responses.get(f"{API}/orders", json=listed())
    responses.post(f"{API}/orders", **reply)
    responses.get(f"{API}/orders/order_1", **reply)
    responses.get(f"{API}/payments/pay_1/refunds", **reply)

    for ask in (
        lambda: adapter.open(charge()),
        lambda: adapter.find(query(gateway_session_id="order_1")),
        lambda: adapter.find_refund(REFUND, "pay_1"),
    ):
        with pytest.raises(GatewayUnavailableError):
            ask()
    assert len(responses.calls) == 4


@responses.activate
def test_a_definite_no_is_a_refusal_with_razorpays_words(adapter: Adapter) -> None:
    responses.get(f"{API}/orders", json=listed())
    responses.post(f"{API}/orders", status=400, json=error("Order amount less than minimum"))

    with pytest.raises(GatewayRefusedError, match="Order amount less than minimum"):
        adapter.open(charge())


# Looking up, capturing, refunding


@responses.activate
def test_an_order_that_razorpay_does_not_have_is_nothing(adapter: Adapter) -> None:
    no = error("The id provided does not exist")
    responses.get(f"{API}/orders/order_1", status=400, json=no)
    responses.get(f"{API}/orders", json=listed())
    responses.get(f"{API}/payments/pay_1/refunds", status=400, json=no)

    assert adapter.find(query(gateway_session_id="order_1")) is None
    assert adapter.find(query()) is None
    assert adapter.find_refund(REFUND, "pay_1") is None


@responses.activate
def test_another_order_is_no_answer(adapter: Adapter) -> None:
    responses.get(f"{API}/orders/order_2", json=order())
    responses.get(f"{API}/orders/order_1", json=order())
    responses.get(f"{API}/orders/order_1/payments", json=listed(payment(order_id="order_2")))

    for asked in ("order_1", "order_2"):
        with pytest.raises(GatewayUnavailableError):
            adapter.find(query(gateway_session_id=asked))


@responses.activate
def test_an_id_is_one_segment_of_a_path_whatever_is_in_it(adapter: Adapter) -> None:
    no = error("../x is not a valid id")
    responses.get(f"{API}/orders/..%2Fx%3Fy", status=400, json=no)

    assert adapter.find(query(gateway_session_id="../x?y")) is None


@responses.activate
def test_a_capture_that_is_there_is_answered_as_it_is(adapter: Adapter) -> None:
    no = error("This payment has already been captured")
    responses.post(f"{API}/payments/pay_1/capture", status=400, json=no)
    responses.get(f"{API}/payments/pay_1", json=payment())

    found = adapter.capture(ATTEMPT, "pay_1", INR_2500)
    assert (found.outcome, found.payment_attempt_id) == (Outcome.PAID, ATTEMPT)
    with pytest.raises(GatewayRefusedError, match="already been captured"):
        adapter.capture(ATTEMPT, "pay_1", Money(100_000, "INR"))


BUSY = "Request failed because another payment operation is in progress"


@responses.activate
def test_a_capture_while_the_payment_is_in_use_is_no_refusal(adapter: Adapter) -> None:
    responses.post(f"{API}/payments/pay_1/capture", status=400, json=error(BUSY))
    responses.get(f"{API}/payments/pay_1", json=payment("authorized"))

    with pytest.raises(GatewayUnavailableError):
        adapter.capture(ATTEMPT, "pay_1", INR_2500)


@pytest.mark.parametrize("words", [BUSY, "Duplicate receipt found for this refund request."])
@responses.activate
def test_a_no_that_speaks_of_another_request_fails_no_refund(adapter: Adapter, words: str) -> None:
    responses.get(f"{API}/payments/pay_1/refunds", json=listed())
    responses.post(f"{API}/payments/pay_1/refund", status=400, json=error(words))

    with pytest.raises(GatewayUnavailableError):
        adapter.refund(RefundOrder(REFUND, "pay_1", Money(100_000, "INR"), "cancellation"))


@responses.activate
def test_a_refund_carries_our_id_three_times_and_is_looked_for_first(adapter: Adapter) -> None:
    responses.get(f"{API}/payments/pay_1/refunds", json=listed(refund(receipt=None, notes=[])))
    responses.post(f"{API}/payments/pay_1/refund", json=refund("pending"))
    found = adapter.refund(RefundOrder(REFUND, "pay_1", Money(100_000, "INR"), "cancellation"))

    sent = responses.calls[1].request
    body = json.loads(sent.body)
    assert sent.headers["X-Refund-Idempotency"] == REFUND
    assert (body["receipt"], body["notes"]["refund_id"]) == (REFUND, REFUND)
    assert (body["amount"], body["speed"]) == (100_000, "normal")
    assert (found.outcome, found.gateway_refund_id) == (Outcome.PENDING, "rfnd_1")


@responses.activate
def test_a_refund_that_is_there_is_not_made_again(adapter: Adapter) -> None:
    responses.get(f"{API}/payments/pay_1/refunds", json=listed(refund()))
    found = adapter.refund(RefundOrder(REFUND, "pay_1", Money(100_000, "INR"), "cancellation"))

    assert found.outcome is Outcome.SUCCEEDED
    assert len(responses.calls) == 1


@responses.activate
def test_a_no_to_a_refund_that_was_made_meanwhile_is_not_believed(adapter: Adapter) -> None:
    refunds = f"{API}/payments/pay_1/refunds"
    responses.get(refunds, json=listed())
    responses.get(refunds, json=listed(refund()))
    no = error("The payment has been fully refunded already")
    responses.post(f"{API}/payments/pay_1/refund", status=400, json=no)

    found = adapter.refund(RefundOrder(REFUND, "pay_1", Money(100_000, "INR"), "cancellation"))
    assert found.outcome is Outcome.SUCCEEDED


@responses.activate
def test_a_refused_refund_has_failed_and_says_why(adapter: Adapter) -> None:
    responses.get(f"{API}/payments/pay_1/refunds", json=listed())
    no = error("Your account does not have enough balance", reason="NA")
    responses.post(f"{API}/payments/pay_1/refund", status=400, json=no)

    found = adapter.refund(RefundOrder(REFUND, "pay_1", Money(100_000, "INR"), "cancellation"))
    assert (found.outcome, found.refund_id) == (Outcome.FAILED, REFUND)
    assert found.failure_code == "BAD_REQUEST_ERROR"
    assert found.failure_message == "Your account does not have enough balance"


@responses.activate
def test_a_refund_is_looked_for_page_by_page(adapter: Adapter) -> None:
    others = [refund(id=f"rfnd_{one}", receipt=None, notes=[]) for one in range(100)]
    refunds = f"{API}/payments/pay_1/refunds"
    responses.get(refunds, json=listed(*others))
    responses.get(refunds, json=listed(refund()))

    found = adapter.find_refund(REFUND, "pay_1")
    assert found is not None
    assert "skip=100" in str(responses.calls[1].request.url)


@responses.activate
def test_a_dispute_that_cannot_be_read_leaves_the_others_and_ends_no_list(adapter: Adapter) -> None:
    since = datetime.fromtimestamp(1_795_270_000, UTC)
    nonsense = [dispute(id="disp_7", amount="much"), "a dispute"]
    old = dispute(id="disp_old", created_at=1_795_269_999)
    responses.get(f"{API}/disputes", json=listed(*nonsense, *[dispute()] * 98))
    responses.get(f"{API}/disputes", json=listed(*nonsense, *[old] * 98))
    found = list(adapter.find_disputes(since))

    bad = [one for one in found if one.outcome is Outcome.UNREADABLE]
    assert [one.gateway_dispute_id for one in bad] == ["disp_7", None] * 2
    assert [one.failure_message for one in bad] == [None, '"a dispute"'] * 2
    assert len(found) == len(bad) + 98
    assert len(responses.calls) == 2


@responses.activate
def test_disputes_are_listed_until_a_page_is_too_old(adapter: Adapter) -> None:
    since = datetime.fromtimestamp(1_795_270_000, UTC)
    young = [dispute(id=f"disp_{one}") for one in range(99)]
    old = dispute(id="disp_old", created_at=1_795_269_999)
    responses.get(f"{API}/disputes", json=listed(*young, old))
    responses.get(f"{API}/disputes", json=listed(*[old] * 100))
    found = list(adapter.find_disputes(since))

    assert len(found) == 99
    assert {one.opened_at for one in found} == {since}
    assert len(responses.calls) == 2


# Settlements

LINES = [
    {"entity_id": "pay_1", "type": "payment", "debit": 0, "credit": 97_640, "amount": 100_000}
    | {"fee": 2360, "tax": 360, "order_receipt": ATTEMPT, "payment_id": None},
    {"entity_id": "rfnd_1", "type": "refund", "debit": 40_000, "credit": 0, "amount": 40_000}
    | {"fee": 0, "tax": 0, "payment_id": "pay_1"},
    {"entity_id": "rfnd_2", "type": "refund", "debit": 10_590, "credit": 0, "amount": 10_000}
    | {"fee": 590, "tax": 90, "payment_id": "pay_1"},
    {"entity_id": "adj_1", "type": "adjustment", "debit": 5000, "credit": 0, "amount": 5000}
    | {"fee": 0, "tax": 0, "dispute_id": "disp_1", "payment_id": "pay_1"},
    {"entity_id": "adj_2", "type": "adjustment", "debit": 0, "credit": 1012, "amount": 1012}
    | {"fee": None, "tax": None},
    {"entity_id": "trf_1", "type": "transfer", "debit": 296, "credit": 0, "amount": 0}
    | {"fee": 296, "tax": 46},
]


def settled(item: dict[str, Any]) -> dict[str, Any]:
    transfer = {"settlement_id": "setl_1", "settlement_utr": "UTR1", "settled_at": 1_795_350_000}
    return {"currency": "INR", "settled": True, **transfer, **item}


@responses.activate
def test_a_report_is_read_with_the_banks_signs(adapter: Adapter) -> None:
    waiting = settled(LINES[0]) | {"settlement_id": None, "settled": False, "settled_at": None}
    report = listed(*map(settled, LINES), waiting)
    responses.get(f"{API}/settlements/recon/combined", json=report)
    found = list(adapter.settlements(date(2026, 11, 22)))

    asked = parse_qs(urlsplit(str(responses.calls[0].request.url)).query)
    assert (asked["year"], asked["month"], asked["day"]) == (["2026"], ["11"], ["22"])
    assert [one.gross.amount for one in found] == [100_000, -40_000, -10_000, -5000, 1012, 0]
    assert [one.fee.amount for one in found] == [2000, 0, 500, 0, 0, 250]
    assert [one.tax.amount for one in found] == [360, 0, 90, 0, 0, 46]
    assert [one.kind for one in found] == [
        *(Settled.PAYMENT, Settled.REFUND, Settled.REFUND, Settled.DISPUTE),
        *(Settled.ADJUSTMENT, Settled.ADJUSTMENT),
    ]
    for one in found:
        assert one.net.amount == one.gross.amount - one.fee.amount - one.tax.amount
    assert len({one.line_id for one in found}) == len(found)
    assert (found[0].payment_attempt_id, found[0].gateway_payment_id) == (ATTEMPT, "pay_1")
    assert (found[2].gateway_refund_id, found[2].gateway_payment_id) == ("rfnd_2", "pay_1")
    assert (found[3].gateway_dispute_id, found[3].utr) == ("disp_1", "UTR1")


@responses.activate
def test_a_report_is_read_page_by_page(adapter: Adapter) -> None:
    many = [settled(LINES[0]) | {"entity_id": f"pay_{one}"} for one in range(1000)]
    responses.get(f"{API}/settlements/recon/combined", json=listed(*many))
    responses.get(f"{API}/settlements/recon/combined", json=listed(settled(LINES[1])))

    assert len(list(adapter.settlements(date(2026, 11, 22)))) == 1001
    assert "skip=1000" in str(responses.calls[1].request.url)


@responses.activate
def test_a_report_that_makes_no_sense_is_unavailable(adapter: Adapter) -> None:
    report = listed(settled(LINES[0]) | {"credit": "much"})
    responses.get(f"{API}/settlements/recon/combined", json=report)

    with pytest.raises(GatewayUnavailableError):
        list(adapter.settlements(date(2026, 11, 22)))
