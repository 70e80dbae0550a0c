"""A gateway that is asked twice may say the same twice, and mean how things stand now."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from books import Money, broken_invariants, settle
from in_process import Fault, Hasura, context
from psycopg.rows import dict_row

from app.gateways import Finding, Outcome, Query, Subject
from app.payments import checks
from app.refunds import sending

NOW = datetime(2026, 11, 21, tzinfo=UTC)
HOUR = timedelta(hours=1)


class House:
    """An attempt in a real database, and a gateway that says the same of it whenever asked."""

    def __init__(self, url: str, outcome: Outcome | None) -> None:
        self.url = url
        with psycopg.connect(url, row_factory=dict_row) as db:
            tenant = settle(db)
            self.attempt_id = Money(db, tenant.session).open()["payment_attempt_id"]
        self.session = tenant.session
        self.outcome = outcome

    def find(self, _: Query) -> Finding | None:
        return self.outcome and Finding(
            subject=Subject.PAYMENT,
            outcome=self.outcome,
            payment_attempt_id=str(self.attempt_id),
            gateway_payment_id="pi_1",
        )

    def check(self, now: datetime = NOW) -> str:
        """Ask as the janitor does. Answers what became of the gateway's word."""
        hasura = Hasura(self.url, self.session, Fault())
        ctx = context(hasura=hasura, gateway=lambda _: self, now=lambda: now)
        attempt: dict[str, Any] = {
            "id": str(self.attempt_id),
            "status": self.status(),
            "gateway": "stripe",
            "gateway_account": "",
            "gateway_payment_id": "pi_1",
            "amount_to_capture": None,
            "created_at": NOW.isoformat(),
            "updated_at": NOW.isoformat(),
            "not_found_is_believed_at": (NOW + HOUR).isoformat(),
            "is_gateway_failing": False,
            "is_tried_out": False,
            "payment_intent": {"status": "pending"},
            "checkout_session": None,
            "payment_method": None,
        }
        return checks.check(ctx, attempt)

    def hear(self, outcome: str) -> str:
        """Take a webhook."""
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            said = Money(db, self.session).receive(
                self.attempt_id, outcome, gateway_payment_id="pi_1"
            )
            return str(said["status"])

    def kept(self) -> int:
        """Count the answers in the inbox."""
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            row = db.execute("select count(*) as n from gateway_events where type = 'look-up'")
            return int(row.fetchone()["n"])

    def status(self) -> str:
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            (row,) = db.execute("select status from payment_attempts").fetchall()
            assert broken_invariants(db) == {}
            return str(row["status"])


def test_what_a_late_message_opened_again_ends_by_the_same_words_as_before(database) -> None:
    house = House(database, Outcome.FAILED)
    assert (house.check(), house.status()) == ("applied", "failed")
    assert (house.hear("authorized"), house.status()) == ("applied", "authorized")

    assert (house.check(), house.status()) == ("applied", "failed")


def test_the_same_words_of_an_attempt_that_stands_as_before_are_kept_once(database) -> None:
    house = House(database, Outcome.PROCESSING)
    house.hear("processing")
    house.check()
    house.check()

    assert house.kept() == 1


@pytest.mark.parametrize(
    ("heard", "found"),
    [
        ("requires_action", Outcome.REQUIRES_ACTION),
        ("failed", Outcome.FAILED),
        ("expired", Outcome.EXPIRED),
        ("canceled", Outcome.CANCELED),
        ("failed", None),
        ("expired", None),
        ("requires_action", None),
    ],
)
def test_what_says_no_more_than_is_known_is_not_kept(database, heard, found) -> None:
    house = House(database, found)
    house.hear(heard)
    stood = house.status()

    assert house.check() == "ignored"
    assert (house.status(), house.kept()) == (stood, 0)


def test_that_nothing_is_found_is_kept_from_when_it_is_believed(database) -> None:
    house = House(database, None)
    house.check(NOW + HOUR - timedelta(seconds=1))
    assert house.kept() == 0

    house.check(NOW + HOUR)
    assert house.kept() == 1


class Refunds:
    """A gateway that always says that a refund has failed, and an inbox that notes the names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_refund(self, *_: str) -> Finding:
        return Finding(subject=Subject.REFUND, outcome=Outcome.FAILED)

    def one(self, name: str, **asked: Any) -> dict[str, Any]:
        if name == "ReceiveGatewayEvent":
            self.names.append(asked["eventId"])
        return {"status": "applied"}

    def check(self, status: str) -> None:
        ctx = context(hasura=self, gateway=lambda _: self, now=lambda: NOW)
        row: dict[str, Any] = {
            "id": "refund-1",
            "requested_by": "service",
            "status": status,
            "gateway": "stripe",
            "gateway_account": "",
            "is_gateway_failing": False,
            "payment_attempt": {"gateway_payment_id": "pi_1"},
        }
        sending.check(ctx, row)


def test_the_same_words_of_a_refund_that_stands_otherwise_are_others() -> None:
    house = Refunds()
    for status in ("pending", "pending", "failed"):
        house.check(status)

    first, second, third = house.names
    assert first == second != third
