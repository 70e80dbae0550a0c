"""Money that came and is not what was asked for: held, and sent back by finance or the gateway."""

from uuid import UUID

import psycopg
import pytest
from books import broken_invariants
from money_back import balances, listed

PAYMENT = "pi_short"
HELD = {"gateway USD": 2400, "suspense USD": -2400}
SENT_BACK = {
    "subject": "refund",
    "outcome": "succeeded",
    "gateway_refund_id": "re_console",
    "gateway_payment_id": PAYMENT,
    "amount": 2400,
    "currency": "USD",
}


def held(desk, amount: int = 2400, **changes) -> UUID:
    """Take another amount than was asked for, and name the attempt that it is kept as."""
    row = desk.open()
    event = desk.receive(
        row["payment_attempt_id"], gateway_payment_id=PAYMENT, amount=amount, **changes
    )
    assert event["status"] == "parked"
    return event["payment_attempt_id"]


def test_what_is_held_is_listed_under_the_attempt_that_can_be_sent_back(db, desk, tenant) -> None:
    attempt = held(desk)

    (entry,) = db.execute("select * from exceptions").fetchall()
    assert (entry["class"], entry["object_id"]) == ("amount-mismatch", attempt)
    assert (entry["amount"], entry["currency"]) == (2400, "USD")
    assert desk.row("payment_attempts", attempt)["gateway_payment_id"] == PAYMENT
    assert balances(db, tenant) == HELD


def test_finance_sends_it_back(db, desk, tenant) -> None:
    attempt = desk.row("payment_attempts", held(desk))
    finance = desk.acting(actor_role="finance", user_id="fin", customer_id=None)
    asked = {"payment_attempt_id": attempt["id"], "key": "back"}
    refund = finance.refund(attempt["payment_intent_id"], **asked)
    assert finance.refund(attempt["payment_intent_id"], **asked) == refund
    assert balances(db, tenant) == {"gateway USD": 2400, "refunds_pending USD": -2400}
    assert listed(db) == {"amount-mismatch"}
    assert broken_invariants(db) == {}

    desk.say(refund, "succeeded", gateway_payment_id=PAYMENT)
    assert balances(db, tenant) == {}
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_a_refund_of_it_that_fails_puts_it_back_into_suspense(db, desk, tenant) -> None:
    attempt = desk.row("payment_attempts", held(desk))
    refund = desk.refund(attempt["payment_intent_id"], payment_attempt_id=attempt["id"])
    desk.say(refund, "succeeded", gateway_payment_id=PAYMENT)
    desk.say(refund, "failed", gateway_payment_id=PAYMENT)

    assert balances(db, tenant) == HELD
    assert listed(db) == {"amount-mismatch", "refund-failed"}
    assert broken_invariants(db) == {}


def test_it_is_no_refund_of_what_was_asked_for(db, desk) -> None:
    attempt = desk.row("payment_attempts", held(desk))

    with pytest.raises(psycopg.Error, match="refund-not-allowed: nothing of this payment"):
        desk.refund(attempt["payment_intent_id"])


def test_a_refund_at_the_gateways_console_takes_it_out_once(db, desk, tenant) -> None:
    attempt = held(desk)
    heard = [desk.tell(**SENT_BACK)["status"] for _ in range(2)]

    (refund,) = db.execute("select * from refunds").fetchall()
    assert heard == ["applied", "ignored"]
    assert (refund["requested_by"], refund["payment_attempt_id"]) == ("gateway", attempt)
    assert balances(db, tenant) == {}
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_a_part_of_it_at_the_console_leaves_the_rest_listed(db, desk, tenant) -> None:
    held(desk)
    desk.tell(**SENT_BACK | {"amount": 400})

    assert balances(db, tenant) == {"gateway USD": 2000, "suspense USD": -2000}
    assert listed(db) == {"amount-mismatch"}
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("names_us", [False, True])
def test_a_console_refund_that_overtakes_the_payment_waits_for_it(
    db, desk, tenant, names_us
) -> None:
    ours = str(desk.open()["payment_attempt_id"]) if names_us else None
    desk.tell(**SENT_BACK, payment_attempt_id=ours)
    assert balances(db, tenant) == {}
    held(desk)
    db.execute("update clock set skew_seconds = skew_seconds + 60")
    desk.call("apply_due_gateway_event")

    assert balances(db, tenant) == {}
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_another_currency_goes_back_in_that_currency(db, desk, tenant) -> None:
    attempt = desk.row("payment_attempts", held(desk, 2500, currency="JPY"))
    assert balances(db, tenant) == {"gateway JPY": 2500, "suspense JPY": -2500}
    refund = desk.refund(attempt["payment_intent_id"], payment_attempt_id=attempt["id"])
    desk.say(refund, "succeeded", gateway_payment_id=PAYMENT)

    assert balances(db, tenant) == {}
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("told_first", ["failed", "processing", "authorized"])
def test_an_attempt_whose_payment_took_another_amount_waits_for_a_right_one(
    db, desk, tenant, told_first
) -> None:
    """The message before named the payment, so that the attempt has its name already."""
    row = desk.open()
    desk.receive(row["payment_attempt_id"], told_first, gateway_payment_id=PAYMENT)
    attempt = held(desk, 2500, captured_amount=2400)
    assert attempt != row["payment_attempt_id"]
    assert balances(db, tenant) == HELD
    desk.receive(row["payment_attempt_id"], "paid", gateway_payment_id="pi_right")

    assert desk.row("payment_attempts", row["payment_attempt_id"])["status"] == "captured"
    assert db.execute("select balance from credit_wallets").fetchone()["balance"] == 250
    assert desk.row("payment_attempts", attempt)["is_in_suspense"]
    assert broken_invariants(db) == {}


def test_what_is_held_keeps_nobody_from_paying(db, desk) -> None:
    row = desk.open()
    desk.record(row["payment_attempt_id"])
    held(desk)

    again = desk.open()
    assert (again["payment_attempt_id"], again["status"]) == (row["payment_attempt_id"], "pending")
    desk.receive(row["payment_attempt_id"], "expired", gateway_payment_id=None)
    (other,) = db.execute(
        "select attempt.* from payment_intents as intent,"
        " open_payment_attempt(intent, 'stripe', null) as attempt where intent.id = %s",
        [row["payment_intent_id"]],
    ).fetchall()
    assert other["status"] == "created"
    assert broken_invariants(db) == {}


def test_what_was_listed_before_its_money_came_is_settled_by_it(db, desk) -> None:
    row = desk.open()
    desk.receive(row["payment_attempt_id"], "processing", gateway_payment_id=PAYMENT, amount=2400)
    attempt = held(desk)

    (entry,) = db.execute("select * from exceptions where resolved_at is null").fetchall()
    assert entry["object_id"] == attempt
