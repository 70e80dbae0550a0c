"""Most payments are told of several times: what says nothing new locks nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from books import Connection, Money, broken_invariants, settle
from psycopg.rows import dict_row


@dataclass
class Busy:
    """A paid attempt that somebody is at, and a message that waits for nobody very long."""

    attempt: Any
    money: Money

    def hear(self, outcome: str, **said: object) -> dict[str, Any]:
        return self.money.receive(self.attempt, outcome, event_id=f"evt_{outcome}", **said)


@pytest.fixture
def busy(database: str) -> Iterator[Busy]:
    with (
        psycopg.connect(database, row_factory=dict_row) as db,
        psycopg.connect(database, row_factory=dict_row) as other,
    ):
        tenant = settle(db)
        money = Money(db, tenant.session)
        attempt = money.open()["payment_attempt_id"]
        money.receive(attempt, gateway_payment_id="pi_1")
        db.commit()
        db.execute("select from payment_intents for no key update")
        other.execute("set lock_timeout = '100ms'")
        other.commit()
        yield Busy(attempt, Money(other, tenant.session))
        other.rollback()
        db.rollback()


@pytest.mark.parametrize("outcome", ["paid", "authorized", "processing", "failed", "not_found"])
def test_what_says_nothing_new_of_a_payment_waits_for_nobody(busy, outcome) -> None:
    event = busy.hear(outcome, gateway_payment_id="pi_1")

    assert event["status"] == "ignored"
    assert event["reason"] in {
        "the attempt is captured already",
        "the gateway does not know it yet",
    }
    assert event["payment_attempt_id"] == busy.attempt


def test_another_payment_of_the_same_attempt_waits_for_its_turn(busy) -> None:
    with pytest.raises(psycopg.errors.LockNotAvailable):
        busy.hear("paid", gateway_payment_id="pi_2")


def test_what_is_known_and_says_another_amount_waits_for_its_turn(busy) -> None:
    with pytest.raises(psycopg.errors.LockNotAvailable):
        busy.hear("paid", gateway_payment_id="pi_1", amount=2400)


def test_an_amount_that_is_none_is_kept_and_tried_again(db: Connection, money: Money) -> None:
    attempt = money.open()["payment_attempt_id"]
    money.receive(attempt, gateway_payment_id="pi_1")
    event = money.receive(attempt, event_id="evt_2", gateway_payment_id="pi_1", amount="a lot")

    assert event["status"] == "received"
    assert "a lot" in event["reason"]
    assert broken_invariants(db) == {}
