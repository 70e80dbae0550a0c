"""What is said of an event, in each profile's words."""

import json
from typing import Any

import pytest
from books import Connection, settle
from in_process import plain
from orders.conftest import Office, stock

from app.webhooks import messages

from .outbox import claim, publish_to

# Anything but an object, or JSON that no number or text of ours can be.
POISON: list[Any] = ["text", 7, None, [1], True]


def paid_order(db: Connection, profile: str) -> list[dict[str, Any]]:
    """Pay a booking of 2,450 rupees. Answers what is claimed of that, as Hasura prints it."""
    tenant = settle(db)
    publish_to(db, tenant, profile=profile)
    office = stock(db, tenant)
    row = office.ask()
    office.hear(row, "paid", gateway_payment_id="pay_17")
    return [row for row in claimed(office) if row["type"] == "payment.succeeded"]


def claimed(office: Office) -> list[dict[str, Any]]:
    rows = claim(office)
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def said(row: dict[str, Any]) -> dict[str, Any]:
    """The fields of a message, and apart from them what it says of its event."""
    detail: dict[str, Any] = json.loads(messages.read(row).detail, parse_float=str)
    return detail


def test_our_own_words_are_all_the_facts(db: Connection) -> None:
    (row,) = paid_order(db, "munim")
    message, detail = messages.read(row), said(row)
    event = detail.pop("event")

    assert (message.source, message.detail_type) == ("munim", "payment.succeeded")
    assert message.id == event["id"] == row["id"]
    assert message.time.isoformat() == event["created_at"] == row["created_at"]
    assert (event["sequence"], event["version"], event["livemode"]) == (2, 1, False)
    assert (event["object_type"], event["object_id"]) == (
        "payment_intent",
        detail["payment_intent_id"],
    )
    assert (detail["amount"], detail["currency"]) == (245000, "INR")
    assert (detail["order_reference"], detail["customer_external_id"]) == ("BK-17", "SHP-1")
    assert detail["transaction_id"].startswith("TXN-")
    assert detail["gateway_payment_id"] == "pay_17"


def test_ubertruck_hears_its_own_words(db: Connection) -> None:
    (row,) = paid_order(db, "ubertruck")
    message, detail = messages.read(row), said(row)
    event = detail.pop("event")

    assert (message.source, message.detail_type) == ("payment.service", "PaymentSuccess")
    assert detail == {
        "transaction_id": json.loads(row["facts"])["transaction_id"],
        "amount": "2450.00",
        "currency": "INR",
        "booking_id": "BK-17",
        "payment_id": "pay_17",
    }
    assert event["type"] == "payment.succeeded"


def test_ubertruck_hears_of_a_payment_before_anybody_has_paid(db: Connection) -> None:
    tenant = settle(db)
    publish_to(db, tenant, profile="ubertruck")
    office = stock(db, tenant)
    asked, again = office.ask(), office.ask()
    (row,) = claimed(office)
    message, detail = messages.read(row), said(row)
    event = detail.pop("event")

    assert asked["id"] == again["id"]
    assert (message.source, message.detail_type) == ("payment.service", "PaymentInitiated")
    assert detail == {
        "transaction_id": asked["display_id"],
        "amount": "2450.00",
        "currency": "INR",
        "booking_id": "BK-17",
    }
    assert (event["type"], event["sequence"]) == ("payment.initiated", 1)


@pytest.mark.parametrize(
    ("profile", "outcome", "detail_type"),
    [
        ("novamart", "failed", "payment.failed"),
        ("novamart", "expired", "payment.failed"),
        ("novamart", "canceled", "payment.failed"),
        ("ubertruck", "failed", "PaymentFailure"),
        ("ubertruck", "expired", "PaymentFailure"),
        # Its rule for failures holds credit back, and here nobody has failed to pay.
        ("ubertruck", "canceled", "payment.canceled"),
    ],
)
def test_who_knows_one_word_for_no_money_hears_that_word(
    db: Connection, profile: str, outcome: str, detail_type: str
) -> None:
    tenant = settle(db)
    publish_to(db, tenant, profile=profile)
    office = stock(db, tenant)
    office.hear(office.ask(), outcome)
    _, row = claimed(office)

    assert (messages.read(row).detail_type, row["type"]) == (detail_type, f"payment.{outcome}")
    assert profile == "ubertruck" or said(row)["status"] == "FAILED"


def test_novamart_hears_its_record_of_a_payment(db: Connection) -> None:
    (row,) = paid_order(db, "novamart")
    message, detail = messages.read(row), said(row)
    event = detail.pop("event")
    created = detail.pop("createdAt")

    assert (message.source, message.detail_type) == ("novamart.payments", "payment.succeeded")
    assert detail == {
        "paymentId": event["object_id"],
        "orderId": "BK-17",
        "customerId": "SHP-1",
        "amount": "2450.00",
        "currency": "INR",
        "status": "SUCCEEDED",
        "reason": None,
        "transactionId": "pay_17",
        "updatedAt": event["created_at"],
    }
    assert created.startswith("20")


@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "SUCCEEDED"), ("failed", "FAILED")])
def test_novamart_hears_its_record_of_a_refund(db: Connection, outcome: str, status: str) -> None:
    tenant = settle(db)
    publish_to(db, tenant, profile="novamart")
    office = stock(db, tenant)
    row = office.ask()
    office.hear(row, "paid", gateway_payment_id=f"pi_{row['payment_attempt_id']}")
    refund = office.refund(row["payment_intent_id"], amount=45000)
    office.say(refund, outcome, gateway="razorpay")
    claims = {row["type"]: row for row in claimed(office)}
    detail = said(claims[f"refund.{outcome}"])
    event = detail.pop("event")

    assert (event["object_id"], event["sequence"]) == (str(refund["id"]), 2)
    assert {name: detail[name] for name in detail if not name.endswith("At")} == {
        "refundId": str(refund["id"]),
        "paymentId": str(row["payment_intent_id"]),
        "orderId": "BK-17",
        "customerId": "SHP-1",
        "amount": "450.00",
        "currency": "INR",
        "reason": "requested_by_customer",
        "status": status,
        "transactionId": f"re_{refund['id']}",
    }
    # What the profile has no words for goes out in ours, from the profile's source.
    created = messages.read(claims["refund.created"])
    assert (created.source, created.detail_type) == ("novamart.payments", "refund.created")


def row(**changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "id": "e1",
        "organization_id": "o1",
        "livemode": True,
        "type": "thing.happened",
        "object_type": "thing",
        "object_id": "t1",
        "sequence": "3",
        "created_at": "2026-11-21T10:00:00+00:00",
        "source": "munim",
        "detail_type": "thing.happened",
        "fields": None,
        "constants": None,
        "facts": '{"amount": 1005, "currency": "JPY"}',
    }
    return known | changes


@pytest.mark.parametrize(
    ("facts", "amount"),
    [
        ('{"amount": 1005, "currency": "JPY"}', "1005"),
        ('{"amount": 1005, "currency": "KWD"}', "1.005"),
        ('{"amount": 5, "currency": "USD"}', "0.05"),
        ('{"amount": 9007199254740993, "currency": "USD"}', "90071992547409.93"),
        ('{"amount": 5}', "null"),
        ('{"amount": 5.5, "currency": "USD"}', "null"),
        ('{"amount": "5", "currency": "USD"}', "null"),
        ('{"amount": 5, "currency": "usd"}', "null"),
        ("{}", "null"),
    ],
)
def test_an_amount_in_units_keeps_every_digit(facts: str, amount: str) -> None:
    words = {"fields": {"amount": "amount_major"}, "constants": {}}

    assert f'"amount": {amount},' in messages.read(row(facts=facts, **words)).detail


def test_no_number_loses_a_digit() -> None:
    facts = '{"credits_amount": 12345678901234567.1234, "rate": 0.1000}'
    detail = messages.read(row(facts=facts)).detail

    assert '"credits_amount": 12345678901234567.1234, "rate": 0.1000' in detail


def test_a_field_without_its_fact_is_null() -> None:
    words = {"fields": {"orderId": "order_reference"}, "constants": {"status": "X"}}
    detail = said(row(**words))

    assert (detail["orderId"], detail["status"]) == (None, "X")


def test_a_fact_called_event_does_not_hide_the_event() -> None:
    assert said(row(facts='{"event": "mine"}'))["event"]["id"] == "e1"


@pytest.mark.parametrize("facts", POISON)
def test_facts_that_are_none_are_refused(facts: object) -> None:
    with pytest.raises(TypeError, match="its facts are no object"):
        messages.read(row(facts=json.dumps(facts)))
