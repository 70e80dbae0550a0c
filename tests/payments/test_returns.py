"""A payer who comes back has the gateway asked, and not more often than every few seconds."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest
from books import Connection, Money, broken_invariants, settle
from in_process import context
from psycopg.rows import dict_row

from app.payments import verification

SHORT = timedelta(seconds=5)


def come_back(money: Money, intent: object) -> list[Any]:
    return [row["id"] for row in money.call("claim_return_checks", payment_intent_id=intent)]


def advance(db: Connection, by: timedelta) -> None:
    db.execute("update clock set skew_seconds = skew_seconds + %s", [by.total_seconds()])


def test_of_many_returns_within_five_seconds_one_asks(db, money) -> None:
    row = money.open()
    intent, attempt = row["payment_intent_id"], row["payment_attempt_id"]

    assert [come_back(money, intent) for _ in range(3)] == [[attempt], [], []]
    advance(db, SHORT)
    assert [come_back(money, intent) for _ in range(3)] == [[attempt], [], []]
    assert broken_invariants(db) == {}


def test_each_payment_has_its_own_seconds(money) -> None:
    one, other = (money.open(key=key) for key in ("key-1", "key-2"))
    come_back(money, one["payment_intent_id"])

    assert come_back(money, other["payment_intent_id"]) == [other["payment_attempt_id"]]


@pytest.mark.parametrize("outcome", ["paid", "failed", "expired", "canceled"])
def test_what_has_ended_is_not_asked_about(money, outcome) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], outcome)

    assert come_back(money, row["payment_intent_id"]) == []


def test_neither_the_janitor_nor_who_verifies_waits_for_a_return(db, money) -> None:
    row = money.open()
    come_back(money, row["payment_intent_id"])
    asked = {"payment_intent_id": row["payment_intent_id"]}
    advance(db, timedelta(minutes=1))
    (due,) = money.call("claim_payment_checks", limit=10)

    assert due["id"] == row["payment_attempt_id"]
    assert len(money.call("open_payment_attempts", **asked)) == 1
    assert come_back(money, row["payment_intent_id"]) == [row["payment_attempt_id"]]


def test_a_return_of_the_other_mode_asks_nobody(db, money, tenant) -> None:
    row = money.open()
    live = Money(db, tenant.session | {"x-hasura-livemode": "true"})

    assert come_back(live, row["payment_intent_id"]) == []
    assert come_back(money, row["payment_intent_id"]) == [row["payment_attempt_id"]]


def spread(connections: list[Connection]) -> timedelta:
    """Begin a transaction in each, and answer how far apart these are: each keeps its moment."""
    for db in connections:
        db.rollback()
    moments = [db.execute("select clock_now() as it").fetchone()["it"] for db in connections]
    return max(moments) - min(moments)


def test_of_eight_returns_at_once_one_asks(database) -> None:
    with psycopg.connect(database, row_factory=dict_row) as db:
        tenant = settle(db)
        intent = Money(db, tenant.session).open()["payment_intent_id"]
    start = Barrier(8)

    def load(db: Connection) -> int:
        start.wait()
        asked = len(come_back(Money(db, tenant.session), intent))
        db.commit()
        return asked

    with ExitStack() as open_ones, ThreadPoolExecutor(8) as pool:
        connections = [
            open_ones.enter_context(psycopg.connect(database, row_factory=dict_row))
            for _ in range(8)
        ]
        while spread(connections) >= SHORT:  # the machine was away for so long
            pass
        assert sum(pool.map(load, connections)) == 1


def test_a_return_is_answered_the_state_whether_or_not_the_gateway_is_asked() -> None:
    asked: list[str] = []

    class Hasura:
        def run(self, name: str, **_: object) -> list[dict[str, Any]]:
            asked.append(name)
            stands = {"id": "p", "status": "pending", "payment_attempts": []}
            return [stands] if name == "PaymentState" else []

    state = verification.verify_return(context(hasura=Hasura()), "p")
    assert (state["payment_intent_id"], state["status"]) == ("p", "pending")
    assert asked == ["ClaimReturnChecks", "PaymentState"]
