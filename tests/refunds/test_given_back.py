"""What a gateway gives back by itself: it is booked where it counted, and known where not."""

from typing import Any

import pytest
from books import broken_invariants
from money_back import balances, listed

TAKEN_BACK: dict[str, int] = {}  # nothing is left of the purchase


@pytest.fixture
def attempt(desk) -> Any:
    """An attempt with an open page."""
    found = desk.open()["payment_attempt_id"]
    desk.record(found, takes_several=True)
    return found


def give_back(desk, payment: str, outcome: str = "succeeded", **changes: Any) -> dict[str, Any]:
    """The message about it, which names the page and the payment, and no refund of ours."""
    said = {
        "subject": "refund",
        "outcome": outcome,
        "gateway_session_id": "cs_1",
        "gateway_payment_id": payment,
        "gateway_refund_id": f"auto_{payment}",
        "amount": 2500,
        "currency": "USD",
    }
    event: dict[str, Any] = desk.tell(**(said | changes))
    return event


def pay(desk, attempt: Any, payment: str) -> None:
    assert desk.receive(attempt, gateway_payment_id=payment)["status"] == "applied"


def sweep(db, desk, hours: float = 1) -> None:
    """The inbox tries again what is due."""
    db.execute("update clock set skew_seconds = skew_seconds + %s", [int(hours * 3600)])
    while desk.call("apply_due_gateway_event"):
        pass


def refunds(db) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = db.execute(
        "select refunds.requested_by, refunds.status, refunds.gateway_refund_id,"
        " payment_attempts.gateway_payment_id from refunds"
        " join payment_attempts on payment_attempts.id = payment_attempt_id"
        " order by refunds.created_at"
    ).fetchall()
    return rows


def by_gateway(payment: str) -> dict[str, Any]:
    return {
        "requested_by": "gateway",
        "status": "succeeded",
        "gateway_refund_id": f"auto_{payment}",
        "gateway_payment_id": payment,
    }


@pytest.mark.parametrize("outcomes", [["succeeded"], ["succeeded"] * 2, ["pending", "succeeded"]])
def test_what_counted_and_is_given_back_is_booked_once(
    db, desk, tenant, attempt, outcomes: list[str]
) -> None:
    pay(desk, attempt, "pi_1")
    for outcome in outcomes:
        give_back(desk, "pi_1", outcome)

    assert refunds(db) == [by_gateway("pi_1")]
    assert balances(db, tenant) == TAKEN_BACK
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_what_never_counted_and_is_given_back_is_kept_and_has_its_page_asked_about(
    db, desk, tenant, attempt
) -> None:
    event = give_back(desk, "pi_9")

    assert (event["status"], event["reason"]) == ("parked", "of a payment that is not in our books")
    due = desk.call("claim_payment_checks", limit=5)
    assert [row["id"] for row in due] == [attempt]
    assert (refunds(db), balances(db, tenant), listed(db)) == ([], {}, set())


def test_it_is_not_taken_for_money_of_the_payment_that_counted(db, desk, tenant, attempt) -> None:
    pay(desk, attempt, "pi_1")
    before = balances(db, tenant)
    give_back(desk, "pi_9")
    sweep(db, desk)

    assert (refunds(db), balances(db, tenant), listed(db)) == ([], before, set())


def test_what_is_heard_of_before_its_payment_is_booked_after_it(db, desk, tenant, attempt) -> None:
    give_back(desk, "pi_1")
    pay(desk, attempt, "pi_1")
    sweep(db, desk)

    assert refunds(db) == [by_gateway("pi_1")]
    assert balances(db, tenant) == TAKEN_BACK
    assert listed(db) == set()
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("is_first", [False, True])
def test_what_was_paid_twice_goes_back_once_whoever_tells_of_it_first(
    db, desk, tenant, attempt, is_first: bool
) -> None:
    pay(desk, attempt, "pi_1")
    before = balances(db, tenant)
    if is_first:
        give_back(desk, "pi_2")
    pay(desk, attempt, "pi_2")
    if not is_first:
        give_back(desk, "pi_2")
    (refund,) = db.execute("select * from refunds").fetchall()
    assert (refund["status"], refund["requested_by"]) == ("created", "system")

    # The look-up of our refund finds the gateway's.
    desk.say(refund, "succeeded", gateway_refund_id="auto_pi_2", gateway_payment_id="pi_2")
    sweep(db, desk)
    assert refunds(db) == [by_gateway("pi_2") | {"requested_by": "system"}]
    assert balances(db, tenant) == before
    assert listed(db) == set()
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("is_ours", [False, True])
def test_a_refund_of_ours_whose_answer_was_lost_is_not_booked_twice(
    db, desk, tenant, attempt, is_ours: bool
) -> None:
    pay(desk, attempt, "pi_1")
    (intent,) = db.execute("select id from payment_intents").fetchall()
    refund = desk.refund(intent["id"])
    desk.call("mark_refund_unknown", refund_id=refund["id"], failure_message="no answer")
    event = give_back(desk, "pi_1")
    assert event["status"] == "received"  # no more goes back than came: it is tried again

    if is_ours:  # the look-up finds what the gateway gave back as it
        desk.say(refund, "succeeded", gateway_refund_id="auto_pi_1", gateway_payment_id="pi_1")
    else:  # or the gateway refuses it, since nothing is left
        desk.say(refund, "failed", gateway_refund_id=None, gateway_payment_id="pi_1")
    sweep(db, desk)
    succeeded = [row for row in refunds(db) if row["status"] == "succeeded"]
    assert [row["gateway_refund_id"] for row in succeeded] == ["auto_pi_1"]
    assert balances(db, tenant) == TAKEN_BACK
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_more_than_was_paid_is_for_a_person(db, desk, attempt) -> None:
    pay(desk, attempt, "pi_1")
    give_back(desk, "pi_1", amount=2501)

    (told,) = db.execute("select class, amount, currency from exceptions").fetchall()
    assert told == {"class": "unmatched-refund", "amount": 2501, "currency": "USD"}
