"""A shop sends a part back in its gateway's dashboard, while the system sends all of it back."""

from typing import Any

from books import Connection, broken_invariants
from money_back import balances, listed

from .conftest import Office
from .test_called_off_money import CALLED_OFF, amounts, pay, say, systems
from .test_order_events import CANCELLED, hear

HOURS = 3600


def send_back_there(office: Office, row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    said = {
        "gateway": "razorpay",
        "subject": "refund",
        "outcome": "succeeded",
        "refund_id": None,
        "gateway_refund_id": "rfnd_there",
        "gateway_payment_id": f"pay_{row['payment_attempt_id']}",
        "amount": 45000,
        "currency": "INR",
    }
    return office.tell(**(said | changes))


def retry(office: Office, hours: int = 0) -> None:
    """Let the inbox try what it has put off, for so many hours."""
    for _ in range(1 + 2 * hours):
        office.db.execute("update clock set skew_seconds = skew_seconds + 1800")
        while office.acting(organization_id=None).call("apply_due_gateway_event"):
            pass


def called_off(office: Office) -> tuple[dict[str, Any], dict[str, Any]]:
    """An order that was paid and is off, and the refund of all of it."""
    row = pay(office)
    hear(office, CANCELLED, **CALLED_OFF)
    (refund,) = systems(office.db)
    return row, refund


def test_the_rest_goes_back_when_it_shows_why_all_was_refused(
    db: Connection, office: Office, tenant
) -> None:
    row, refund = called_off(office)
    say(office, refund, "failed", failure_code="gateway-refused")
    assert listed(db) == {"refund-failed"}
    assert send_back_there(office, row)["status"] == "applied"

    assert amounts(db) == [245000, 200000]
    assert listed(db) == {"refund-failed"}  # until the rest has gone
    say(office, systems(db)[1], "succeeded")
    assert balances(db, tenant) == {}
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_the_rest_is_not_asked_for_twice(db, office) -> None:
    row, refund = called_off(office)
    say(office, refund, "failed", failure_code="gateway-refused")
    for outcome in ("pending", "succeeded", "succeeded"):
        send_back_there(office, row, outcome=outcome)

    assert amounts(db) == [245000, 200000]
    assert broken_invariants(db) == {}


def test_a_gateway_that_refuses_the_rest_too_is_not_asked_on(db, office) -> None:
    row, refund = called_off(office)
    say(office, refund, "failed", failure_code="gateway-refused")
    send_back_there(office, row)
    say(office, systems(db)[1], "failed", failure_code="gateway-refused")

    assert amounts(db) == [245000, 200000]
    assert listed(db) == {"refund-failed"}
    assert broken_invariants(db) == {}


def test_what_was_told_while_all_was_spoken_for_is_booked_when_it_is_free(db, office) -> None:
    row, refund = called_off(office)
    told = send_back_there(office, row)
    assert told["status"] == "received"
    retry(office, hours=8)
    assert listed(db) == {"event-not-applied"}

    say(office, refund, "failed", failure_code="gateway-refused")
    retry(office)
    assert amounts(db) == [245000, 200000]
    assert listed(db) == {"refund-failed"}
    assert broken_invariants(db) == {}


def test_a_part_of_a_smaller_amount_does_not_end_what_failed(db, office) -> None:
    row = pay(office)
    owner = office.acting(actor_role="owner", user_id="meera")
    refund = owner.refund(row["payment_intent_id"], amount=200000)
    say(office, refund, "succeeded")
    say(office, refund, "failed")
    assert listed(db) == {"refund-failed"}
    send_back_there(office, row)
    assert listed(db) == {"refund-failed"}
    send_back_there(office, row, gateway_refund_id="rfnd_again", amount=200000)

    assert listed(db) == set()
    assert broken_invariants(db) == {}


def paid_twice(office: Office) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A page that was paid twice: its order, the surplus attempt and the refund of that."""
    row = pay(office)
    office.hear(row, "paid", gateway_payment_id="pay_2")
    (refund,) = systems(office.db)
    return row, {"payment_attempt_id": "2"}, refund


def test_the_rest_of_a_surplus_goes_back_too(db, office, tenant) -> None:
    _, surplus, refund = paid_twice(office)
    named = {"gateway_payment_id": "pay_2"}
    say(office, refund, "failed", failure_code="gateway-refused", **named)
    send_back_there(office, surplus)
    assert amounts(db) == [245000, 200000]
    say(office, systems(db)[1], "succeeded", **named)

    assert listed(db) == set()
    assert balances(db, tenant) == {"gateway INR": 245000, "merchant_balance INR": -245000}
    assert broken_invariants(db) == {}


def test_a_refund_of_an_order_takes_the_money_of_its_other_payment(db, office) -> None:
    """Cashfree's refunds name an order; which of two payments they take is its own choice."""
    row, surplus, refund = paid_twice(office)
    say(office, refund, "succeeded", gateway_payment_id="pay_2")
    told = send_back_there(office, surplus)

    assert (told["status"], str(told["payment_attempt_id"])) == (
        "applied",
        str(row["payment_attempt_id"]),
    )
    kept = db.execute(
        "select is_surplus, amount_refunded from payment_attempts order by is_surplus"
    ).fetchall()
    assert [tuple(each.values()) for each in kept] == [(False, 45000), (True, 245000)]
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_what_nobody_has_the_money_for_is_for_a_person(db, office) -> None:
    row = pay(office)
    owner = office.acting(actor_role="owner", user_id="meera")
    say(office, owner.refund(row["payment_intent_id"], amount=None), "succeeded")
    send_back_there(office, row)
    retry(office, hours=8)

    assert listed(db) == {"event-not-applied"}
    assert broken_invariants(db) == {}
