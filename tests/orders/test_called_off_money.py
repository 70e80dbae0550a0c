"""What comes back after an order was called off goes back to its payer: once, or it is listed."""

from typing import Any

import pytest
from books import Connection, broken_invariants
from money_back import balances, listed

from .conftest import Office
from .test_order_events import CANCELLED, hear

CALLED_OFF = {"reference": "BK-17"}


def pay(office: Office) -> dict[str, Any]:
    row = office.ask(gateway="razorpay")
    office.hear(row, "paid")
    return row


def refund(office: Office, row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    owner = office.acting(actor_role="owner", user_id="meera")
    return owner.refund(row["payment_intent_id"], **({"amount": 50000} | changes))


def say(office: Office, refund: dict[str, Any], outcome: str, **changes: Any) -> dict[str, Any]:
    payment = f"pay_{refund['payment_attempt_id']}"
    return office.say(
        refund, outcome, **({"gateway": "razorpay", "gateway_payment_id": payment} | changes)
    )


def dispute(office: Office, row: dict[str, Any], outcome: str, **changes: Any) -> dict[str, Any]:
    attempt = row["payment_attempt_id"]
    said = {"gateway": "razorpay", "gateway_payment_id": f"pay_{attempt}", "currency": "INR"}
    return office.dispute(attempt, outcome, **({"amount": 245000} | said | changes))


def systems(db: Connection) -> list[dict[str, Any]]:
    """List the refunds that go back by themselves, in order."""
    return db.execute(
        "select * from refunds where requested_by = 'system' order by idempotency_key"
    ).fetchall()


def amounts(db: Connection) -> list[int]:
    return [row["amount"] for row in systems(db)]


@pytest.mark.parametrize("outcome", ["failed", "canceled"])
def test_what_was_on_its_way_and_fails_goes_back_after_all(
    db: Connection, office: Office, outcome: str
) -> None:
    row = pay(office)
    on_its_way = refund(office, row)
    hear(office, CANCELLED, **CALLED_OFF)
    assert amounts(db) == [195000]
    say(office, on_its_way, outcome)
    say(office, on_its_way, outcome)
    hear(office, CANCELLED, **CALLED_OFF)

    first, second = systems(db)
    assert (first["amount"], second["amount"]) == (195000, 50000)
    assert (second["type"], second["reason"]) == ("cancellation", "order_canceled")
    assert second["idempotency_key"] == f"{first['idempotency_key']}:1"
    assert broken_invariants(db) == {}


def test_what_fails_after_it_succeeded_goes_back_by_another_refund(db, office, tenant) -> None:
    row = pay(office)
    made = refund(office, row)
    say(office, made, "succeeded")
    hear(office, CANCELLED, **CALLED_OFF)
    say(office, made, "failed")
    for one in systems(db):
        say(office, one, "succeeded")

    assert amounts(db) == [195000, 50000]
    assert balances(db, tenant) == {}
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_what_was_disputed_goes_back_when_the_dispute_is_won(db, office, tenant) -> None:
    row = pay(office)
    dispute(office, row, "opened")
    hear(office, CANCELLED, **CALLED_OFF)
    assert amounts(db) == []
    dispute(office, row, "won")
    dispute(office, row, "won")

    (one,) = systems(db)
    assert one["amount"] == 245000
    say(office, one, "succeeded")
    assert balances(db, tenant) == {}
    assert broken_invariants(db) == {}


def test_a_part_that_was_disputed_goes_back_when_all_is_told_at_once(db, office) -> None:
    row = pay(office)
    dispute(office, row, "opened", amount=45000)
    hear(office, CANCELLED, **CALLED_OFF)
    dispute(office, row, "won", amount=45000)
    dispute(office, row, "won", amount=1000, gateway_dispute_id="dp_2")  # heard of when it is over

    assert amounts(db) == [200000, 45000]
    assert broken_invariants(db) == {}


def test_what_is_lost_in_a_dispute_does_not_go_back_as_well(db, office) -> None:
    row = pay(office)
    dispute(office, row, "opened")
    hear(office, CANCELLED, **CALLED_OFF)
    dispute(office, row, "lost")

    assert amounts(db) == []
    assert broken_invariants(db) == {}


def test_a_gateway_that_refuses_the_systems_own_is_not_asked_for_ever(db, office) -> None:
    row = pay(office)
    on_its_way = refund(office, row)
    hear(office, CANCELLED, **CALLED_OFF)
    say(office, on_its_way, "failed")
    say(office, systems(db)[1], "failed")
    hear(office, CANCELLED, **CALLED_OFF)

    assert amounts(db) == [195000, 50000]
    assert listed(db) == {"refund-failed"}
    assert broken_invariants(db) == {}


def test_an_order_that_is_on_keeps_what_comes_back(db, office) -> None:
    row = pay(office)
    say(office, refund(office, row), "failed")
    dispute(office, row, "opened")
    dispute(office, row, "won")

    assert amounts(db) == []
    assert broken_invariants(db) == {}


def test_what_the_policy_keeps_is_listed_for_a_person(db, office) -> None:
    row = pay(office)
    dispute(office, row, "opened", amount=45000)
    hear(office, CANCELLED, **CALLED_OFF)
    db.execute(
        "insert into refund_policies (organization_id, purpose, currency, roles, created_by)"
        " values (%s, 'order', 'INR', '{owner}', 'test')",
        [office.organization_id],
    )
    dispute(office, row, "won", amount=45000)

    assert amounts(db) == [200000]
    query = "select class, amount from exceptions where resolved_at is null"
    (one,) = db.execute(query).fetchall()
    assert (one["class"], one["amount"]) == ("order-not-refunded", 45000)
    assert broken_invariants(db) == {}
