"""A try that is declined on a page which takes another: known, and never the end of its attempt."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import psycopg
import pytest
from books import Connection, Money, broken_invariants
from in_process import context

from app.gateways import DeclineClass, Finding, Outcome, Subject
from app.payments import checks, verification

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
KNOWN = ("status", "failure_code", "failure_message", "decline_class", "declined_at")
NOTHING = ("pending", None, None, None, None)


def at(minutes: int) -> str:
    return (NOON + timedelta(minutes=minutes)).isoformat()


def declined(code: str, minutes: int, kind: str = "soft", **said: Any) -> dict[str, Any]:
    """Word a decline as it is told so many minutes after noon."""
    words = {"failure_code": code, "failure_message": f"No: {code}.", "decline_class": kind}
    told = {"outcome": "requires_action", "occurred_at": at(minutes), "gateway_payment_id": None}
    return told | words | said


def why(code: str, minutes: int, kind: str = "soft", status: str = "pending") -> tuple[Any, ...]:
    return (status, code, f"No: {code}.", kind, NOON + timedelta(minutes=minutes))


@pytest.fixture
def attempt(money: Money) -> Any:
    row = money.open()
    money.record(row["payment_attempt_id"])
    return row["payment_attempt_id"]


@pytest.fixture
def known(db: Connection) -> Callable[[], tuple[Any, ...]]:
    def read() -> tuple[Any, ...]:
        (row,) = db.execute(f"select {', '.join(KNOWN)} from payment_attempts").fetchall()
        return tuple(row.values())

    return read


def test_a_decline_is_known_while_its_page_takes_another_try(db, money, attempt, known) -> None:
    assert known() == NOTHING
    event = money.receive(attempt, **declined("insufficient_funds", 1))

    assert (event["status"], event["payment_attempt_id"]) == ("applied", attempt)
    assert known() == why("insufficient_funds", 1)
    (intent,) = db.execute("select status from payment_intents").fetchall()
    assert intent["status"] == "pending"
    assert db.execute("select from events where type = 'payment.failed'").fetchall() == []


def test_the_last_decline_is_the_one_that_is_known_in_whatever_order_they_come(
    db, money, attempt, known
) -> None:
    told = [("card_expired", 1, "hard"), ("incorrect_otp", 2, "authentication"), ("no_funds", 3)]
    for order in permutations(told):
        db.execute("savepoint told")
        for one in order:
            money.receive(attempt, **declined(*one))
        assert known() == why("no_funds", 3)
        db.execute("rollback to told")


def test_an_old_decline_says_nothing_new_and_says_so(money, attempt, known) -> None:
    money.receive(attempt, **declined("no_funds", 3))
    event = money.receive(attempt, **declined("card_expired", 1, "hard"))

    assert (event["status"], event["reason"]) == ("ignored", "the attempt is pending already")
    assert known() == why("no_funds", 3)


def test_the_same_decline_again_changes_nothing(db, money, attempt, known) -> None:
    money.receive(attempt, **declined("no_funds", 3), event_id="evt_1")
    money.receive(attempt, **declined("card_expired", 4, "hard"), event_id="evt_2")
    money.receive(attempt, **declined("no_funds", 3), event_id="evt_1")

    assert known() == why("card_expired", 4, "hard")
    assert len(db.execute("select from gateway_events").fetchall()) == 2


def test_when_the_gateway_dates_the_try_its_date_counts(money, attempt, known) -> None:
    money.receive(attempt, **declined("no_funds", 9, declined_at=at(2)))
    money.receive(attempt, **declined("card_expired", 10, "hard", declined_at=at(1)))
    assert known() == why("no_funds", 2)

    # The same try in a look-up an hour later, and a decline that only a look-up tells of.
    money.receive(attempt, **declined("no_funds", 70, declined_at=at(2), type="look-up"))
    assert known() == why("no_funds", 2)
    money.receive(attempt, **declined("incorrect_otp", 80, declined_at=at(5), type="look-up"))
    assert known() == why("incorrect_otp", 5)


def test_who_dates_nothing_and_says_the_same_tells_nothing_new(money, attempt, known) -> None:
    money.receive(attempt, **declined("no_funds", 1))
    money.receive(attempt, **declined("no_funds", 60, type="look-up"))
    assert known() == why("no_funds", 1)

    money.receive(attempt, **declined("card_expired", 61, "hard", type="look-up"))
    assert known() == why("card_expired", 61, "hard")


def test_a_decline_that_overtakes_the_page_is_known(money, known) -> None:
    attempt = money.open()["payment_attempt_id"]
    money.receive(attempt, **declined("no_funds", 1))
    assert known() == why("no_funds", 1)

    money.record(attempt)
    assert known() == why("no_funds", 1)


def test_an_open_page_takes_no_decline_back(money, attempt, known) -> None:
    money.receive(attempt, **declined("no_funds", 1))
    money.receive(attempt, "requires_action", occurred_at=at(2))

    assert known() == why("no_funds", 1)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("paid", "captured"), ("authorized", "authorized"), ("processing", "processing")],
)
def test_money_takes_the_decline_back_and_an_old_one_does_not_come_again(
    db, money, attempt, known, outcome: str, status: str
) -> None:
    money.receive(attempt, **declined("no_funds", 1))
    money.receive(attempt, outcome, occurred_at=at(3))
    assert known() == (status, None, None, None, None)

    for minutes in (2, 4):
        late = money.receive(attempt, **declined("card_expired", minutes, "hard"))
        assert late["status"] == "ignored"
    assert known() == (status, None, None, None, None)
    money.receive(attempt, "paid", occurred_at=at(5))
    assert known()[:2] == ("captured", None)
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("together", [False, True])
def test_what_was_declined_is_paid_late(db, money, attempt, known, together: bool) -> None:
    for minutes in range(3):
        money.receive(attempt, **declined("no_funds", minutes))
    if together:
        assert len(money.receive_together(money.message(attempt))) == 1
    else:
        money.receive(attempt)

    assert known() == ("captured", None, None, None, None)
    assert broken_invariants(db) == {}


def test_a_decline_among_others_comes_alone(money, attempt, known) -> None:
    told = declined("no_funds", 1)
    message = money.message(attempt, told.pop("outcome"), **told)

    assert money.receive_together(message) == []
    assert known() == NOTHING


@pytest.mark.parametrize("end", ["expired", "canceled"])
def test_a_page_that_closes_leaves_its_last_decline_known(db, money, attempt, known, end) -> None:
    money.receive(attempt, **declined("no_funds", 1))
    money.receive(attempt, end, occurred_at=at(30))
    assert known() == why("no_funds", 1, status=end)
    told = db.execute("select data from events where type = %s", [f"payment.{end}"]).fetchone()
    assert (told["data"]["failure_code"], told["data"]["decline_class"]) == ("no_funds", "soft")

    money.receive(attempt, occurred_at=at(90))
    assert known() == ("captured", None, None, None, None)


def test_a_page_that_closes_with_a_decline_of_its_own_says_that_one(money, attempt, known) -> None:
    money.receive(attempt, **declined("no_funds", 1))
    money.receive(attempt, **(declined("card_expired", 3, "hard") | {"outcome": "expired"}))

    assert known() == why("card_expired", 3, "hard", "expired")


def test_a_failure_is_dated_and_a_page_that_nobody_saw_is_no_decline(db, money, known) -> None:
    attempt = money.open()["payment_attempt_id"]
    money.receive(attempt, **(declined("no_funds", 1) | {"outcome": "failed"}))

    assert known() == why("no_funds", 1, status="failed")
    with pytest.raises(psycopg.errors.CheckViolation, match="decline_says_why"), db.transaction():
        db.execute("update payment_attempts set decline_class = null")


# How it stands, when asked

FOUND = Finding(
    subject=Subject.PAYMENT,
    outcome=Outcome.REQUIRES_ACTION,
    failure_code="no_funds",
    decline_class=DeclineClass.SOFT,
    declined_at=NOON,
)
PENDING: dict[str, Any] = {
    "status": "pending",
    "failure_code": None,
    "decline_class": None,
    "declined_at": None,
}
BOOKED = PENDING | {"failure_code": "no_funds", "decline_class": "soft", "declined_at": at(0)}


class House:
    """A gateway that finds one thing, and books that keep what they are told."""

    def __init__(self, attempt: dict[str, Any], finding: Finding) -> None:
        self.kept: list[str] = []
        self.finding = finding
        self.attempt: dict[str, Any] = {
            **dict.fromkeys(("payment_method", "checkout_session", "gateway_payment_id")),
            "id": "a",
            "gateway": "razorpay",
            "gateway_account": "",
            "created_at": at(-5),
            "is_gateway_failing": False,
            "is_tried_out": False,
            "amount_to_capture": None,
            "payment_intent": {"status": "pending"},
            **attempt,
        }
        self.capabilities: frozenset[str] = frozenset()

    def find(self, _: object) -> Finding:
        return self.finding

    def run(self, name: str, **_: Any) -> list[dict[str, Any]]:
        self.kept.append(name)
        return [{"id": "e", "status": "applied"}]

    def one(self, name: str, **asked: Any) -> dict[str, Any]:
        return self.run(name, **asked)[0]

    def check(self) -> str:
        ctx: Any = context(hasura=self, gateway=lambda _: self, now=lambda: NOON)
        return checks.check(ctx, self.attempt)


UNDATED = {"declined_at": None}
OTHER = {"failure_code": "card_expired", "decline_class": DeclineClass.HARD}


@pytest.mark.parametrize(
    ("known", "changes", "is_kept"),
    [
        (PENDING, {}, True),
        (PENDING, UNDATED, True),
        (PENDING, UNDATED | {"failure_code": None, "decline_class": None}, False),
        (BOOKED, {}, False),
        (BOOKED, {"declined_at": NOON - timedelta(seconds=1)} | OTHER, False),
        (BOOKED, {"declined_at": NOON + timedelta(seconds=1)}, True),
        (BOOKED, UNDATED, False),
        (BOOKED, UNDATED | OTHER, True),
        (BOOKED, {"outcome": Outcome.PAID}, True),
    ],
)
def test_a_look_up_keeps_a_decline_that_is_new(known, changes, is_kept: bool) -> None:
    words = {name: getattr(FOUND, name) for name in FOUND.__slots__}
    house = House(known, Finding(**(words | changes)))

    assert house.check() == ("applied" if is_kept else "ignored")
    assert house.kept == (["ReceiveGatewayEvent"] if is_kept else [])


@pytest.mark.parametrize(
    ("status", "is_told"),
    [
        *(("pending", True), ("failed", True), ("expired", True), ("canceled", True)),
        *(("processing", False), ("authorized", False), ("paid", False)),
    ],
)
def test_a_payments_state_tells_its_last_decline_until_one_went_well(status, is_told) -> None:
    decline = {"failure_code": "no_funds", "decline_class": "soft", "declined_at": at(0)}

    class Books:
        def run(self, _: str, **__: object) -> list[dict[str, Any]]:
            return [{"id": "p", "status": status, "payment_attempts": [decline]}]

    state = verification.state(context(hasura=Books()), "p")
    told = decline if is_told else dict.fromkeys(decline)
    assert state == {"payment_intent_id": "p", "status": status, **told}
