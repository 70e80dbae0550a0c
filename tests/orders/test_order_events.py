"""Whatever comes first, twice or late: an order is charged once, and what is off is given back."""

import itertools
import json
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from books import Connection, broken_invariants
from psycopg.types.json import Jsonb

from .conftest import Office

PLACED, READY, RESERVED = "order.placed", "order.ready_for_payment", "inventory.reserved"
FAILED, CANCELLED = "inventory.reservation_failed", "order.cancelled"
TERMS = {"customer_external_id": "SHP-1", "amount": 4200, "currency": "INR"}


def hear(office: Office, kind: str, **said: Any) -> list[dict[str, Any]]:
    event: dict[str, Any] = {
        "event_id": f"e-{uuid4()}",
        "type": kind,
        "reference": "ord-1",
        "customer_external_id": None,
        "amount": None,
        "currency": None,
        "detail": {"orderId": "ord-1"},
        "occurred_at": "2026-11-21T10:00:00Z",
    }
    return office.call("receive_order_event", **(event | said))


def save_card(db: Connection, office: Office, gateway: str = "stripe") -> None:
    db.execute(
        "insert into payment_methods (organization_id, livemode, customer_id, gateway,"
        " gateway_customer_id, gateway_payment_method_id, type)"
        " select organization_id, livemode, id, %s, 'cus_1', 'pm_1', 'card' from customers"
        " where organization_id = %s",
        [gateway, office.organization_id],
    )


def paid(office: Office, charge: dict[str, Any], outcome: str = "paid") -> dict[str, Any]:
    return office.tell(
        subject="payment",
        outcome=outcome,
        payment_attempt_id=str(charge["id"]),
        gateway_payment_id=f"pi_{charge['id']}",
        amount=charge["amount"],
        currency=charge["currency"],
    )


def the(db: Connection, query: str) -> Any:
    (row,) = db.execute(query).fetchall()
    return next(iter(row.values()))


@pytest.mark.parametrize("kinds", list(itertools.permutations([PLACED, READY, RESERVED])))
def test_an_order_is_charged_once_whichever_message_comes_first(db, office, kinds) -> None:
    save_card(db, office)
    charges = [
        charge
        for kind in kinds
        for charge in hear(office, kind, **(TERMS if kind == PLACED else {}))
    ]

    assert len({charge["id"] for charge in charges}) == 1
    assert the(db, "select count(*) from payment_attempts") == 1
    assert (charges[0]["amount"], charges[0]["gateway_payment_method_id"]) == (4200, "pm_1")


def test_nothing_is_charged_before_somebody_says_so(db, office) -> None:
    save_card(db, office)

    assert hear(office, PLACED, **TERMS) == []
    assert the(db, "select status from payment_intents") == "pending"


def test_a_setting_says_which_message_starts_the_charge(db, office) -> None:
    save_card(db, office)
    db.execute(
        "insert into system_settings values (%s, 'order_charge_events', 'order.placed')",
        [office.organization_id],
    )

    assert len(hear(office, PLACED, **TERMS)) == 1


def test_the_same_message_again_is_the_same_charge_until_it_is_answered(db, office) -> None:
    save_card(db, office)
    (charge,) = hear(office, READY, event_id="e-1", **TERMS)
    (again,) = hear(office, READY, event_id="e-1", **TERMS)
    assert again["id"] == charge["id"]

    paid(office, charge)
    assert hear(office, READY, event_id="e-1", **TERMS) == []
    assert hear(office, RESERVED) == []
    assert the(db, "select status from payment_intents") == "paid"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (CANCELLED, {}),
        (PLACED, {"reference": "ord-2"}),
        (PLACED, {"amount": 9900}),
        (PLACED, {"currency": "USD"}),
        (PLACED, {"amount": None, "currency": None}),
        (PLACED, {"customer_external_id": "SHP-2"}),
        (PLACED, {"customer_external_id": None}),
        (PLACED, {"detail": {"orderId": "ord-1", "items": 2}}),
    ],
)
def test_a_message_id_that_says_something_else_is_refused(db, office, kind, change) -> None:
    hear(office, PLACED, event_id="e-1", **TERMS)

    with pytest.raises(psycopg.Error, match="idempotency-key-reused"), db.transaction():
        hear(office, kind, event_id="e-1", **(TERMS | change))
    assert the(db, "select count(*) from order_events") == 1
    assert the(db, "select count(*) from exceptions") == 0


@pytest.mark.parametrize(
    ("kind", "change"),
    [(PLACED, {"occurred_at": "2026-11-21T10:05:00Z"}), (CANCELLED, {"currency": "ZZZ"})],
)
def test_a_message_that_says_the_same_is_taken_again(db, office, kind, change) -> None:
    for _ in range(2):
        hear(office, kind, event_id="e-1", **(TERMS | change))
    hear(office, kind, event_id="e-1", **(TERMS | change | {"occurred_at": "2026-11-21T11:00Z"}))

    assert the(db, "select count(*) from order_events") == 1


@pytest.mark.parametrize("kind", [FAILED, CANCELLED])
def test_what_was_paid_goes_back(db, office, kind: str) -> None:
    save_card(db, office)
    (charge,) = hear(office, READY, **TERMS)
    paid(office, charge)
    hear(office, kind)
    hear(office, kind)

    (refund,) = db.execute("select * from refunds").fetchall()
    assert (refund["amount"], refund["reason"], refund["type"]) == (
        4200,
        "order_canceled",
        "cancellation",
    )
    assert broken_invariants(db) == {}


def test_an_order_that_is_off_before_it_was_paid_takes_no_money(db, office) -> None:
    save_card(db, office)
    hear(office, PLACED, **TERMS)
    hear(office, CANCELLED)

    assert hear(office, READY) == []
    assert the(db, "select status from payment_intents") == "canceled"
    assert the(db, "select count(*) from payment_attempts") == 0


def test_a_cancellation_may_come_before_the_order(db, office) -> None:
    save_card(db, office)
    hear(office, CANCELLED)
    hear(office, READY, **TERMS)

    assert the(db, "select status from payment_intents") == "canceled"
    assert the(db, "select count(*) from payment_attempts") == 0


def test_a_late_charge_of_an_order_that_is_off_goes_back_by_itself(db, office) -> None:
    save_card(db, office)
    (charge,) = hear(office, READY, **TERMS)
    assert hear(office, CANCELLED) == []  # nobody is told to charge it any more
    paid(office, charge)

    assert the(db, "select is_surplus from payment_attempts")
    assert the(db, "select reason from refunds") == "surplus"
    assert broken_invariants(db) == {}


def test_a_charge_that_failed_is_not_repeated_by_messages(db, office) -> None:
    save_card(db, office)
    (charge,) = hear(office, READY, **TERMS)
    paid(office, charge, "failed")

    assert hear(office, RESERVED) == []
    hear(office, CANCELLED)
    assert the(db, "select status from payment_intents") == "canceled"


def test_a_customer_without_a_saved_method_is_asked_to_pay_once(db, office) -> None:
    assert hear(office, READY, **TERMS) == []
    assert hear(office, RESERVED) == []

    query = "select count(*) from events where type = 'payment.requires_method'"
    assert the(db, query) == 1


def test_another_amount_is_listed_and_the_first_holds(db, office) -> None:
    save_card(db, office)
    hear(office, PLACED, **TERMS)
    (charge,) = hear(office, READY, **(TERMS | {"amount": 9900}))

    assert charge["amount"] == 4200
    assert the(db, "select class from exceptions") == "order-mismatch"


def test_an_order_of_nobody_is_listed_and_charged_when_they_are_known(db, office) -> None:
    hear(office, PLACED, **(TERMS | {"customer_external_id": "SHP-9"}))
    assert the(db, "select class from exceptions") == "order-of-nobody"

    db.execute("update customers set external_id = 'SHP-9'")
    save_card(db, office)
    assert len(hear(office, READY)) == 1


@pytest.mark.parametrize("kind", ["order.shipped", "", "payment.succeeded"])
def test_what_is_nothing_to_us_is_taken_and_forgotten(db, office, kind: str) -> None:
    assert hear(office, kind, reference=None) == []
    assert the(db, "select count(*) from order_events") == 0


def test_a_message_about_no_order_is_refused(office) -> None:
    with pytest.raises(psycopg.Error, match="invalid-input"):
        hear(office, READY, reference=None)


@pytest.mark.parametrize("role", ["customer", "viewer", "support"])
def test_nobody_else_speaks_of_orders(office, role: str) -> None:
    with pytest.raises(psycopg.Error, match="forbidden"):
        hear(office.acting(actor_role=role, user_id="u"), READY, **TERMS)


def test_a_policy_that_gives_nothing_back_is_listed_for_a_person(db, office) -> None:
    save_card(db, office)
    (charge,) = hear(office, READY, **TERMS)
    paid(office, charge)
    db.execute(
        "insert into refund_policies (organization_id, purpose, currency, roles, created_by)"
        " values (%s, 'order', 'INR', '{owner}', 'test')",
        [office.organization_id],
    )
    hear(office, CANCELLED)

    assert the(db, "select class from exceptions") == "order-not-refunded"
    assert the(db, "select count(*) from refunds") == 0


def test_a_charge_that_nobody_sent_is_claimed_a_minute_later(db, office) -> None:
    save_card(db, office)
    (charge,) = hear(office, READY, **TERMS)
    assert office.call("claim_order_charges", limit=5) == []

    db.execute("update clock set skew_seconds = skew_seconds + 61")
    assert [row["id"] for row in office.call("claim_order_charges", limit=5)] == [charge["id"]]
    assert office.call("claim_order_charges", limit=5) == []


def test_a_message_is_kept_as_it_came(db, office) -> None:
    hear(office, READY, detail=json.loads('{"orderId": "ord-1", "amount": "42.00"}'))

    query = "select detail = %s as same from order_events"
    row = db.execute(query, [Jsonb({"orderId": "ord-1", "amount": "42.00"})]).fetchone()
    assert row["same"]
