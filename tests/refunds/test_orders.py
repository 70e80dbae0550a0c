"""Refunds of orders: money that is the merchant's, taken whole or in part."""

from typing import Any

import psycopg
import pytest
from books import Connection, Tenant, broken_invariants
from money_back import Desk, balances


@pytest.fixture
def order(db: Connection, desk: Desk, tenant: Tenant) -> Any:
    """An order of 25 dollars of which 20 were captured; its intent."""
    intent = db.execute(
        "insert into payment_intents (organization_id, livemode, customer_id, purpose, amount,"
        " currency, capture_method) values (%s, false, %s, 'order', 2500, 'USD', 'manual')"
        " returning id",
        [tenant.organization_id, tenant.customer_id],
    ).fetchone()
    attempt = db.execute(
        "select opened.* from payment_intents,"
        " lateral open_payment_attempt(payment_intents, 'stripe', null) as opened"
        " where payment_intents.id = %s",
        [intent["id"]],
    ).fetchone()
    desk.receive(attempt["id"], "authorized", gateway_session_id=None)
    desk.acting(actor_role="finance").call(
        "begin_capture", payment_intent_id=intent["id"], amount=2000
    )
    desk.receive(attempt["id"], captured_amount=2000, gateway_session_id=None)
    assert balances(db, tenant) == {"gateway USD": 2000, "merchant_balance USD": -2000}
    return intent["id"]


def test_what_was_captured_goes_back_and_not_what_was_asked_for(db, desk, tenant, order) -> None:
    with pytest.raises(psycopg.Error, match="amount-out-of-range"), db.transaction():
        desk.refund(order, amount=2001)
    refund = desk.refund(order)
    assert (refund["amount"], refund["type"]) == (2000, "full")

    desk.say(refund, "succeeded")
    assert balances(db, tenant) == {}
    assert broken_invariants(db) == {}


def test_an_orders_refund_that_failed_is_the_merchants_money_again(db, desk, tenant, order) -> None:
    refund = desk.refund(order)
    desk.say(refund, "succeeded")
    desk.say(refund, "failed")

    assert balances(db, tenant) == {"gateway USD": 2000, "merchant_balance USD": -2000}
    assert broken_invariants(db) == {}


def test_an_orders_refund_made_after_it_was_given_up_is_no_loss_of_credits(
    db, desk, tenant, order
) -> None:
    refund = desk.refund(order, amount=500)
    db.execute("update clock set skew_seconds = skew_seconds + 100000")
    desk.tell(subject="refund", outcome="not_found", refund_id=str(refund["id"]))
    desk.say(refund, "succeeded")

    assert balances(db, tenant) == {"gateway USD": 1500, "merchant_balance USD": -1500}
    assert broken_invariants(db) == {}


def test_an_orders_dispute_is_paid_by_the_merchants_balance(db, desk, tenant, order) -> None:
    attempt = db.execute("select id from payment_attempts").fetchone()
    desk.dispute(attempt["id"], "lost", amount=2000)

    assert balances(db, tenant) == {}
    assert broken_invariants(db) == {}
