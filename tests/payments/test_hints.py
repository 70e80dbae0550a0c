"""A message that proves nothing has its gateway asked, and nothing else is booked of it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from books import Connection, broken_invariants
from money_back import Desk, balances, listed

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def advance(db: Connection, by: timedelta) -> None:
    db.execute("update clock set skew_seconds = skew_seconds + %s", [by.total_seconds()])


@pytest.fixture
def desk(db: Connection, tenant: Any) -> Desk:
    return Desk(db, tenant.session)


def hint(desk: Desk, attempt: object, **changes: Any) -> dict[str, Any]:
    return desk.receive(attempt, "hint", gateway_payment_id="pi_1", **changes)


def claim(desk: Desk, attempt: object) -> list[Any]:
    found = desk.call("claim_hinted_check", payment_attempt_id=attempt)
    return [row["id"] for row in found]


def due(desk: Desk) -> list[Any]:
    return [row["id"] for row in desk.call("claim_payment_checks", limit=10)]


def next_check_at(desk: Desk, attempt: object) -> datetime | None:
    """Return when it is asked about next, as who claimed it just now was told."""
    moment: datetime | None = desk.row("payment_attempts", attempt)["next_check_at"]
    return moment


def test_a_hint_books_nothing_and_has_the_gateway_asked_now(db, desk) -> None:
    attempt = desk.open()["payment_attempt_id"]
    event = hint(desk, attempt)

    assert (event["status"], event["reason"]) == ("ignored", "a hint that is followed")
    assert event["payment_attempt_id"] == attempt
    assert desk.row("payment_attempts", attempt)["status"] == "created"
    assert due(desk) == [attempt]
    assert broken_invariants(db) == {}


def test_whoever_took_the_hint_in_asks_once_and_the_cron_a_minute_later(db, desk) -> None:
    attempt = desk.open()["payment_attempt_id"]
    hint(desk, attempt, event_id="hint:1")

    assert claim(desk, attempt) == [attempt]
    hint(desk, attempt, event_id="hint:1")  # the same one again
    assert (claim(desk, attempt), due(desk)) == ([], [])
    advance(db, MINUTE)
    assert due(desk) == [attempt]


def test_what_nobody_hinted_at_is_not_claimed(desk) -> None:
    assert claim(desk, desk.open()["payment_attempt_id"]) == []


def test_a_hint_of_the_other_mode_asks_nobody(desk) -> None:
    attempt = desk.open()["payment_attempt_id"]
    hint(desk, attempt)

    assert claim(desk.acting(livemode="true"), attempt) == []
    assert claim(desk, attempt) == [attempt]


@pytest.mark.parametrize("outcome", ["failed", "expired", "canceled", "authorized"])
def test_what_ended_without_money_is_asked_about_again(db, desk, outcome) -> None:
    attempt = desk.open()["payment_attempt_id"]
    desk.receive(attempt, outcome)
    for _ in range(12):
        advance(db, DAY)
        due(desk)
    hint(desk, attempt)

    assert claim(desk, attempt) == [attempt]


@pytest.mark.parametrize("takes_several", [False, True])
def test_of_what_is_captured_nobody_is_asked_before_its_page_has_closed(
    db, desk, takes_several
) -> None:
    attempt = desk.open()["payment_attempt_id"]
    desk.record(attempt, takes_several=takes_several)
    desk.receive(attempt)
    event = hint(desk, attempt)
    assert (event["reason"], claim(desk, attempt)) == ("a hint without effect", [])

    advance(db, 2 * DAY)
    ends = {"payment_attempt_id": attempt, "is_undecided": False}
    assert bool(due(desk)) is takes_several
    desk.call("end_page_check", **ends, next_check_at=next_check_at(desk, attempt))
    hint(desk, attempt)
    assert bool(claim(desk, attempt)) is takes_several


def test_a_hint_while_a_closed_page_is_asked_about_has_it_asked_about_again(db, desk) -> None:
    attempt = desk.open()["payment_attempt_id"]
    desk.record(attempt, takes_several=True)
    desk.receive(attempt)
    advance(db, 2 * DAY)
    assert due(desk) == [attempt]
    before = next_check_at(desk, attempt)
    event = hint(desk, attempt)
    ends = {"payment_attempt_id": attempt, "is_undecided": False}

    assert event["reason"] == "a hint that is followed"
    assert desk.call("end_page_check", **ends, next_check_at=before) == []
    assert claim(desk, attempt) == [attempt]
    assert desk.call("end_page_check", **ends, next_check_at=next_check_at(desk, attempt))
    assert next_check_at(desk, attempt) is None


def test_a_hint_at_nobodys_payment_is_listed_and_holds_no_money(db, desk, tenant) -> None:
    event = hint(desk, None, gateway_session_id="cs_of_nobody")

    assert (event["status"], listed(db)) == ("parked", {"unmatched-payment"})
    assert balances(db, tenant) == {}


def test_a_look_up_that_says_nothing_known_asks_for_no_other(desk) -> None:
    attempt = desk.open()["payment_attempt_id"]
    desk.receive(attempt, "unknown", type="look-up")

    assert (claim(desk, attempt), due(desk)) == ([], [])


def refund_hint(desk: Desk, refund: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return desk.say(refund, "hint", gateway_refund_id=None, **changes)


def refunds_due(desk: Desk) -> list[Any]:
    return [row["id"] for row in desk.call("claim_refund_checks", limit=10)]


def test_a_refunds_hint_brings_its_question_forward_and_settles_nothing(db, desk) -> None:
    refund = desk.refund(desk.paid()["payment_intent_id"])
    desk.say(refund, "pending")
    assert refunds_due(desk) == []
    event = refund_hint(desk, refund)

    assert (event["status"], event["reason"]) == ("ignored", "a hint that is followed")
    assert desk.row("refunds", refund["id"])["status"] == "pending"
    assert refunds_due(desk) == [refund["id"]]
    assert broken_invariants(db) == {}


def test_hints_do_not_use_up_the_questions_about_a_refund(db, desk) -> None:
    refund = desk.refund(desk.paid()["payment_intent_id"])
    desk.say(refund, "pending")
    for _ in range(30):
        refund_hint(desk, refund)
        assert refunds_due(desk) == [refund["id"]]
        db.execute("update clock set skew_seconds = skew_seconds + 300")

    assert desk.row("refunds", refund["id"])["next_check_at"] is not None
    assert listed(db) == set()


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_hint_at_a_refund_that_has_ended_asks_nobody(desk, outcome) -> None:
    refund = desk.refund(desk.paid()["payment_intent_id"])
    desk.say(refund, outcome)
    event = refund_hint(desk, refund)

    assert (event["reason"], refunds_due(desk)) == ("a hint without effect", [])


def console_hint(desk: Desk, attempt: object, **changes: Any) -> dict[str, Any]:
    """A message about a refund that somebody made at the gateway's own pages, or made up."""
    said = {
        "subject": "refund",
        "outcome": "hint",
        "gateway_payment_id": f"pi_{attempt}",
        "gateway_refund_id": "console-1",
        "amount": 1000,
        "currency": "USD",
    }
    return desk.tell(**(said | changes))


def searched(desk: Desk) -> list[Any]:
    return [row["id"] for row in desk.call("claim_refund_searches", limit=10)]


def test_hints_at_a_refund_that_is_not_ours_have_all_of_its_payment_asked_for(
    db, desk, tenant
) -> None:
    attempt = desk.paid()["payment_attempt_id"]
    before = balances(db, tenant)
    for number in range(5):
        event = console_hint(desk, attempt, gateway_refund_id=f"console-{number}" * 100)
        assert event["status"] == "ignored"
        assert event["reason"] == "a hint that is followed"

    assert searched(desk) == [attempt]
    assert searched(desk) == []
    assert db.execute("select from refunds").fetchall() == []
    assert (listed(db), balances(db, tenant)) == (set(), before)
    assert broken_invariants(db) == {}


@pytest.mark.parametrize(
    "changes", [{"failure_code": "failure"}, {"gateway_payment_id": "no-such"}]
)
def test_a_refund_that_came_to_nothing_or_is_of_nobodys_payment_is_not_looked_for(
    desk, changes
) -> None:
    event = console_hint(desk, desk.paid()["payment_attempt_id"], **changes)

    assert (event["reason"], searched(desk)) == ("a hint without effect", [])


def test_a_refund_of_what_is_not_captured_is_not_looked_for(desk) -> None:
    attempt = desk.open()["payment_attempt_id"]
    console_hint(desk, attempt, payment_attempt_id=str(attempt))

    assert searched(desk) == []


@pytest.mark.parametrize("named", ["refund_id", "gateway_refund_id"])
def test_a_hint_at_a_refund_of_ours_looks_for_no_other(desk, named) -> None:
    paid = desk.paid()
    refund = desk.refund(paid["payment_intent_id"])
    desk.say(refund, "succeeded", gateway_refund_id="console-1")
    by_id = {"refund_id": str(refund["id"]), "gateway_refund_id": None}
    console_hint(desk, paid["payment_attempt_id"], **(by_id if named == "refund_id" else {}))

    assert searched(desk) == []


def test_a_hint_at_nobodys_refund_is_kept_and_no_more(db, desk) -> None:
    event = desk.tell(subject="refund", outcome="hint", gateway_payment_id="no-such")

    assert (event["status"], event["reason"]) == ("ignored", "a hint without effect")
    assert listed(db) == set()


def test_hints_at_disputes_list_a_payment_once_until_the_gateway_tells(db, desk, tenant) -> None:
    attempt = desk.paid()["payment_attempt_id"]
    before = balances(db, tenant)
    for number in range(5):
        desk.dispute(attempt, "hint", gateway_dispute_id=f"made-up-{number}" * 100)
    (row,) = db.execute("select * from exceptions").fetchall()

    assert (row["class"], row["object_id"]) == ("unconfirmed-dispute", attempt)
    assert (row["amount"], len(row["detail"]) < 200) == (2500, True)
    assert db.execute("select from disputes").fetchall() == []
    assert balances(db, tenant) == before

    desk.dispute(attempt, "opened")
    assert listed(db) == set()
    desk.dispute(attempt, "hint")  # at the one that is known now
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_a_dispute_of_what_was_never_captured_is_not_listed(db, desk) -> None:
    attempt = desk.open()["payment_attempt_id"]
    desk.dispute(attempt, "hint", gateway_payment_id=None, payment_attempt_id=str(attempt))
    desk.dispute(attempt, "hint", gateway_payment_id="no-such")

    assert listed(db) == set()
