"""A page that may be paid twice is asked about once more, so that no payment is in no book."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import psycopg
import pytest
from books import Connection, Money, broken_invariants, settle
from in_process import CrashError, Fault, Hasura, context
from psycopg.rows import dict_row

from app.errors import GatewayUnavailableError
from app.gateways import Capability, Finding, Outcome, Query, Subject
from app.money import Money as Amount
from app.payments import checks
from app.payments.crons import check_payments

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CLOSED = timedelta(hours=23, minutes=16)  # when nobody can be on the page any more
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
ALL_OF_IT = Amount(2500, "USD")


def advance(db: Connection, by: timedelta) -> None:
    db.execute("update clock set skew_seconds = skew_seconds + %s", [by.total_seconds()])


def paid_page(money: Money, *, takes_several: bool = True) -> Any:
    attempt = money.open()["payment_attempt_id"]
    money.record(attempt, takes_several=takes_several)
    money.receive(attempt, gateway_payment_id="pi_1")
    return attempt


def claim(money: Money) -> list[dict[str, Any]]:
    return money.call("claim_payment_checks", limit=10)


def end(money: Money, attempt: object, *, is_undecided: bool = False) -> bool:
    row = money.db.execute("select * from payment_attempts where id = %s", [attempt]).fetchone()
    assert row
    asked = {"payment_attempt_id": attempt, "is_undecided": is_undecided}
    return bool(money.call("end_page_check", **asked, next_check_at=row["next_check_at"]))


def asked_at(db: Connection, money: Money, days: int, answer: Any) -> list[int]:
    """List the hours at which a page is asked about; `answer` is what follows each time."""
    hours = []
    for hour in range(24 * days):
        advance(db, HOUR)
        for row in claim(money):
            hours.append(hour + 1)
            answer(row["id"])
    return hours


# When it is asked about


def test_it_is_asked_about_when_it_has_closed_and_then_no_more(db, money) -> None:
    attempt = paid_page(money)
    advance(db, CLOSED - timedelta(seconds=2))
    assert claim(money) == []
    advance(db, timedelta(seconds=2))
    (claimed,) = claim(money)
    assert (claimed["id"], claimed["status"]) == (attempt, "captured")

    assert end(money, attempt)
    assert end(money, attempt)  # said again: nothing more
    assert asked_at(db, money, 10, None) == []
    assert broken_invariants(db) == {}


def test_a_page_that_takes_one_payment_is_not_asked_about(db, money) -> None:
    paid_page(money, takes_several=False)

    assert asked_at(db, money, 10, None) == []


def test_a_payment_that_came_after_the_page_had_closed_is_looked_past_soon(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    money.record(attempt, takes_several=True)
    money.receive(attempt, "expired")
    advance(db, 2 * DAY)
    money.receive(attempt, gateway_payment_id="pi_1")
    advance(db, timedelta(minutes=15))
    assert claim(money) == []
    advance(db, timedelta(minutes=1))
    assert [row["id"] for row in claim(money)] == [attempt]


def test_while_another_payment_is_undecided_it_is_asked_about_each_day_for_three_days(
    db, money
) -> None:
    attempt = paid_page(money)

    def undecided(found: object) -> None:
        end(money, found, is_undecided=True)

    assert asked_at(db, money, 10, undecided) == [24, 48, 72, 96]
    (row,) = db.execute("select id, next_check_at from payment_attempts").fetchall()
    assert row == {"id": attempt, "next_check_at": None}


def test_who_dies_with_the_question_leaves_it_to_the_next_day(db, money) -> None:
    paid_page(money)

    hours = asked_at(db, money, 20, lambda _: None)
    assert hours[:3] == [24, 48, 72]
    assert len(hours) == 7  # and nobody asks for ever
    assert broken_invariants(db) == {}


def test_a_payment_that_came_after_a_week_is_looked_past_as_long_as_any(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    money.record(attempt, takes_several=True)
    money.receive(attempt, "expired")
    advance(db, 8 * DAY)
    now = db.execute("select clock_now() as now").fetchone()["now"]
    money.receive(attempt, gateway_payment_id="pi_1", occurred_at=now)

    assert asked_at(db, money, 20, lambda _: None) == [1, 25, 49, 73, 97, 121, 145, 169]


def test_silence_is_asked_again_within_the_hour(db, money) -> None:
    attempt = paid_page(money)
    advance(db, CLOSED)
    claim(money)
    assert money.call("ask_payments_again", payment_attempt_ids=[str(attempt)])

    advance(db, HOUR)
    assert [row["id"] for row in claim(money)] == [attempt]


def test_a_page_that_is_not_paid_is_not_ended(db, money) -> None:
    attempt = money.open()["payment_attempt_id"]
    money.record(attempt, takes_several=True)

    assert not end(money, attempt)
    advance(db, DAY)
    assert [row["id"] for row in claim(money)] == [attempt]


@pytest.mark.parametrize(
    "change", ["payment_method_id = gen_random_uuid()", "gateway = 'bank_transfer'"]
)
def test_what_was_paid_without_a_page_is_not_asked_about(db, money, change) -> None:
    paid_page(money)

    with pytest.raises(psycopg.errors.CheckViolation, match="only_a_page_is_checked"):
        db.execute(f"update payment_attempts set {change}, next_check_at = clock_now()")


# What is found goes through the one door


def going_back(db: Connection) -> list[tuple[str, int]]:
    """List what is on its way back, by the gateway's name of its payment."""
    rows = db.execute(
        "select gateway_payment_id, refunds.amount from refunds"
        " join payment_attempts on payment_attempts.id = payment_attempt_id"
        " where is_surplus and not is_in_suspense order by 1"
    ).fetchall()
    return [(row["gateway_payment_id"], row["amount"]) for row in rows]


def listed(db: Connection) -> list[str]:
    rows = db.execute("select class from exceptions where resolved_at is null").fetchall()
    return [row["class"] for row in rows]


SAID = {
    "a webhook": {"type": "payment.captured", "event_id": "evt_second"},
    "another webhook": {"type": "order.paid", "event_id": "evt_order"},
    "a look-up": {"type": "look-up", "event_id": "look-up:1"},
}


@pytest.mark.parametrize("order", [*permutations(SAID, 3)], ids=", then ".join)
def test_a_second_payment_goes_back_once_whoever_tells_first(db, money, order) -> None:
    attempt = paid_page(money)
    heard = [
        money.receive(attempt, gateway_payment_id="pi_2", **SAID[one])["status"]
        for one in (*order, *order)
    ]

    assert heard == ["applied", "ignored", "ignored"] * 2
    assert going_back(db) == [("pi_2", 2500)]
    assert listed(db) == ["surplus-payment"]
    assert broken_invariants(db) == {}


def test_each_of_three_payments_goes_back_by_itself(db, money) -> None:
    attempt = paid_page(money)
    for name in ("pi_2", "pi_3", "pi_2"):
        money.receive(attempt, gateway_payment_id=name)

    assert going_back(db) == [("pi_2", 2500), ("pi_3", 2500)]
    assert listed(db) == ["surplus-payment"] * 2
    assert broken_invariants(db) == {}


def test_a_second_payment_of_another_amount_is_held(db, money) -> None:
    attempt = paid_page(money)
    money.receive(attempt, gateway_payment_id="pi_2", amount=2400)

    assert going_back(db) == []
    assert listed(db) == ["amount-mismatch"]
    assert broken_invariants(db) == {}


WAITING = (
    "select count(*) from pg_stat_activity"
    " where datname = current_database() and wait_event_type = 'Lock'"
)


def test_messages_about_one_second_payment_that_come_at_once_book_it_once(database) -> None:
    """Both find no attempt of it; the one that waits for the locks must look again."""
    with psycopg.connect(database, row_factory=dict_row) as db:
        tenant = settle(db)
        attempt = paid_page(Money(db, tenant.session))

    def tell(number: int) -> str:
        with psycopg.connect(database, row_factory=dict_row) as db:
            said = {"gateway_payment_id": "pi_2", "event_id": f"evt_{number}"}
            told = Money(db, tenant.session).receive(attempt, **said)
            return str(told["status"])

    with (
        psycopg.connect(database) as gate,
        psycopg.connect(database, autocommit=True) as watch,
        ThreadPoolExecutor(4) as pool,
    ):
        gate.execute("select from payment_intents for no key update")
        told = [pool.submit(tell, number) for number in range(4)]
        give_up = time.monotonic() + 60
        while watch.execute(WAITING).fetchone() != (4,) and time.monotonic() < give_up:
            time.sleep(0.01)
        gate.rollback()
        heard = sorted(each.result() for each in told)

    assert heard == ["applied", "ignored", "ignored", "ignored"]
    with psycopg.connect(database, row_factory=dict_row) as db:
        assert going_back(db) == [("pi_2", 2500)]
        assert broken_invariants(db) == {}


# Asking


def payment(name: str | None, outcome: Outcome = Outcome.PAID) -> Finding:
    return Finding(
        subject=Subject.PAYMENT,
        outcome=outcome,
        gateway_session_id="cs_1",
        gateway_payment_id=name,
        amount=ALL_OF_IT,
        captured_amount=ALL_OF_IT if outcome is Outcome.PAID else None,
    )


class House:
    """A paid page in a real database, and a gateway that lists its payments."""

    capabilities = frozenset({Capability.PAYMENTS})

    def __init__(self, url: str, *found: Finding) -> None:
        self.url, self.found, self.questions = url, found, 0
        self.is_silent = False
        with psycopg.connect(url, row_factory=dict_row) as db:
            tenant = settle(db)
            self.session = tenant.session
            self.attempt = paid_page(Money(db, tenant.session))
            advance(db, CLOSED)

    def find_payments(self, query: Query) -> tuple[Finding, ...]:
        assert query.gateway_session_id == "cs_1"
        self.questions += 1
        if self.is_silent:
            message = "no answer"
            raise GatewayUnavailableError(message)
        return self.found

    def tick(self, fault: Fault | None = None) -> dict[str, int]:
        """Let the janitor come by once."""
        hasura = Shaped(self.url, self.session, fault or Fault())
        return check_payments(context(hasura=hasura, gateway=lambda _: self, now=lambda: NOW))

    def later(self, by: timedelta) -> None:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            advance(db, by)

    def books(self) -> tuple[list[tuple[str, int]], list[str], bool]:
        """Answer what goes back, what is listed, and whether it will be asked about again."""
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            rows = db.execute("select id from payment_attempts where next_check_at is not null")
            assert broken_invariants(db) == {}
            return going_back(db), listed(db), [row["id"] for row in rows] == [self.attempt]


class Shaped(Hasura):
    """Answers an attempt with its page beside it, as the service's operation asks for."""

    def _shape(self, db: Any, row: dict[str, Any]) -> dict[str, Any]:
        shaped = super()._shape(db, row)
        if "next_check_at" in row:
            page = db.execute(
                "select gateway_session_id, expires_at::text from checkout_sessions"
                " where payment_attempt_id = %s",
                [row["id"]],
            ).fetchone()
            shaped |= {"checkout_session": page, "payment_method": None}
        return shaped


BACK = ([("pi_2", 2500)], ["surplus-payment"])


def test_a_page_paid_once_costs_one_question(database) -> None:
    house = House(database, payment("pi_1"))
    house.tick()
    house.later(10 * DAY)
    house.tick()

    assert house.questions == 1
    assert house.books() == ([], [], False)


def test_a_payment_that_nobody_told_of_is_found(database) -> None:
    house = House(database, payment("pi_2"), payment("pi_1"))
    assert house.tick() == {"asked": 1, "answered": 1}

    assert house.books() == (*BACK, False)


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_it_is_found_whenever_the_janitor_dies(database, at, is_after) -> None:
    """At the claim, at the door, and at the end: before and after each."""
    house = House(database, payment("pi_1"), payment("pi_2"))
    with pytest.raises(CrashError):
        house.tick(Fault(at, is_after))
    for _ in range(2):
        house.later(DAY)
        house.tick()

    assert house.books() == (*BACK, False)


def test_a_silent_gateway_is_asked_again_within_the_hour(database) -> None:
    house = House(database, payment("pi_1"), payment("pi_2"))
    house.is_silent = True
    assert house.tick() == {"asked": 1, "answered": 0}
    house.is_silent = False
    house.later(HOUR)
    house.tick()

    assert (house.questions, house.books()) == (2, (*BACK, False))


def test_a_list_without_the_payment_that_is_booked_is_no_answer(database) -> None:
    house = House(database)
    assert house.tick() == {"asked": 1, "answered": 0}

    assert house.books() == ([], [], True)


@pytest.mark.parametrize(
    ("outcome", "again"),
    [
        (Outcome.REQUIRES_ACTION, True),
        (Outcome.PROCESSING, True),
        (Outcome.AUTHORIZED, True),
        (Outcome.UNKNOWN, True),
        (Outcome.CANCELED, False),
    ],
)
def test_it_is_asked_about_again_while_a_payment_beside_is_undecided(
    database, outcome, again
) -> None:
    house = House(database, payment("pi_1"), payment(None, outcome))
    house.tick()

    assert house.books()[2] is again


def test_a_bank_that_says_yes_on_the_third_day_is_heard(database) -> None:
    house = House(database, payment("pi_1"), payment(None, Outcome.REQUIRES_ACTION))
    for _ in range(3):
        house.tick()
        house.later(DAY)
    house.found = (payment("pi_1"), payment("pi_2"))
    house.tick()

    assert house.books() == (*BACK, False)


def test_what_is_reserved_beside_is_listed_and_goes_back_once_it_is_taken(database) -> None:
    house = House(database, payment("pi_1"), payment("pi_2", Outcome.AUTHORIZED))
    house.tick()
    assert house.books() == ([], ["duplicate-payment"], True)
    house.found = (payment("pi_1"), payment("pi_2"))
    house.later(DAY)
    house.tick()

    assert house.books() == (*BACK, False)


def test_a_gateway_whose_pages_are_paid_once_is_not_asked(database) -> None:
    house = House(database)
    house.capabilities = frozenset()
    house.tick()

    assert (house.questions, house.books()) == (0, ([], [], False))


def test_a_payment_of_a_page_that_is_not_ours_is_held_for_nobody(database) -> None:
    """An adapter that mixed pages up would be caught at the door."""
    strange = Finding(
        subject=Subject.PAYMENT,
        outcome=Outcome.PAID,
        gateway_session_id="cs_of_another",
        gateway_payment_id="pi_9",
        amount=ALL_OF_IT,
    )
    house = House(database, payment("pi_1"), strange)
    house.tick()

    assert house.books() == ([], ["unmatched-payment"], False)


def test_how_many_were_found_is_answered(database) -> None:
    house = House(database, payment("pi_1"), payment("pi_2"), payment("pi_3"))
    hasura = Shaped(house.url, house.session, Fault())
    ctx = context(hasura=hasura, gateway=lambda _: house, now=lambda: NOW)
    (due,) = hasura.run("ClaimPaymentChecks", limit=1)

    assert checks.check_page(ctx, due) == 2
