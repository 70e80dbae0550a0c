"""A gateway that was asked for its page and stayed silent holds nobody: nobody saw that page."""

from typing import Any

import psycopg
import pytest
from books import Connection, broken_invariants

from .conftest import Counter
from .test_payment_pages import count, refused, refuses


def silent(counter: Counter, attempt: dict[str, Any]) -> None:
    """The gateway was asked for its page, and gave no answer."""
    counter.call(
        "mark_payment_unknown",
        payment_attempt_id=attempt["payment_attempt_id"],
        failure_message="no answer",
    )


def statuses(db: Connection) -> list[tuple[str, str]]:
    rows = db.execute("select gateway, status from payment_attempts order by created_at").fetchall()
    return [(row["gateway"], row["status"]) for row in rows]


@pytest.mark.parametrize("method", ["card", "netbanking"])
def test_a_silent_gateway_makes_room_for_another_at_once(db, counter, method: str) -> None:
    page = counter.open_page()
    first = counter.choose(page)
    silent(counter, first)
    counter.later(1)
    second = counter.choose(page, method)

    assert (first["gateway"], second["gateway"]) == ("razorpay", "payu")
    assert statuses(db) == [("razorpay", "expired"), ("payu", "created")]
    assert counter.state(page)["status"] == "pending"
    assert broken_invariants(db) == {}


def test_a_silent_gateway_is_asked_again_where_there_is_no_other(db, counter: Counter) -> None:
    page = counter.open_page()
    first = counter.choose(page, gateways=["razorpay"])
    silent(counter, first)
    counter.later(1)

    again = counter.choose(page, gateways=["razorpay"])
    assert again["payment_attempt_id"] == first["payment_attempt_id"]
    other = counter.choose(page, "netbanking", gateways=["razorpay"])
    assert other["payment_attempt_id"] != first["payment_attempt_id"]
    assert statuses(db) == [("razorpay", "expired"), ("razorpay", "created")]


def test_a_page_that_comes_after_its_place_was_taken_is_never_shown(db, counter: Counter) -> None:
    page = counter.open_page()
    first = counter.choose(page)
    silent(counter, first)
    counter.later(1)
    second = counter.choose(page)

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        counter.record(first["payment_attempt_id"], "order_late")
    assert refused(failure) == "payment-in-progress"
    counter.record(second["payment_attempt_id"], "order_2")
    assert counter.state(page)["gateway_session_id"] == "order_2"


@pytest.mark.parametrize("status", ["unknown", "pending"])
def test_a_page_that_somebody_may_have_seen_keeps_its_place(db, counter, status: str) -> None:
    page = counter.open_page()
    first = counter.choose(page)
    if status == "unknown":
        silent(counter, first)
    counter.record(first["payment_attempt_id"], "order_1")
    db.execute("alter table payment_attempts disable trigger user")
    db.execute("update payment_attempts set status = %s", [status])
    counter.later(120)

    assert refuses(counter, page, "upi") == "payment-in-progress"
    assert counter.choose(page)["payment_attempt_id"] == first["payment_attempt_id"]


def test_who_turned_back_before_the_gateway_was_asked_may_choose_anew(db, counter) -> None:
    page = counter.open_page()
    counter.choose(page)
    assert refuses(counter, page, "upi") == "payment-in-progress"
    counter.later(61)

    assert counter.choose(page, "upi")["method"] == "upi"
    assert [status for _, status in statuses(db)] == ["expired", "created"]


@pytest.mark.parametrize("is_first", [True, False])
def test_what_a_silent_gateway_took_after_all_is_booked(db, counter, is_first: bool) -> None:
    page = counter.open_page()
    first = counter.choose(page)
    silent(counter, first)
    counter.later(1)
    second = counter.choose(page)
    for row in (first, second) if is_first else (second, first):
        counter.hear(row, "paid")

    rows = db.execute(
        "select gateway, status, is_surplus from payment_attempts order by created_at"
    ).fetchall()
    assert [row["status"] for row in rows] == ["captured", "captured"]
    assert [row["is_surplus"] for row in rows] == [not is_first, is_first]
    assert count(db, "refunds") == 1
    assert counter.state(page)["status"] == "paid"
    assert broken_invariants(db) == {}


def test_a_payer_of_a_silent_gateway_has_only_so_many_attempts(db, counter: Counter) -> None:
    page = counter.open_page()
    for number in range(5):
        silent(counter, counter.choose(page, "card" if number % 2 else "upi"))
        counter.later(1)

    assert refuses(counter, page, "card") == "attempts-exhausted"
    assert count(db, "payment_attempts") == 5
