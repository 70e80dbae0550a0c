"""A payer's bank takes the money back: what is booked while it is open, and when it is decided."""

from itertools import permutations
from uuid import uuid4

import psycopg
import pytest
from books import broken_invariants
from money_back import balances, listed, resolve_by_hand, told

BEFORE = {
    "gateway USD": 2500,
    "prepaid_credits USD": -2500,
    "credits_issued XCR": 2_500_000,
    "credit_wallet XCR": -2_500_000,
}
GONE = {
    "dispute_fees USD": 1500,
    "gateway USD": -1500,
}
FEE = {"fee_amount": 1500, "fee_currency": "USD", "evidence_due_at": "2026-12-01T23:59:59Z"}


def the_dispute(db):
    (row,) = db.execute("select * from disputes").fetchall()
    return row


def spend(desk, tenant, credits_amount: int) -> None:
    desk.call(
        "spend_credits",
        customer_id=tenant.customer_id,
        amount=credits_amount,
        key=f"spend-{uuid4()}",
        description="Tea",
        reference=None,
    )


def test_an_open_dispute_holds_the_money_and_freezes_the_credits(db, desk, tenant, paid) -> None:
    event = desk.dispute(paid["payment_attempt_id"], "opened", **FEE)

    dispute = the_dispute(db)
    assert event["status"] == "applied"
    assert (dispute["status"], dispute["reason"]) == ("opened", "fraudulent")
    assert str(dispute["evidence_due_at"]) == "2026-12-01 23:59:59+00:00"
    assert balances(db, tenant) == BEFORE | {
        "gateway USD": -1500,
        "disputes USD": 2500,
        "dispute_fees USD": 1500,
    }
    assert told(db, dispute["id"]) == ["dispute.opened"]
    with pytest.raises(psycopg.Error, match="insufficient-credits"), db.transaction():
        spend(desk, tenant, 1)
    assert broken_invariants(db) == {}


def test_a_dispute_that_is_won_gives_everything_back_but_the_fee(db, desk, tenant, paid) -> None:
    desk.dispute(paid["payment_attempt_id"], "opened", **FEE)
    desk.dispute(paid["payment_attempt_id"], "won")

    assert balances(db, tenant) == BEFORE | {"gateway USD": 1000, "dispute_fees USD": 1500}
    assert told(db, the_dispute(db)["id"]) == ["dispute.opened", "dispute.won"]
    spend(desk, tenant, 250)
    assert broken_invariants(db) == {}


def test_a_dispute_that_is_lost_takes_the_credits_that_are_there(db, desk, tenant, paid) -> None:
    desk.dispute(paid["payment_attempt_id"], "opened", **FEE)
    desk.dispute(paid["payment_attempt_id"], "lost")

    assert balances(db, tenant) == GONE
    assert told(db, the_dispute(db)["id"]) == ["dispute.opened", "dispute.lost"]
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_credits_that_were_spent_before_are_a_loss(db, desk, tenant, paid) -> None:
    spend(desk, tenant, 100)
    desk.dispute(paid["payment_attempt_id"], "opened")
    desk.dispute(paid["payment_attempt_id"], "lost")

    assert the_dispute(db)["covered_amount"] == 1500
    assert balances(db, tenant) == {"dispute_losses USD": 1000, "credit_revenue USD": -1000}
    assert broken_invariants(db) == {}


def test_a_part_of_a_payment_may_be_disputed(db, desk, tenant, paid) -> None:
    desk.dispute(paid["payment_attempt_id"], "opened", amount=1000)
    spend(desk, tenant, 150)
    with pytest.raises(psycopg.Error, match="insufficient-credits"), db.transaction():
        spend(desk, tenant, 1)
    desk.dispute(paid["payment_attempt_id"], "lost", amount=1000)

    assert balances(db, tenant) == {"gateway USD": 1500, "credit_revenue USD": -1500}
    assert broken_invariants(db) == {}


LIFE = [("created", "opened"), ("updated", "under_review"), ("withdrawn", "opened")]


@pytest.mark.parametrize("end", ["won", "lost"])
@pytest.mark.parametrize("order", list(permutations([*LIFE, ("closed", "end")])))
def test_in_any_order_of_messages_the_books_end_the_same(
    db, desk, tenant, paid, order, end
) -> None:
    for event_id, outcome in order:
        said = end if outcome == "end" else outcome
        desk.dispute(paid["payment_attempt_id"], said, event_id=event_id, **FEE)
        desk.dispute(paid["payment_attempt_id"], said, event_id=event_id, **FEE)

    dispute = the_dispute(db)
    assert dispute["status"] == end
    assert told(db, dispute["id"]) == ["dispute.opened", f"dispute.{end}"]
    won = BEFORE | {"gateway USD": 1000, "dispute_fees USD": 1500}
    assert balances(db, tenant) == (won if end == "won" else GONE)
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("carrier", [0, 1, 2])
def test_the_fee_is_booked_once_whichever_message_tells_it(db, desk, tenant, paid, carrier) -> None:
    for number, outcome in enumerate(["opened", "opened", "lost"]):
        said = FEE if number >= carrier else {}
        desk.dispute(paid["payment_attempt_id"], outcome, **said)

    assert balances(db, tenant) == GONE


def test_a_message_that_tells_nothing_new_is_ignored(db, desk, paid) -> None:
    desk.dispute(paid["payment_attempt_id"], "opened")
    again = desk.dispute(paid["payment_attempt_id"], "opened")

    assert (again["status"], again["reason"]) == ("ignored", "the dispute is opened already")


def test_a_decision_that_contradicts_another_is_for_a_person(db, desk, tenant, paid) -> None:
    desk.dispute(paid["payment_attempt_id"], "lost")
    before = balances(db, tenant)
    event = desk.dispute(paid["payment_attempt_id"], "won")

    assert event["status"] == "parked"
    assert listed(db) == {"dispute-contradicted"}
    assert balances(db, tenant) == before


@pytest.mark.parametrize(
    "change",
    [{"amount": None}, {"amount": 0}, {"amount": -5}, {"currency": "EUR"}, {"currency": None}],
)
def test_a_dispute_of_no_amount_or_another_currency_is_for_a_person(db, desk, paid, change) -> None:
    event = desk.dispute(paid["payment_attempt_id"], "opened", **change)

    assert event["status"] == "parked"
    assert listed(db) == {"amount-mismatch"}
    assert db.execute("select count(*) as n from disputes").fetchone()["n"] == 0


def test_a_dispute_does_not_change_its_amount(db, desk, paid) -> None:
    desk.dispute(paid["payment_attempt_id"], "opened")
    event = desk.dispute(paid["payment_attempt_id"], "lost", amount=2400)

    assert event["status"] == "parked"
    assert the_dispute(db)["status"] == "opened"


@pytest.mark.parametrize("change", [{"gateway_dispute_id": None}, {"gateway_payment_id": "pi_x"}])
def test_a_dispute_of_nothing_we_know_is_for_a_person(db, desk, paid, change) -> None:
    event = desk.dispute(paid["payment_attempt_id"], "opened", **change)

    assert event["status"] == "parked"
    assert listed(db) == {"unmatched-dispute"}


def test_a_dispute_that_overtakes_its_payment_waits_for_it(db, desk) -> None:
    row = desk.open()
    event = desk.dispute(
        row["payment_attempt_id"], "opened", payment_attempt_id=str(row["payment_attempt_id"])
    )
    assert event["status"] == "received"

    desk.receive(row["payment_attempt_id"])
    db.execute("update clock set skew_seconds = 3600")
    (applied,) = desk.call("apply_due_gateway_event")
    assert applied["status"] == "applied"
    assert broken_invariants(db) == {}


def test_what_is_disputed_is_not_refunded_too(desk, paid) -> None:
    desk.dispute(paid["payment_attempt_id"], "opened", amount=1000)

    with pytest.raises(psycopg.Error, match="amount-out-of-range"), desk.db.transaction():
        desk.refund(paid["payment_intent_id"], amount=1501)
    assert desk.refund(paid["payment_intent_id"])["amount"] == 1500


def test_a_dispute_that_was_won_leaves_its_money_to_be_refunded(desk, paid) -> None:
    desk.dispute(paid["payment_attempt_id"], "won", amount=1000)

    assert desk.refund(paid["payment_intent_id"])["amount"] == 2500


@pytest.mark.parametrize("refund_ends_first", [True, False])
def test_i5_what_went_back_twice_is_listed_for_a_person(
    db, desk, tenant, paid, refund_ends_first
) -> None:
    refund = desk.refund(paid["payment_intent_id"])
    steps = [
        lambda: desk.say(refund, "succeeded"),
        lambda: desk.dispute(paid["payment_attempt_id"], "lost"),
    ]
    for step in steps if refund_ends_first else reversed(steps):
        step()

    assert listed(db) == {"refunded-and-disputed"}
    assert balances(db, tenant) == {"gateway USD": -2500, "dispute_losses USD": 2500}
    assert broken_invariants(db) == {}

    desk.say(refund, "failed")
    assert "refunded-and-disputed" not in listed(db)
    assert broken_invariants(db) == {}


def test_a_loss_that_a_person_has_seen_is_listed_again_when_it_grows(db, desk, paid) -> None:
    desk.say(desk.refund(paid["payment_intent_id"]), "succeeded")
    desk.dispute(paid["payment_attempt_id"], "lost", amount=1000)
    resolve_by_hand(desk, "refunded-and-disputed")
    assert listed(db) == set()
    assert broken_invariants(db) == {}

    desk.dispute(paid["payment_attempt_id"], "lost", gateway_dispute_id="dp_2", amount=1500)
    assert listed(db) == {"refunded-and-disputed"}
    assert broken_invariants(db) == {}


def late_capture(desk) -> dict:
    """A second attempt of the paid intent, captured late: surplus, and its refund."""
    late = desk.db.execute(
        "insert into payment_attempts (organization_id, livemode, payment_intent_id, gateway,"
        " amount, currency, status) select organization_id, livemode, payment_intent_id, gateway,"
        " amount, currency, 'expired' from payment_attempts returning id"
    ).fetchone()
    desk.receive(late["id"], gateway_session_id=None)
    (refund,) = desk.db.execute("select * from refunds").fetchall()
    return refund


def test_surplus_that_could_not_be_refunded_and_was_lost_in_a_dispute_is_no_loss(
    db, desk, tenant, paid
) -> None:
    refund = late_capture(desk)
    desk.say(refund, "failed", failure_code="charge_disputed")
    desk.dispute(refund["payment_attempt_id"], "opened")
    assert broken_invariants(db) == {}
    desk.dispute(refund["payment_attempt_id"], "lost")

    assert balances(db, tenant) == BEFORE
    assert "surplus-payment" not in listed(db)
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("words", [["failed"], ["canceled"], ["succeeded", "failed"]])
def test_surplus_that_was_lost_before_its_refund_came_to_nothing_is_no_loss(
    db, desk, tenant, paid, words
) -> None:
    refund = late_capture(desk)
    for word in words[:-1]:
        desk.say(refund, word)
    desk.dispute(refund["payment_attempt_id"], "lost")
    assert balances(db, tenant)["dispute_losses USD"] == 2500
    for _ in range(2):
        desk.say(refund, words[-1])

    assert balances(db, tenant) == BEFORE
    assert desk.row("payment_attempts", refund["payment_attempt_id"])["amount_refunded"] == 0
    assert not {"surplus-payment", "refunded-and-disputed"} & listed(db)
    assert broken_invariants(db) == {}


def test_two_lost_disputes_cover_no_more_of_a_surplus_than_came(db, desk, tenant, paid) -> None:
    refund = late_capture(desk)
    attempt_id = refund["payment_attempt_id"]
    desk.dispute(attempt_id, "lost", amount=1500)
    desk.say(refund, "failed")
    assert balances(db, tenant)["surplus USD"] == -1000
    desk.dispute(attempt_id, "lost", gateway_dispute_id="dp_2", amount=1500)

    covered = db.execute("select sum(covered_amount) as amount from disputes").fetchone()
    assert covered["amount"] == 2500
    assert balances(db, tenant) == BEFORE | {"gateway USD": 2000, "dispute_losses USD": 500}
    assert listed(db) >= {"refunded-and-disputed"}
    assert broken_invariants(db) == {}


def test_every_step_of_a_dispute_that_is_not_listed_is_refused(db, desk, paid) -> None:
    desk.dispute(paid["payment_attempt_id"], "opened")
    steps = db.execute("select before, after from dispute_steps").fetchall()
    legal = {(step["before"], step["after"]) for step in steps}
    states = {state for step in legal for state in step}
    change = (
        "update disputes set status = %(to)s, closed_at = case when %(to)s in ('won', 'lost')"
        " then clock_now() end"
    )
    refused = 0
    for before in states:
        for after in states - {before}:
            if (before, after) in legal:
                continue
            db.execute("set local session_replication_role = replica")
            db.execute(change, {"to": before})
            db.execute("set local session_replication_role = origin")
            with pytest.raises(psycopg.Error, match="may not go from"), db.transaction():
                db.execute(change, {"to": after})
            refused += 1
    assert refused == 4 * 3 - len(legal)
