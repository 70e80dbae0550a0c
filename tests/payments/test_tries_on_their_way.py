"""What was on its way comes to nothing on a page that takes another try: it may be paid yet."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from books import Connection, Money, broken_invariants, settle
from in_process import Hasura, House, context
from money_back import Desk, listed
from psycopg.rows import dict_row

from app.context import Context
from app.gateways import DeclineClass, Finding, Outcome, Subject
from app.gateways import Money as Amount
from app.payments.crons import check_payments

DECLINED = {"failure_code": "bank_rejected", "decline_class": "soft"}


def statuses(db: Connection) -> tuple[str, str]:
    (row,) = db.execute(
        "select payment_intents.status as intent, payment_attempts.status as attempt"
        " from payment_intents join payment_attempts on payment_intent_id = payment_intents.id"
    ).fetchall()
    return row["intent"], row["attempt"]


@pytest.fixture
def attempt(money: Money) -> Any:
    """An attempt whose payer has done their part on its page."""
    row = money.open()
    money.record(row["payment_attempt_id"])
    money.receive(row["payment_attempt_id"], "processing")
    return row["payment_attempt_id"]


def look_up(money: Money, attempt: Any, stood: str = "processing", **changes: Any) -> Any:
    said = {"gateway_payment_id": None, "type": "look-up", **DECLINED}
    message = money.message(attempt, "requires_action", **(said | changes))
    message["notice"]["stood"] = stood
    (row,) = money.call("receive_gateway_event", **message)
    return row


def test_what_a_look_up_says_came_to_nothing_waits_for_its_payer_again(db, money, attempt) -> None:
    assert statuses(db) == ("processing", "processing")
    assert look_up(money, attempt)["status"] == "applied"

    assert statuses(db) == ("pending", "pending")
    (row,) = db.execute("select * from payment_attempts").fetchall()
    assert (row["failure_code"], row["decline_class"]) == ("bank_rejected", "soft")
    assert row["declined_at"] is not None
    assert row["next_check_at"] is not None
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("outcome", ["processing", "paid", "authorized", "expired", "failed"])
def test_after_it_anything_may_follow(db, money, attempt, outcome: str) -> None:
    look_up(money, attempt)
    event = money.receive(attempt, outcome, event_id="evt_next")

    assert event["status"] == "applied"
    assert statuses(db)[0] == outcome
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("stood", ["pending", "created", "unknown"])
def test_a_look_up_that_was_begun_before_the_money_was_on_its_way_takes_nothing_back(
    db, money, attempt, stood: str
) -> None:
    event = look_up(money, attempt, stood)

    assert (event["status"], event["reason"]) == ("ignored", "the attempt is processing already")
    assert statuses(db) == ("processing", "processing")


def test_a_message_takes_nothing_back_and_has_the_gateway_asked_at_once(db, money, attempt) -> None:
    """It may be about a try before."""
    db.execute("update payment_attempts set next_check_at = clock_now() + interval '20 hours'")
    said = {"gateway_payment_id": None, **DECLINED}
    event = money.receive(attempt, "requires_action", **said)

    assert (event["status"], event["reason"]) == ("ignored", "the attempt is processing already")
    assert statuses(db) == ("processing", "processing")
    due = money.call("claim_payment_checks", limit=5)
    assert [row["id"] for row in due] == [attempt]


def test_a_message_that_tells_of_no_decline_has_nobody_asked(db, money, attempt) -> None:
    money.receive(attempt, "requires_action", gateway_payment_id=None)

    assert money.call("claim_payment_checks", limit=5) == []
    assert statuses(db) == ("processing", "processing")


class Shaped(Hasura):
    """Tells an attempt's page beside it."""

    def _shape(self, db: Any, row: dict[str, Any]) -> dict[str, Any]:
        shaped = super()._shape(db, row)
        return shaped | {"checkout_session": None, "payment_method": None}


class Bank(House):
    """Cashfree's page, where a try is on its way until it is not."""

    def __post_init__(self) -> None:
        super().__post_init__()
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            desk = Desk(db, settle(db).session)
            attempt = desk.open()["payment_attempt_id"]
            desk.record(attempt)
        self.session = {"x-hasura-role": "service", "x-hasura-livemode": "false"}
        self.attempt = attempt
        self.stands = Outcome.REQUIRES_ACTION
        self.is_declined = False
        self.capabilities: frozenset[str] = frozenset()

    @property
    def ctx(self) -> Context:
        hasura = Shaped(self.url, self.session, self.fault)
        return context(hasura=hasura, gateway=lambda _: self, now=self.now)

    def find(self, _: object) -> Finding:
        why: dict[str, Any] = {}
        if self.is_declined and self.stands is Outcome.REQUIRES_ACTION:
            why = {"failure_code": "bank_rejected", "decline_class": DeclineClass.SOFT}
        return Finding(
            subject=Subject.PAYMENT,
            outcome=self.stands,
            payment_attempt_id=str(self.attempt),
            gateway_payment_id="pi_1" if self.stands is Outcome.PAID else None,
            amount=Amount(2500, "USD"),
            captured_amount=Amount(2500, "USD") if self.stands is Outcome.PAID else None,
            **why,
        )

    def ask(self, stands: Outcome) -> tuple[str, str]:
        """Have the gateway say so when it is asked next, and read the books."""
        self.stands = stands
        self.wait(int(timedelta(hours=21).total_seconds()))
        check_payments(self.ctx)
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            assert (broken_invariants(db), listed(db)) == ({}, set())
            return statuses(db)


def test_a_payer_whose_tries_come_to_nothing_twice_pays_in_the_end(database: str) -> None:
    """Both in the same words, as of a gateway that dates no try."""
    bank = Bank(database, {})
    bank.is_declined = True
    seen = [
        bank.ask(outcome)[1]
        for outcome in (*[Outcome.PROCESSING, Outcome.REQUIRES_ACTION] * 2, Outcome.PAID)
    ]

    assert seen == ["processing", "pending", "processing", "pending", "captured"]
