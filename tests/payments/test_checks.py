"""What has not ended is asked about, on a schedule, until it has ended or a person must look."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from books import Connection, Money, Tenant, broken_invariants, settle
from psycopg.rows import dict_row

DAY = timedelta(days=1)
WAITS = [
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    *[timedelta(hours=20)] * 7,
]


CLOSED = timedelta(minutes=16)  # after a page has closed, nobody is paying on it any more
BELIEVED = timedelta(hours=25)  # after it began, who knows nothing of it is right


def advance(db: Connection, by: timedelta) -> None:
    db.execute("update clock set skew_seconds = skew_seconds + %s", [by.total_seconds()])


def page_is_open(db: Connection, until: timedelta) -> None:
    db.execute("update checkout_sessions set expires_at = created_at + %s", [until])


def claim(money: Money, limit: int = 10) -> list[dict[str, Any]]:
    return money.call("claim_payment_checks", limit=limit)


def look_up(money: Money, attempt_id: object, outcome: str, number: int = 0) -> dict[str, Any]:
    return money.receive(attempt_id, outcome, event_id=f"look-up:{number}", type="look-up")


def listed(db: Connection) -> list[dict[str, Any]]:
    return db.execute(
        "select class, amount, currency, detail from exceptions where resolved_at is null"
    ).fetchall()


def test_an_attempt_is_asked_about_on_the_schedule_and_then_listed(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    page_is_open(db, until=sum(WAITS, 100 * DAY))
    look_up(money, attempt, "requires_action")

    for number, wait in enumerate(WAITS):
        advance(db, wait - timedelta(seconds=1))
        assert claim(money) == [], f"too early at {number}"
        advance(db, timedelta(seconds=1))
        (claimed,) = claim(money)
        assert (claimed["id"], claimed["checks"]) == (attempt, number + 1)
        assert claim(money) == []  # it is put off before it is asked about

    (exception,) = listed(db)
    assert exception["class"] == "payment-unresolved"
    assert (exception["amount"], exception["currency"]) == (2500, "USD")
    assert exception["detail"].startswith("pending since 20")
    advance(db, 30 * DAY)
    assert claim(money) == []
    assert broken_invariants(db) == {}


def test_an_attempt_is_asked_about_when_its_page_has_closed(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    page_is_open(db, until=timedelta(hours=1))
    look_up(money, attempt, "requires_action")
    for wait in WAITS[:3]:
        advance(db, wait)
        claim(money)

    advance(db, timedelta(hours=1) + CLOSED - sum(WAITS[:3], timedelta()) - timedelta(seconds=1))
    (early,) = claim(money)  # an hour after the third time, by the schedule
    assert early["checks"] == 4
    advance(db, timedelta(seconds=1))
    (closed,) = claim(money)
    assert (closed["id"], closed["checks"]) == (attempt, 5)
    advance(db, WAITS[-1] - timedelta(seconds=1))
    assert claim(money) == []
    advance(db, timedelta(seconds=1))
    (later,) = claim(money)
    assert later["checks"] == 6


@pytest.mark.parametrize("is_silent", [False, True], ids=["answered", "unanswered"])
def test_an_attempt_that_no_gateway_knows_is_asked_about_when_that_is_believed(
    db, money, is_silent
) -> None:
    attempt = money.open()["payment_attempt_id"]
    page_is_open(db, until=timedelta(hours=23, minutes=30))
    if is_silent:
        money.call("mark_payment_unknown", payment_attempt_id=attempt, failure_message="no answer")
    for wait in WAITS[:5]:
        advance(db, wait)
        claim(money)
    asked = sum(WAITS[:5], timedelta())

    closed = timedelta(hours=23, minutes=30) + CLOSED
    advance(db, closed - asked)
    (early,) = claim(money)
    assert look_up(money, early["id"], "not_found", 1)["status"] == "ignored"
    advance(db, BELIEVED - closed - timedelta(seconds=1))
    assert claim(money) == []
    advance(db, timedelta(seconds=1))
    (late,) = claim(money)
    assert look_up(money, late["id"], "not_found", 2)["status"] == "applied"


def test_what_was_given_up_and_is_open_again_is_asked_about_or_listed(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    for _ in range(10):
        advance(db, DAY)
        claim(money)
    money.receive(attempt, "failed")
    for _ in range(10):
        advance(db, DAY)
        claim(money)
    assert listed(db) == []

    money.receive(attempt, "processing")
    asked = []
    for _ in range(10):
        advance(db, DAY)
        asked += [row["status"] for row in claim(money)]
    assert asked == ["processing"] * 9  # an hour, six hours, and seven times twenty
    assert [row["class"] for row in listed(db)] == ["payment-unresolved"]


def test_what_is_listed_is_taken_off_when_it_ends_after_all(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    for wait in WAITS:
        advance(db, wait)
        claim(money)
    assert len(listed(db)) == 1

    assert look_up(money, attempt, "paid")["status"] == "applied"
    assert listed(db) == []
    assert broken_invariants(db) == {}


def test_what_is_paid_is_not_asked_about(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    money.receive(attempt, "paid")
    advance(db, DAY)

    assert claim(money) == []


@pytest.mark.parametrize("outcome", ["failed", "expired", "canceled"])
def test_what_ended_without_money_is_asked_about_for_two_days_more(db, money, outcome) -> None:
    """A bank may say yes after all, and the gateway's message of it be lost."""
    attempt = money.open()["payment_attempt_id"]
    money.receive(attempt, outcome)

    waits = []
    for _ in range(72):
        advance(db, timedelta(hours=1))
        waits.append([row["id"] for row in claim(money)])
    assert [hour for hour, found in enumerate(waits, start=1) if found] == [6, 26, 46]
    assert listed(db) == []
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("days", [1, 9])
def test_what_ended_late_is_asked_about_as_often_after_its_end(db, money, days) -> None:
    """Money may be on its way for days before it fails, and the bank say yes after that."""
    attempt = money.open()["payment_attempt_id"]
    money.receive(attempt, "processing")
    for _ in range(days):
        advance(db, DAY)
        claim(money)
    money.receive(attempt, "failed")

    waits = []
    for _ in range(72):
        advance(db, timedelta(hours=1))
        waits.append([row["id"] for row in claim(money)])
    assert [hour for hour, found in enumerate(waits, start=1) if found] == [6, 26, 46]
    assert broken_invariants(db) == {}


def test_money_that_came_late_and_unannounced_is_found_and_booked(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    money.receive(attempt, "failed")
    advance(db, timedelta(hours=6))
    (claimed,) = claim(money)

    assert look_up(money, claimed["id"], "paid")["status"] == "applied"
    (late,) = db.execute("select status, next_check_at from payment_attempts").fetchall()
    assert late == {"status": "captured", "next_check_at": None}
    assert broken_invariants(db) == {}


def test_a_question_without_an_answer_does_not_count_and_is_asked_again_in_half_an_hour(
    db, money
) -> None:
    attempt = money.open()["payment_attempt_id"]
    for wait in WAITS[:4]:
        advance(db, wait)
        claim(money)
    (again,) = money.call("ask_payments_again", payment_attempt_ids=[str(attempt)])
    assert again["checks"] == 3

    advance(db, timedelta(minutes=29))
    assert claim(money) == []
    advance(db, timedelta(minutes=1))
    assert [row["checks"] for row in claim(money)] == [4]


def test_a_gateway_that_is_silent_for_a_week_does_not_keep_an_attempt_off_the_list(
    db, money
) -> None:
    attempt = money.open()["payment_attempt_id"]
    for _ in range(24 * 20):
        advance(db, timedelta(hours=1))
        if claim(money):
            money.call("ask_payments_again", payment_attempt_ids=[str(attempt)])

    (exception,) = listed(db)
    assert exception["class"] == "payment-unresolved"
    assert broken_invariants(db) == {}


def test_early_questions_keep_their_times_without_an_answer(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    advance(db, WAITS[0])
    claim(money)

    assert money.call("ask_payments_again", payment_attempt_ids=[str(attempt)]) == []
    advance(db, WAITS[1])
    assert [row["checks"] for row in claim(money)] == [2]


def test_what_is_processing_goes_on_being_asked_about(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    money.receive(attempt, "processing")
    advance(db, DAY)

    assert [row["status"] for row in claim(money)] == ["processing"]


def test_an_attempt_of_the_other_mode_is_left_alone(db, money, tenant) -> None:
    money.open()
    advance(db, DAY)
    live = Money(db, tenant.session | {"x-hasura-livemode": "true"})

    assert claim(live) == []
    assert len(claim(money)) == 1


def test_no_answer_is_unknown_and_never_overwrites_what_is_known(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    said = {"payment_attempt_id": attempt, "failure_message": "no answer"}
    (silent,) = money.call("mark_payment_unknown", **said)
    assert (silent["status"], silent["failure_message"]) == ("unknown", "no answer")

    money.receive(attempt)
    (paid,) = money.call("mark_payment_unknown", **said)
    assert (paid["status"], paid["failure_message"]) == ("captured", None)


def test_an_unknown_attempt_still_gets_its_page(db, money) -> None:
    row = money.open()
    money.call(
        "mark_payment_unknown",
        payment_attempt_id=row["payment_attempt_id"],
        failure_message="no answer",
    )
    money.record(row["payment_attempt_id"])

    assert money.open()["url"] == "https://pay.example/cs_1"
    (state,) = db.execute("select status from payment_attempts").fetchall()
    assert state["status"] == "pending"


def test_not_found_is_believed_a_day_later_and_no_sooner(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    advance(db, timedelta(hours=24))
    early = look_up(money, attempt, "not_found", 1)
    assert (early["status"], early["reason"]) == ("ignored", "the gateway does not know it yet")

    advance(db, timedelta(hours=1))
    assert look_up(money, attempt, "not_found", 2)["status"] == "applied"
    (row,) = db.execute("select status from payment_attempts").fetchall()
    assert row["status"] == "expired"


def test_a_payment_that_lands_after_not_found_is_booked(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    advance(db, timedelta(hours=25))
    look_up(money, attempt, "not_found")
    money.receive(attempt)

    wallet = db.execute("select balance from credit_wallets").fetchone()
    assert wallet["balance"] == 250
    assert broken_invariants(db) == {}


def test_a_webhook_and_a_look_up_of_one_payment_grant_once(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    assert money.receive(attempt)["status"] == "applied"
    assert look_up(money, attempt, "paid")["status"] == "ignored"

    wallet = db.execute("select balance from credit_wallets").fetchone()
    assert wallet["balance"] == 250


ACTORS = {
    "the customer": ({"x-hasura-actor-role": "customer"}, True),
    "the service": ({}, True),
    "the back office": ({"x-hasura-actor-role": "operator"}, True),
    "finance": ({"x-hasura-actor-role": "finance"}, True),
    "finance of another organisation": (
        {
            "x-hasura-actor-role": "finance",
            "x-hasura-organization-id": "00000000-0000-0000-0000-000000000001",
        },
        False,
    ),
    "finance of no organisation": (
        {"x-hasura-actor-role": "finance", "x-hasura-organization-id": None},
        False,
    ),
    "the other mode": ({"x-hasura-livemode": "true"}, False),
}


@pytest.mark.parametrize("actor", ACTORS)
def test_who_may_verify_a_payment(db, money, tenant, actor) -> None:
    changes, may = ACTORS[actor]
    intent = money.open()["payment_intent_id"]
    told = tenant.session | {"x-hasura-organization-id": str(tenant.organization_id)} | changes
    session = {name: value for name, value in told.items() if value is not None}
    verify = Money(db, session)

    if may:
        assert len(verify.call("open_payment_attempts", payment_intent_id=intent)) == 1
    else:
        with pytest.raises(psycopg.Error, match="not-found: "), db.transaction():
            verify.call("open_payment_attempts", payment_intent_id=intent)


def test_another_customer_sees_no_payment_to_verify(db, money, tenant) -> None:
    intent = money.open()["payment_intent_id"]
    other = settle(db)
    session = other.session | {"x-hasura-actor-role": "customer"}

    with pytest.raises(psycopg.Error, match="not-found: "), db.transaction():
        Money(db, session).call("open_payment_attempts", payment_intent_id=intent)


def test_two_janitors_never_claim_the_same_attempt(database) -> None:
    with psycopg.connect(database, row_factory=dict_row) as db:
        tenant: Tenant = settle(db)
        for number in range(40):
            Money(db, tenant.session).open(key=f"key-{number}")
        advance(db, DAY)

    def work(_: int) -> list[Any]:
        claimed = []
        with psycopg.connect(database, row_factory=dict_row) as db:
            while rows := claim(Money(db, tenant.session), 3):
                claimed += [row["id"] for row in rows]
                db.commit()
        return claimed

    with ThreadPoolExecutor(8) as pool:
        claimed = [each for part in pool.map(work, range(8)) for each in part]
    assert len(claimed) == len(set(claimed)) == 40
