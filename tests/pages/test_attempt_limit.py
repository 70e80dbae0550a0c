"""A page's few attempts are all that an order has, whoever wants to begin another one."""

from typing import Any

import psycopg
import pytest
from books import broken_invariants

from app.errors import AttemptsExhaustedError, from_database

from .conftest import Counter

NAMED = ("razorpay", "payu")


def fail(counter: Counter, row: dict[str, Any]) -> None:
    counter.hear(row, "failed", decline_class="soft")
    counter.later(1)


def named(counter: Counter, gateway: str = "payu", **changes: Any) -> dict[str, Any]:
    """Ask for a gateway's page as a shop does that names the gateway: its own page comes first."""
    counter.open_page(**changes)
    return counter.ask(metadata={}, gateway=gateway, **changes)


def refuses(counter: Counter, **changes: Any) -> Exception | None:
    with pytest.raises(psycopg.Error) as failure, counter.db.transaction():
        named(counter, **changes)
    return from_database(str(failure.value.diag.message_primary))


def test_who_names_a_gateway_has_as_many_attempts_as_the_page(db, counter: Counter) -> None:
    for number in range(5):
        fail(counter, named(counter, NAMED[number % 2]))

    assert isinstance(refuses(counter), AttemptsExhaustedError)
    assert isinstance(refuses(counter, gateway="razorpay"), AttemptsExhaustedError)
    (row,) = db.execute("select count(*) as n from payment_attempts").fetchall()
    assert row["n"] == 5
    assert broken_invariants(db) == {}


def test_attempts_on_the_page_and_by_name_are_counted_together(counter: Counter) -> None:
    page = counter.open_page()
    for _ in range(3):
        fail(counter, counter.choose(page))
    for _ in range(2):
        fail(counter, named(counter))

    assert isinstance(refuses(counter), AttemptsExhaustedError)


def test_the_last_attempt_is_answered_again_while_it_is_open(counter: Counter) -> None:
    for _ in range(4):
        fail(counter, named(counter))
    last = named(counter)

    assert named(counter)["payment_attempt_id"] == last["payment_attempt_id"]


def test_a_shop_may_allow_more(db, counter: Counter) -> None:
    for _ in range(5):
        fail(counter, named(counter))
    db.execute("update payment_pages set attempts_max = 6")

    assert named(counter)["payment_attempt_status"] == "created"


def test_another_order_is_not_refused(counter: Counter) -> None:
    for _ in range(5):
        fail(counter, named(counter))

    assert named(counter, reference="BK-18")["payment_attempt_status"] == "created"
