"""Receipts that did not come are asked for one after the other; none keeps the others waiting."""

from datetime import timedelta
from typing import Any

from books import Connection, Money

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
WHILE = timedelta(seconds=15)  # longer than a slow machine takes


def advance(db: Connection, by: timedelta) -> None:
    db.execute("update clock set skew_seconds = skew_seconds + %s", [by.total_seconds()])


def paid(money: Money, **asked: Any) -> object:
    attempt: object = money.open(**asked)["payment_attempt_id"]
    (now,) = money.db.execute("select clock_now() as moment").fetchall()
    money.receive(attempt, event_id=f"paid:{attempt}", occurred_at=now["moment"])
    return attempt


def claim(money: Money, limit: int = 1, gateways: tuple[str, ...] = ("stripe",)) -> list[object]:
    rows = money.call("claim_receipts", gateways=list(gateways), limit=limit)
    return [row["id"] for row in rows]


def test_the_one_that_waits_longest_is_next_and_the_others_have_their_turn(db, money) -> None:
    attempts = []
    for number in range(3):
        attempts.append(paid(money, key=f"key-{number}"))
        advance(db, WHILE)
    advance(db, MINUTE)

    assert [claim(money) for _ in range(4)] == [*[[one] for one in attempts], []]
    advance(db, MINUTE - WHILE)
    assert claim(money) == []  # they were asked for a moment ago
    late = paid(money, key="late")
    advance(db, 2 * WHILE)
    assert sorted(map(str, claim(money, limit=10))) == sorted(map(str, attempts))
    advance(db, MINUTE + WHILE)
    assert claim(money) == [late]
    assert sorted(map(str, claim(money, limit=10))) == sorted(map(str, attempts))


def test_no_more_are_claimed_than_are_asked_for_whatever_way_postgres_goes(db, money) -> None:
    attempts = [paid(money, key=f"key-{number}") for number in range(5)]
    advance(db, 2 * MINUTE)
    for way in ("hashjoin", "mergejoin", "hashagg", "sort", "material", "bitmapscan", "indexscan"):
        db.execute(f"set local enable_{way} = off")

    claimed = [claim(money, limit=2) for _ in range(3)]
    assert [len(one) for one in claimed] == [2, 2, 1]
    assert {one for some in claimed for one in some} == set(attempts)


def test_one_that_came_is_asked_for_no_more(db, money) -> None:
    attempt = paid(money)
    advance(db, 2 * MINUTE)
    money.call("record_receipt", payment_attempt_id=attempt, receipt_url="https://r")

    assert claim(money) == []


def test_it_is_asked_for_between_a_minute_and_three_days_after_the_capture(db, money) -> None:
    attempt = paid(money)

    advance(db, MINUTE - WHILE)
    assert claim(money) == []
    advance(db, 2 * WHILE)
    assert claim(money) == [attempt]
    advance(db, 3 * DAY - MINUTE - 2 * WHILE)
    assert claim(money) == [attempt]
    advance(db, MINUTE + WHILE)
    assert claim(money) == []


def test_only_those_are_asked_who_give_receipts_and_in_their_mode(db, money, tenant) -> None:
    attempt = paid(money)
    advance(db, 2 * MINUTE)
    live = Money(db, tenant.session | {"x-hasura-livemode": "true"})

    assert claim(money, gateways=()) == []
    assert claim(money, gateways=("razorpay",)) == []
    assert claim(live) == []
    assert claim(money, gateways=("razorpay", "stripe")) == [attempt]
