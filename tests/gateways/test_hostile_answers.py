"""Answers that are about something else, that are torn off, or that never end, say nothing."""

import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any
from unittest.mock import patch

import pytest
import responses
from gateways import cashfree_entities as cf
from gateways import razorpay_entities as rz
from gateways.test_payu import REFUND as PAYU_REFUND
from gateways.test_payu import TXNID, answering, known, listed
from gateways.test_payu import adapter as payu
from gateways.test_payu import query as payu_query

from app import jsonb
from app.errors import GatewayRefusedError, GatewayUnavailableError
from app.gateways import Charge, Finding, Query, RefundOrder, cashfree, razorpay
from app.gateways.payu import Adapter as PayU
from app.http import Http, Reply
from app.money import Money

API = "https://api.razorpay.com/v1"
OTHER = "11111111-2222-4333-8444-555555555555"
__all__ = ["payu"]


@pytest.fixture
def razor() -> Iterator[razorpay.Adapter]:
    made = razorpay.Adapter(razorpay.Settings("rzp_test_1", rz.KEY_SECRET, (rz.SECRET,)))
    yield made
    made.http.close()


@pytest.fixture
def cash() -> Iterator[cashfree.Adapter]:
    made = cashfree.Adapter(cashfree.Settings("TEST_client", (cf.SECRET,), cf.API))
    yield made
    made.http.close()


@pytest.fixture
def answers() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def charge() -> Charge:
    return Charge(
        id=cf.ATTEMPT,
        amount=cf.INR_2500,
        title="250 credits",
        email="asha@example.com",
        name="Asha Rao",
        phone="+919876543210",
        success_url="https://shop.example/ok",
        cancel_url="https://shop.example/no",
        expires_at=cf.NOW + timedelta(hours=1),
    )


# Razorpay


@pytest.mark.parametrize(
    "change",
    [
        {"receipt": OTHER, "notes": {"payment_attempt_id": OTHER}},
        {"receipt": None, "notes": []},
        {"amount": 1},
        {"currency": "USD"},
    ],
)
def test_an_order_that_razorpay_made_of_something_else_is_not_paid(razor, answers, change) -> None:
    answers.get(f"{API}/orders", json=rz.listed())
    answers.post(f"{API}/orders", json=rz.order(**change))

    with pytest.raises((GatewayRefusedError, GatewayUnavailableError)):
        razor.open(rz.charge())


@pytest.mark.parametrize("known", ["order_1", "order_2"])
def test_of_two_orders_of_one_payment_the_one_in_our_books_is_opened_again(
    razor: razorpay.Adapter, answers: responses.RequestsMock, known: str
) -> None:
    """Two tabs at once make two, of which one was kept: perhaps not the one that is first."""
    two = [rz.order(id=name, created_at=stamp) for name, stamp in (("order_2", 2), ("order_1", 1))]
    answers.get(f"{API}/orders", json=rz.listed(*two))

    assert razor.open(rz.charge(reference=known)).reference == known


def test_of_two_who_open_one_page_at_once_neither_is_refused(razor, answers) -> None:
    """Where receipts must be unique, the second order is a no, and the first stands."""
    answers.get(f"{API}/orders", json=rz.listed())
    answers.post(f"{API}/orders", status=400, json=rz.error("Order receipt should be unique."))
    answers.get(f"{API}/orders", json=rz.listed(rz.order()))

    assert razor.open(rz.charge()).reference == "order_1"


@pytest.mark.parametrize(
    "change",
    [{"id": "pay_2"}, {"id": 1}, {"id": None}, {"amount": 250_000.0}, {"amount": "250000"}],
)
def test_the_capture_of_another_payment_is_not_ours(razor, answers, change) -> None:
    answers.post(f"{API}/payments/pay_1/capture", json=rz.payment(**change))

    with pytest.raises(GatewayUnavailableError):
        razor.capture(rz.ATTEMPT, "pay_1", rz.INR_2500)


@pytest.mark.parametrize("change", [{"payment_id": "pay_2"}, {"receipt": OTHER, "notes": {}}])
def test_the_refund_of_another_payment_is_not_ours(razor, answers, change) -> None:
    answers.get(f"{API}/payments/pay_1/refunds", json=rz.listed())
    answers.post(f"{API}/payments/pay_1/refund", json=rz.refund(**change))

    with pytest.raises(GatewayUnavailableError):
        razor.refund(refund_order("pay_1", rz.REFUND))


def refund_order(payment: str, refund: str) -> Any:
    return RefundOrder(refund, payment, Money(100_000, "INR"), "cancellation")


# Cashfree


@pytest.mark.parametrize(
    "change", [{"order_id": OTHER}, {"order_amount": 2500.01}, {"order_currency": "USD"}]
)
def test_an_order_that_cashfree_made_of_something_else_is_not_paid(cash, answers, change) -> None:
    session = {"payment_session_id": "session_1", "order_amount": "2500.00"}
    answers.post(f"{cf.API}/orders", json=cf.ORDER | session | change)

    with pytest.raises((GatewayRefusedError, GatewayUnavailableError)):
        cash.open(charge())


def test_an_order_that_cashfree_shows_for_another_is_not_paid(cash, answers) -> None:
    known_order = {"code": "order_already_exists", "message": "it exists", "type": "x"}
    answers.post(f"{cf.API}/orders", json=known_order, status=409)
    other = {"order_id": OTHER, "order_amount": "2500.00", "payment_session_id": "session_1"}
    answers.get(f"{cf.API}/orders/{cf.ATTEMPT}", json=cf.ORDER | other)

    with pytest.raises(GatewayUnavailableError):
        cash.open(charge())


def test_a_payment_of_another_order_pays_nothing(cash, answers) -> None:
    order = cf.ORDER | {"order_status": "PAID", "order_amount": "2500.00"}
    answers.get(f"{cf.API}/orders/{cf.ATTEMPT}", json=order)
    paid = cf.payment("SUCCESS", order_id=OTHER, payment_amount="2500.00")
    answers.get(f"{cf.API}/orders/{cf.ATTEMPT}/payments", json=[paid])

    with pytest.raises(GatewayUnavailableError):
        cash.find(Query(payment_attempt_id=cf.ATTEMPT, since=cf.NOW))


@pytest.mark.parametrize("change", [{"order_id": OTHER}, {"refund_id": OTHER.replace("-", "")}])
def test_another_refund_of_cashfrees_is_not_ours(cash, answers, change) -> None:
    answers.post(
        f"{cf.API}/orders/{cf.ATTEMPT}/refunds", json=cf.refund(refund_amount="1000.00", **change)
    )

    with pytest.raises(GatewayUnavailableError):
        cash.refund(refund_order(f"{cf.ATTEMPT}:1453002795", cf.REFUND))


def test_a_report_with_a_new_cursor_for_ever_ends(cash, answers, monkeypatch) -> None:
    monkeypatch.setattr(cashfree.settlements, "PAGES_MAX", 5)
    asked: list[int] = []

    def page(_: object) -> tuple[int, dict[str, str], str]:
        asked.append(1)
        return 200, {}, json.dumps({"cursor": f"c{len(asked)}", "data": []})

    answers.add_callback("POST", f"{cf.API}/settlement/recon", page)
    with pytest.raises(GatewayUnavailableError):
        list(cash.settlements(date(2026, 9, 22)))
    assert len(asked) == 5


# PayU


@responses.activate
@pytest.mark.parametrize("refunds", [None, "none", 7, {"a": 1}, [None], ["x"]])
def test_refunds_that_are_no_list_say_nothing(payu: PayU, refunds: Any) -> None:
    answering(getAllRefundsFromTxnIds={"status": 1, "msg": "", "Refund Details": {"4": refunds}})

    with pytest.raises(GatewayUnavailableError):
        payu.find_refund(PAYU_REFUND, TXNID)
    with pytest.raises(GatewayUnavailableError):
        payu.find_refunds(TXNID)


@responses.activate
def test_a_transaction_of_another_name_is_no_answer(payu: PayU) -> None:
    answering(verify_payment=known(txnid="0" * 25))

    with pytest.raises(GatewayUnavailableError):
        payu.find(payu_query())


@responses.activate
def test_the_refund_of_another_payment_of_payus_is_not_ours(payu: PayU) -> None:
    other = {"status": 1, "msg": "", "error_code": "102", "mihpayid": 999, "request_id": "1"}
    answering(verify_payment=known(), cancel_refund_transaction=other)

    with pytest.raises(GatewayUnavailableError):
        payu.refund(refund_order(TXNID, PAYU_REFUND))


# Whatever a gateway writes in place of anything

JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 10**30, 0.5, 1e300, "", "x", "\0", "\ud800", "1e999999999"),
    *([], {}, [None], {"x": 1}, [[]], [{}]),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Name every place in an answer: the whole of it, and all that is in it."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def spoilt(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    copied = value.copy()
    copied[path[0]] = spoilt(value[path[0]], path[1:], junk)
    return copied


def spoilings(value: Any) -> Iterator[Any]:
    for path in places(value):
        for junk in JUNK:
            yield spoilt(value, path, junk)


CF_ORDER = {
    "order_id": cf.ATTEMPT,
    "order_amount": 2500,
    "order_currency": "INR",
    "order_status": "PAID",
    "payment_session_id": "session_1",
}
CF_PAID = cf.payment("SUCCESS", order_id=cf.ATTEMPT, payment_amount=2500)
CF_FAILED = cf.payment("FAILED", payment_amount=2500, error_details={"error_reason": "x"})
RZ_FAILED = rz.failed("insufficient_funds") | {"id": "pay_2"}
RECON = {
    "items": [
        {
            "entity_id": "pay_1",
            "type": "payment",
            "debit": 0,
            "credit": 97_640,
            "currency": "INR",
            "fee": 2360,
            "tax": 360,
            "settlement_id": "setl_1",
            "settled_at": 1_795_260_000,
            "order_receipt": rz.ATTEMPT,
            "dispute_id": None,
        }
    ]
}
CF_RECON = {
    "cursor": None,
    "data": [
        {
            "event_details": {
                "event_id": "1",
                "event_type": "PAYMENT",
                "event_amount": 2500,
                "event_settlement_amount": 2442,
                "event_service_tax": 8,
                "event_currency": "INR",
                "sale_type": "CREDIT",
            },
            "settlement_details": {
                "cf_settlement_id": 9,
                "settlement_date": "2026-09-22T15:02:00+05:30",
            },
            "order_details": {"order_id": cf.ATTEMPT},
            "payment_details": {"cf_payment_id": 1},
        }
    ],
}
DAY = date(2026, 9, 22)
OVER = rz.query(gateway_session_id="order_1", is_over=True)
# Each call: what it asks in turn, and an answer to each question.
CALLS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "razorpay open": (lambda g: g.open(rz.charge()), [rz.listed(), rz.order()]),
    "razorpay open again": (lambda g: g.open(rz.charge()), [rz.listed(rz.order())]),
    "razorpay find": (lambda g: g.find(OVER), [rz.order(), rz.listed(RZ_FAILED, rz.payment())]),
    "razorpay search": (lambda g: g.find(rz.query()), [rz.listed(rz.order()), rz.listed()]),
    "razorpay find_payments": (
        lambda g: list(g.find_payments(OVER)),
        [rz.listed(RZ_FAILED, rz.payment())],
    ),
    "razorpay capture": (
        lambda g: g.capture(rz.ATTEMPT, "pay_1", rz.INR_2500),
        [rz.payment()],
    ),
    "razorpay refund": (
        lambda g: g.refund(refund_order("pay_1", rz.REFUND)),
        [rz.listed(), rz.refund()],
    ),
    "razorpay find_refund": (
        lambda g: g.find_refund(rz.REFUND, "pay_1"),
        [rz.listed(rz.refund())],
    ),
    "razorpay find_refunds": (lambda g: g.find_refunds("pay_1"), [rz.listed(rz.refund())]),
    "razorpay find_new_refunds": (
        lambda g: list(g.find_new_refunds(rz.NOW)),
        [rz.listed(rz.refund())],
    ),
    "razorpay disputes": (lambda g: list(g.find_disputes(rz.NOW)), [rz.listed(rz.dispute())]),
    "razorpay settlements": (lambda g: list(g.settlements(DAY)), [RECON]),
    "cashfree open": (lambda g: g.open(charge()), [CF_ORDER]),
    "cashfree find": (
        lambda g: g.find(Query(payment_attempt_id=cf.ATTEMPT, since=cf.NOW)),
        [CF_ORDER, [CF_FAILED, CF_PAID]],
    ),
    "cashfree find_payments": (
        lambda g: list(g.find_payments(Query(payment_attempt_id=cf.ATTEMPT, since=cf.NOW))),
        [[CF_FAILED, CF_PAID]],
    ),
    "cashfree capture": (
        lambda g: g.capture(cf.ATTEMPT, "1", cf.INR_2500),
        [{}, CF_ORDER, [CF_PAID | {"authorization": {"action": "CAPTURE", "status": "SUCCESS"}}]],
    ),
    "cashfree refund": (
        lambda g: g.refund(refund_order(f"{cf.ATTEMPT}:1453002795", cf.REFUND)),
        [cf.refund(refund_amount=1000)],
    ),
    "cashfree find_refunds": (
        lambda g: g.find_refunds(f"{cf.ATTEMPT}:1453002795"),
        [[cf.refund(refund_amount=1000)]],
    ),
    "cashfree disputes": (
        lambda g: g.find_payment_disputes(f"{cf.ATTEMPT}:1453002795"),
        [[cf.dispute()]],
    ),
    "cashfree settlements": (lambda g: list(g.settlements(DAY)), [CF_RECON]),
    "payu find": (lambda g: g.find(payu_query(is_over=True)), [known()]),
    "payu refund": (
        lambda g: g.refund(refund_order(TXNID, PAYU_REFUND)),
        [known(), {"status": 1, "error_code": "102", "request_id": "1", "mihpayid": "1"}],
    ),
    "payu find_refund": (lambda g: g.find_refund(PAYU_REFUND, TXNID), [listed()]),
    "payu find_refunds": (lambda g: g.find_refunds(TXNID), [listed()]),
}


@pytest.mark.parametrize("call", sorted(CALLS))
def test_junk_in_any_place_of_an_answer_is_told_or_says_nothing(razor, cash, payu, call) -> None:
    ask, right = CALLS[call]
    gateway = {"razorpay": razor, "cashfree": cash, "payu": payu}[call.split()[0]]
    tried = 0
    for turn, answer in enumerate(right):
        for wrong in spoilings(answer):
            said = [*right[:turn], wrong, *right[turn + 1 :]]
            tried += 1
            found = told(gateway, ask, said)
            for one in found if isinstance(found, list) else [found]:
                if isinstance(one, Finding):
                    assert jsonb.parse(json.dumps(one.words()).encode()) == one.words(), said
    assert tried >= len(JUNK)


def told(gateway: Any, ask: Callable[[Any], Any], said: list[Any]) -> Any:
    """Ask while these are the answers, the last of them for ever."""
    turns = iter(said)

    def reply(*_: Any, **__: Any) -> Reply:
        return Reply(200, written_and_read(next(turns, said[-1])))

    with patch.object(Http, "_call", reply):
        try:
            return ask(gateway)
        except (GatewayRefusedError, GatewayUnavailableError) as refusal:
            return refusal


def written_and_read(value: Any) -> Any:
    return jsonb.parse_exactly(json.dumps(value, default=float).encode())
