"""Authorised and captured, whole or in part; a second capture; a payment in progress."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from books import Connection, broken_invariants


def open_again(db: Connection, intent_id: UUID) -> dict[str, Any]:
    return db.execute(
        "select attempt.* from payment_intents as intent,"
        " open_payment_attempt(intent, 'stripe', null) as attempt where intent.id = %s",
        [intent_id],
    ).fetchone()


def state(db: Connection) -> tuple[str, str]:
    row = db.execute(
        "select payment_intents.status as intent, payment_attempts.status as attempt"
        " from payment_intents join payment_attempts"
        " on payment_attempts.payment_intent_id = payment_intents.id"
        " order by payment_attempts.created_at desc, payment_attempts.id limit 1"
    ).fetchone()
    return row["intent"], row["attempt"]


def books(db: Connection) -> dict[str, int]:
    rows = db.execute(
        "select split_part(code, ':', 1) as code, currency, balance from ledger_balances"
        " where balance <> 0 and currency <> 'XCR'"
    ).fetchall()
    return {f"{row['code']} {row['currency']}": row["balance"] for row in rows}


def test_an_authorised_payment_books_nothing_until_it_is_captured(db, money) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], "authorized")
    assert state(db) == ("authorized", "authorized")
    assert books(db) == {}

    money.receive(row["payment_attempt_id"])
    assert state(db) == ("paid", "captured")
    assert books(db) == {"gateway USD": 2500, "prepaid_credits USD": -2500}
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("end", ["canceled", "expired", "failed"])
def test_an_authorisation_may_end_without_money(db, money, end) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], "authorized")
    money.receive(row["payment_attempt_id"], end)

    assert state(db) == (end, end)
    assert books(db) == {}


def test_a_part_of_what_buys_credits_is_not_enough(db, money) -> None:
    row = money.open()
    event = money.receive(row["payment_attempt_id"], captured_amount=2499)

    assert event["status"] == "parked"
    assert "2499 USD" in event["reason"]
    assert books(db) == {"gateway USD": 2500, "suspense USD": -2500}


def test_a_payment_in_progress_takes_no_second_attempt(db, money) -> None:
    row = money.open()
    for outcome in ("created", "authorized"):
        if outcome != "created":
            money.receive(row["payment_attempt_id"], outcome)
        refused = pytest.raises(psycopg.Error, match="payment-in-progress: ")
        with refused as refusal, db.transaction():
            open_again(db, row["payment_intent_id"])
        assert refusal.value.sqlstate == "22B10"


def test_a_failed_payment_takes_another_attempt_and_is_open_again(db, money) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], "failed", decline_class="soft", failure_code="x")
    second = open_again(db, row["payment_intent_id"])
    assert second["next_check_at"] is not None
    (intent,) = db.execute("select status from payment_intents").fetchall()
    assert intent["status"] == "pending"

    money.receive(second["id"])
    assert books(db) == {"gateway USD": 2500, "prepaid_credits USD": -2500}
    assert broken_invariants(db) == {}


def test_money_that_comes_twice_is_owed_back(db, money) -> None:
    """The first attempt failed, the second paid, and then the first one lands after all."""
    row = money.open()
    first = row["payment_attempt_id"]
    money.receive(first, "failed")
    second = open_again(db, row["payment_intent_id"])
    money.receive(second["id"])
    late = money.receive(first)

    assert late["status"] == "applied"
    surplus = db.execute("select is_surplus from payment_attempts where id = %s", [first])
    assert surplus.fetchone()["is_surplus"] is True
    wallet = db.execute("select balance from credit_wallets").fetchone()
    assert wallet["balance"] == 250  # once
    told = db.execute("select type from events where type = 'payment.surplus'").fetchall()
    assert len(told) == 1
    exceptions = db.execute("select class, amount from exceptions").fetchall()
    assert exceptions == [{"class": "surplus-payment", "amount": 2500}]
    assert books(db)["gateway USD"] == 5000
    assert broken_invariants(db) == {}


def test_a_decline_keeps_its_class_and_is_told(db, money) -> None:
    row = money.open()
    money.receive(
        row["payment_attempt_id"],
        "failed",
        decline_class="hard",
        failure_code="expired_card",
        failure_message="Your card has expired.",
    )
    kept = db.execute("select decline_class, failure_code from payment_attempts").fetchone()
    told = db.execute("select data from events where type = 'payment.failed'").fetchone()

    assert kept == {"decline_class": "hard", "failure_code": "expired_card"}
    assert told["data"]["decline_class"] == "hard"
