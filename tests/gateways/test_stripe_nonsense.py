"""Answers of Stripe's that are none: each says nothing, in the error that says so."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from unittest.mock import patch

import pytest
import requests
from gateways.test_hostile_answers import spoilings
from gateways.test_stripe_reports import entry, payout
from gateways.test_stripe_words import ATTEMPT, NOW, intent

from app import jsonb
from app.connections import Session
from app.errors import GatewayRefusedError, GatewayUnavailableError
from app.gateways import Charge, Finding, Outcome, Query, RefundOrder, SavedCharge
from app.gateways.stripe import Adapter, Settings
from app.money import Money

REFUND = "6f1e9a3e-5a55-4a5a-9a55-000000000002"
AMOUNT = Money(2500, "USD")
INTENT = intent(
    "succeeded",
    amount_received=2500,
    latest_charge={
        "id": "ch_1",
        "object": "charge",
        "receipt_url": "https://r",
        "payment_method_details": {"type": "card"},
    },
)
DECLINED = intent(
    "requires_payment_method", last_payment_error={"code": "card_declined", "message": "No."}
)
PAGE = {
    "id": "cs_1",
    "object": "checkout.session",
    "status": "complete",
    "mode": "payment",
    "payment_status": "paid",
    "amount_total": 2500,
    "currency": "usd",
    "client_reference_id": ATTEMPT,
    "metadata": {"payment_attempt_id": ATTEMPT},
    "payment_intent": INTENT,
    "url": "https://pay",
}
SETUP = {
    "id": "cs_2",
    "object": "checkout.session",
    "mode": "setup",
    "status": "complete",
    "setup_intent": {
        "id": "seti_1",
        "object": "setup_intent",
        "status": "succeeded",
        "payment_method": {
            "id": "pm_1",
            "object": "payment_method",
            "type": "card",
            "card": {"brand": "visa", "last4": "4242", "exp_year": 2030, "exp_month": 2},
        },
    },
}
REFUNDED = {
    "id": "re_1",
    "object": "refund",
    "status": "succeeded",
    "amount": 2500,
    "currency": "usd",
    "payment_intent": "pi_1",
    "metadata": {"refund_id": REFUND},
}
DISPUTE = {
    "id": "dp_1",
    "object": "dispute",
    "status": "lost",
    "amount": 2500,
    "currency": "usd",
    "created": 1_795_260_000,
    "payment_intent": "pi_1",
    "evidence_details": {"due_by": 1_795_260_000},
    "balance_transactions": [{"amount": -2500, "fee": 1500, "currency": "usd"}],
}


def listed(*found: Any) -> dict[str, Any]:
    return {"object": "list", "url": "/v1/things", "has_more": False, "data": list(found)}


def query(**known: Any) -> Query:
    return Query(payment_attempt_id=ATTEMPT, since=NOW, **known)


def page() -> Charge:
    return Charge(
        id=ATTEMPT,
        amount=AMOUNT,
        title="250 credits",
        email="asha@example.com",
        success_url="https://shop.example/ok",
        cancel_url="https://shop.example/no",
        expires_at=NOW + timedelta(hours=1),
    )


SAVED = SavedCharge(ATTEMPT, AMOUNT, "250 credits", "asha@example.com", "cus_1", "pm_1")
# Each call, and the answers to what it asks in turn.
CALLS: dict[str, tuple[Callable[[Adapter], Any], list[Any]]] = {
    "open": (lambda g: g.open(page()), [PAGE]),
    "charge": (lambda g: g.charge(SAVED), [INTENT]),
    "charge that is declined": (lambda g: g.charge(SAVED), [DECLINED]),
    "capture": (lambda g: g.capture(ATTEMPT, "pi_1", AMOUNT), [INTENT]),
    "cancel": (lambda g: g.cancel(ATTEMPT, "pi_1"), [INTENT]),
    "expire": (lambda g: g.expire(ATTEMPT, "cs_1"), [PAGE]),
    "refund": (lambda g: g.refund(RefundOrder(REFUND, "pi_1", AMOUNT, "other")), [REFUNDED]),
    "find a page": (lambda g: g.find(query(gateway_session_id="cs_1")), [PAGE]),
    "find an intent": (lambda g: g.find(query(gateway_payment_id="pi_1")), [INTENT]),
    "find a charge": (lambda g: g.find(query(gateway_customer_id="cus_1")), [listed(INTENT)]),
    "search a page": (lambda g: g.find(query()), [listed(PAGE), PAGE]),
    "find_refund": (lambda g: g.find_refund(REFUND, "pi_1"), [listed(REFUNDED)]),
    "find_refunds": (lambda g: g.find_refunds("pi_1"), [listed(REFUNDED)]),
    "find_new_refunds": (lambda g: list(g.find_new_refunds(NOW)), [listed(REFUNDED)]),
    "find_disputes": (lambda g: list(g.find_disputes(NOW)), [listed(DISPUTE)]),
    "find_setup": (lambda g: g.find_setup(ATTEMPT, "cs_2"), [SETUP]),
    "receipt_url": (lambda g: g.receipt_url("pi_1"), [INTENT]),
    "settlements": (
        lambda g: list(g.settlements(date(2026, 11, 20))),
        [listed(payout()), listed(entry("charge", 9000))],
    ),
}


@pytest.mark.parametrize("call", sorted(CALLS))
def test_junk_in_any_place_of_an_answer_is_told_or_says_nothing(call: str) -> None:
    ask, right = CALLS[call]
    gateway = Adapter(Settings("sk_test_1", ("whsec_1",)))
    for turn, answer in enumerate(right):
        for wrong in spoilings(answer):
            said = [*right[:turn], wrong, *right[turn + 1 :]]
            found = told(gateway, ask, said)
            for one in found if isinstance(found, list) else [found]:
                if isinstance(one, Finding):
                    assert jsonb.parse(json.dumps(one.words()).encode()) == one.words(), said
    gateway.http.close()


@pytest.mark.parametrize(
    ("nonsense", "named"),
    [
        (DISPUTE | {"id": "dp_7", "amount": "much"}, "dp_7"),
        (DISPUTE | {"id": 7, "created": None}, "7"),
        ("a dispute", None),
    ],
)
def test_a_dispute_that_cannot_be_read_leaves_the_others(nonsense: Any, named: str | None) -> None:
    gateway = Adapter(Settings("sk_test_1", ("whsec_1",)))
    found = told(gateway, CALLS["find_disputes"][0], [listed(nonsense, DISPUTE)])
    gateway.http.close()

    bad, good = found
    assert (bad.outcome, bad.gateway_dispute_id) == (Outcome.UNREADABLE, named)
    assert (good.outcome, good.gateway_dispute_id) == (Outcome.LOST, "dp_1")


@pytest.mark.parametrize("call", sorted(CALLS))
def test_an_empty_object_is_no_answer(call: str) -> None:
    ask, right = CALLS[call]
    gateway = Adapter(Settings("sk_test_1", ("whsec_1",)))
    # Without a charge there is no receipt yet.
    expected = type(None) if call == "receipt_url" else GatewayUnavailableError

    assert isinstance(told(gateway, ask, [{}] * len(right)), expected)


def test_junk_as_a_receipt_is_none() -> None:
    gateway = Adapter(Settings("sk_test_1", ("whsec_1",)))
    charged = INTENT | {"latest_charge": {"id": "ch_1", "object": "charge", "receipt_url": 7}}

    assert isinstance(told(gateway, CALLS["receipt_url"][0], [charged]), GatewayUnavailableError)


def told(gateway: Adapter, ask: Callable[[Adapter], Any], said: list[Any]) -> Any:
    """Ask while these are the answers; after the last of them any list has ended."""
    turns = iter(said)

    def reply(*_: Any, **__: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code = 200
        answer._content = json.dumps(next(turns, listed())).encode()  # noqa: SLF001
        return answer

    with patch.object(Session, "request", reply):
        try:
            return ask(gateway)
        except (GatewayRefusedError, GatewayUnavailableError) as refusal:
            return refusal
