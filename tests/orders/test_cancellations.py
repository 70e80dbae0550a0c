"""What is called off is owed no more, takes no new attempt, and is held by nobody."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest
from books import Connection, broken_invariants
from money_back import listed, told

from .conftest import Office
from .test_called_off import BOOKING, PAGE, at, choose, connect, platform, refusal
from .test_order_events import CANCELLED, READY, TERMS, hear, save_card, the


def cancel(office: Office, row: dict[str, Any], **session: str | None) -> dict[str, Any]:
    asking = office.acting(**session) if session else office
    (payment,) = asking.call("cancel_payment", payment_intent_id=row["payment_intent_id"])
    return payment


def opened(office: Office, capture_method: str | None = None) -> dict[str, Any]:
    """An order whose payer is on the gateway's page."""
    row = office.ask(**BOOKING, capture_method=capture_method)
    office.record(row["payment_attempt_id"], "order_1")
    return row


def held(office: Office) -> dict[str, Any]:
    row = opened(office, "manual")
    assert office.hear(row, "authorized")["status"] == "applied"
    return row


def shipper(db: Connection, office: Office) -> dict[str, str]:
    (row,) = db.execute(
        "select user_id from customers where organization_id = %s", [office.organization_id]
    ).fetchall()
    return {"actor_role": "customer", "user_id": row["user_id"]}


def statuses(db: Connection) -> tuple[str, list[str]]:
    attempts = db.execute("select status from payment_attempts order by created_at").fetchall()
    return the(db, "select status from payment_intents"), [row["status"] for row in attempts]


def test_a_payment_is_canceled_at_once_whatever_its_gateway_says(db, office: Office) -> None:
    row = opened(office)
    db.execute("update payment_attempts set checks = 7, next_check_at = null")
    assert cancel(office, row)["status"] == "canceled"

    assert statuses(db) == ("canceled", ["pending"])
    assert told(db, row["payment_intent_id"]) == ["payment.initiated", "payment.canceled"]
    # The janitor tells the gateway soon, whoever died before doing so.
    assert office.call("claim_payment_checks", limit=5) == []
    db.execute("update clock set skew_seconds = skew_seconds + 30")
    (due,) = office.call("claim_payment_checks", limit=5)
    assert due["id"] == row["payment_attempt_id"]


def test_a_payment_that_is_canceled_again_is_told_of_once(db, office: Office) -> None:
    row = opened(office)
    first, second = cancel(office, row), cancel(office, row)

    assert first == second
    assert told(db, row["payment_intent_id"]) == ["payment.initiated", "payment.canceled"]


def test_the_page_of_a_payment_that_is_canceled_takes_no_attempt(db, office: Office) -> None:
    (page,) = office.call("open_payment_page", **PAGE)
    cancel(office, page)

    (page,) = office.call("open_payment_page", **PAGE)
    assert page["status"] == "canceled"
    assert choose(office, page) == []
    (event,) = db.execute("select data from events where type = 'payment.canceled'").fetchall()
    assert (event["data"]["amount"], event["data"]["payment_attempt_id"]) == (4200, None)
    assert refusal(lambda: office.ask(**BOOKING)) == "checkout-expired"


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_page_that_nobody_has_seen_is_shown_to_nobody(db, office: Office, is_silent) -> None:
    row = office.ask(**BOOKING)
    if is_silent:
        office.call(
            "mark_payment_unknown",
            payment_attempt_id=row["payment_attempt_id"],
            failure_message="no answer",
        )
    cancel(office, row)

    assert statuses(db) == ("canceled", ["expired"])
    assert refusal(lambda: office.record(row["payment_attempt_id"], "order_1")) == (
        "checkout-expired"
    )


def test_a_page_that_is_open_is_shown_no_more(db, office: Office) -> None:
    row = opened(office)
    cancel(office, row)

    assert refusal(lambda: office.record(row["payment_attempt_id"], "order_1")) == (
        "checkout-expired"
    )


def test_what_is_paid_after_all_goes_back(db, office: Office) -> None:
    row = opened(office)
    cancel(office, row)
    office.hear(row, "paid")

    assert statuses(db) == ("canceled", ["captured"])
    assert db.execute("select amount, reason from refunds").fetchall() == [
        {"amount": 4200, "reason": "surplus"}
    ]
    assert broken_invariants(db) == {}


def test_a_payer_who_was_faster_has_paid(db, office: Office) -> None:
    row = opened(office)
    office.hear(row, "paid")

    assert cancel(office, row)["status"] == "paid"
    assert statuses(db) == ("paid", ["captured"])
    assert "payment.canceled" not in told(db, row["payment_intent_id"])


def test_a_customer_gives_up_what_is_theirs_and_not_held(db, office: Office) -> None:
    row = opened(office)
    cancel(office, row, **shipper(db, office))

    assert statuses(db)[0] == "canceled"


@pytest.mark.parametrize("role", ["customer", "operator"])
def test_only_the_organisation_lets_go_of_what_is_held(db, office: Office, role: str) -> None:
    row = held(office)
    session = shipper(db, office) if role == "customer" else {"actor_role": role}
    with pytest.raises(psycopg.Error, match="forbidden: "), db.transaction():
        cancel(office, row, **session)

    assert statuses(db) == ("authorized", ["authorized"])
    cancel(office, row, actor_role="finance")
    assert statuses(db) == ("canceled", ["authorized"])


@pytest.mark.parametrize("role", ["viewer", "developer", "dispatcher"])
def test_others_cancel_nothing(db, office: Office, role: str) -> None:
    row = opened(office)

    with pytest.raises(psycopg.Error, match="forbidden: "), db.transaction():
        cancel(office, row, actor_role=role)


def test_another_organisations_payment_is_not_there_to_cancel(
    db, office: Office, other_office
) -> None:
    row = opened(office)

    with pytest.raises(psycopg.Error, match="not-found: "), db.transaction():
        cancel(other_office, row, actor_role="finance")


@pytest.mark.parametrize("is_begun", [True, False])
def test_nothing_is_captured_of_an_order_that_is_called_off(db, office, is_begun: bool) -> None:
    row = held(office)
    asked = {"payment_intent_id": row["payment_intent_id"], "amount": 1000}
    if is_begun:
        office.call("begin_capture", **asked)
    hear(office, CANCELLED)

    assert statuses(db) == ("canceled", ["authorized"])
    with pytest.raises(psycopg.Error, match=r"not-capturable: .* called off"), db.transaction():
        office.call("begin_capture", **asked)
    db.execute("update clock set skew_seconds = skew_seconds + 30")
    (due,) = office.call("claim_payment_checks", limit=5)
    assert due["id"] == row["payment_attempt_id"]


def test_a_capture_that_was_told_before_the_order_was_called_off_goes_back(db, office) -> None:
    row = held(office)
    office.call("begin_capture", payment_intent_id=row["payment_intent_id"], amount=1000)
    hear(office, CANCELLED)
    office.hear(row, "paid", captured_amount=1000)

    assert db.execute("select amount, reason from refunds").fetchall() == [
        {"amount": 1000, "reason": "surplus"}
    ]
    assert broken_invariants(db) == {}


def test_what_a_gateway_holds_on_is_listed_until_it_has_let_go(db, office: Office) -> None:
    row = held(office)
    asked = {"payment_attempt_id": row["payment_attempt_id"]}
    assert office.call("list_held_payment", **asked) == []
    assert listed(db) == set()

    hear(office, CANCELLED)
    for _ in range(2):
        assert len(office.call("list_held_payment", **asked)) == 1
    assert listed(db) == {"hold-not-released"}
    office.hear(row, "expired")
    assert listed(db) == set()
    assert office.call("list_held_payment", **asked) == []
    assert statuses(db) == ("canceled", ["expired"])


def test_what_is_held_too_late_is_released_at_the_next_tick(db, office: Office) -> None:
    row = opened(office, "manual")
    cancel(office, row)
    db.execute("update payment_attempts set next_check_at = clock_now() + interval '1 day'")
    office.hear(row, "authorized")

    assert statuses(db) == ("canceled", ["authorized"])
    assert len(office.call("claim_payment_checks", limit=5)) == 1


def test_a_saved_card_is_charged_as_its_order_says(db, office: Office) -> None:
    office.call("open_payment_page", **PAGE, capture_method="manual")
    save_card(db, office)
    (charge,) = hear(office, READY, **TERMS)

    assert charge["capture_method"] == "manual"
    office.tell(
        subject="payment",
        outcome="authorized",
        payment_attempt_id=str(charge["id"]),
        gateway_payment_id="pi_1",
        amount=4200,
        currency="INR",
    )
    assert statuses(db) == ("authorized", ["authorized"])


@pytest.mark.thorough
def test_what_is_canceled_paid_and_captured_at_once_ends_in_one_state(database: str) -> None:
    office = platform(database)
    with connect(database) as db:
        row = held(at(db, office))
    barrier = Barrier(16)

    def work(number: int) -> str:
        with connect(database) as db:
            mine = at(db, office)
            barrier.wait()
            try:
                if number % 4 == 0:
                    cancel(mine, row)
                elif number % 4 == 1:
                    asked = {"payment_intent_id": row["payment_intent_id"], "amount": None}
                    mine.call("begin_capture", **asked)
                elif number % 4 == 2:
                    mine.hear(row, "paid", event_id=f"evt-{number % 8}")
                else:
                    hear(mine, CANCELLED, event_id=f"off-{number % 8}")
            except psycopg.DataError as failure:
                return str(failure.diag.message_primary).partition(":")[0]
            return "done"

    with ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(work, range(16)))
    with connect(database) as db:
        assert answers <= {"done", "not-capturable"}
        assert statuses(db)[1] == ["captured"]
        # Paid first and canceled by the bus, or canceled first: all of it goes back, once.
        assert db.execute("select amount from refunds").fetchall() == [{"amount": 4200}]
        assert broken_invariants(db) == {}
