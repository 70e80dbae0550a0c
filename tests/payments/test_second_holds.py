"""What is held on a page beside its captured payment is listed, whoever told of it first."""

from itertools import permutations
from typing import Any

import psycopg
import pytest
from books import Connection, Money, broken_invariants, settle
from money_back import resolve_by_hand
from psycopg.rows import dict_row
from sides import Stage, at

PAID = ("paid", "pi_1")
HELD, HELD_TOO = ("authorized", "pi_2"), ("authorized", "pi_3")
GIVEN_UP = ("canceled", "pi_2")


def tell(money: Money, attempt: object, *messages: tuple[str, str]) -> None:
    for outcome, name in messages:
        money.receive(
            attempt, outcome, gateway_payment_id=name, event_id=f"{outcome}:{name}:{len(messages)}"
        )
    while money.call("apply_due_gateway_event"):
        pass


def duplicates(db: Connection) -> list[str]:
    rows = db.execute(
        "select notice ->> 'gateway_payment_id' as name from exceptions"
        " join gateway_events on gateway_events.id = object_id"
        " where class = 'duplicate-payment' and resolved_at is null order by 1"
    ).fetchall()
    assert broken_invariants(db) == {}
    return [row["name"] for row in rows]


def attempts(db: Connection) -> list[dict[str, Any]]:
    return db.execute("select status, gateway_payment_id from payment_attempts").fetchall()


@pytest.mark.parametrize("messages", list(permutations([PAID, HELD, HELD_TOO])))
def test_each_is_listed_in_any_order(db: Connection, money: Money, messages) -> None:
    tell(money, money.open()["payment_attempt_id"], *messages)

    assert attempts(db) == [{"status": "captured", "gateway_payment_id": "pi_1"}]
    assert duplicates(db) == ["pi_2", "pi_3"]


@pytest.mark.parametrize("messages", list(permutations([PAID, HELD, GIVEN_UP])))
def test_what_is_given_up_is_off_the_list_in_any_order(db, money: Money, messages) -> None:
    tell(money, money.open()["payment_attempt_id"], *messages)

    assert attempts(db) == [{"status": "captured", "gateway_payment_id": "pi_1"}]
    assert duplicates(db) == []


def test_the_same_hold_told_twice_is_one_thing_to_look_at(db, money: Money) -> None:
    attempt = money.open()["payment_attempt_id"]
    tell(money, attempt, PAID, HELD)
    tell(money, attempt, HELD)

    assert duplicates(db) == ["pi_2"]
    (first, second) = db.execute(
        "select status from gateway_events where notice ->> 'outcome' = 'authorized'"
        " order by status desc"
    ).fetchall()
    assert (first["status"], second["status"]) == ("parked", "ignored")


def test_a_hold_that_a_person_has_seen_is_not_listed_again(db, money: Money) -> None:
    attempt = money.open()["payment_attempt_id"]
    tell(money, attempt, PAID, HELD)
    resolve_by_hand(money, "duplicate-payment")
    tell(money, attempt, HELD)

    assert duplicates(db) == []


@pytest.mark.parametrize("messages", list(permutations([PAID, HELD, ("paid", "pi_2")])))
def test_what_is_taken_after_all_is_surplus_and_no_hold(db, money: Money, messages) -> None:
    tell(money, money.open()["payment_attempt_id"], *messages)

    assert duplicates(db) == []
    assert sorted(row["gateway_payment_id"] for row in attempts(db)) == ["pi_1", "pi_2"]


def test_a_hold_that_is_told_during_the_capture_of_the_other_one_is_listed(stage: Stage) -> None:
    with psycopg.connect(stage.url, row_factory=dict_row) as db:
        money = Money(db, settle(db).session)
        attempt = money.open()["payment_attempt_id"]
        money.record(attempt)
        money.receive(attempt, "authorized", gateway_payment_id="pi_1")
    capture, hold = stage.side(), stage.side()
    capture.do(lambda db: at(money, db).receive(attempt, gateway_payment_id="pi_1"))
    held = hold.begin(
        lambda db: at(money, db).receive(attempt, "authorized", gateway_payment_id="pi_2")
    )
    stage.waits(hold)
    capture.commit()
    assert held.result()["status"] == "parked"
    hold.commit()

    assert stage.rows("select class from exceptions") == [{"class": "duplicate-payment"}]
