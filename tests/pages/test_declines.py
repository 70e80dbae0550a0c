"""Cards that are tried one after the other on a gateway's own page: it is closed after ten."""

from datetime import UTC, datetime
from typing import Any

import pytest
from books import Connection
from in_process import context

from app.capabilities import Capability
from app.errors import GatewayRefusedError
from app.gateways import Finding, Outcome, Query, Subject
from app.payments import checks

from .conftest import Counter
from .test_payment_pages import refuses


def decline(counter: Counter, attempt: dict[str, Any], number: int, **said: Any) -> None:
    words = {"gateway_payment_id": None, "failure_code": "do_not_honor", "decline_class": "soft"}
    counter.hear(attempt, "requires_action", event_id=f"evt_{number}", **(words | said))


def declined(counter: Counter, times: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A page whose payer tried so many cards at the gateway, and what was begun there."""
    page = counter.open_page()
    attempt = counter.choose(page)
    counter.record(attempt["payment_attempt_id"], "order_1")
    for number in range(times):
        decline(counter, attempt, number)
    return page, attempt


def due(db: Connection) -> list[bool]:
    query = "select next_check_at <= clock_now() as it, is_tried_out(payment_attempts) as tried"
    rows = db.execute(f"{query} from payment_attempts").fetchall()
    assert [row["it"] for row in rows] == [row["tried"] for row in rows]
    return [row["it"] for row in rows]


@pytest.fixture(autouse=True)
def asked_about_later(db: Connection, counter: Counter) -> None:
    db.execute(
        "create function pg_temp.put_off() returns trigger language plpgsql as"
        " 'begin new.next_check_at := clock_now() + interval ''1 day''; return new; end'"
    )
    db.execute(
        "create trigger put_off before insert on payment_attempts"
        " for each row execute function pg_temp.put_off()"
    )


@pytest.mark.parametrize(("times", "is_due"), [(9, False), (10, True)])
def test_the_tenth_decline_has_the_page_closed(db, counter, times: int, is_due: bool) -> None:
    page, _ = declined(counter, times)

    assert due(db) == [is_due]
    assert counter.state(page)["is_exhausted"] is is_due


def test_one_decline_that_is_told_ten_times_is_one(db, counter: Counter) -> None:
    _, attempt = declined(counter, 1)
    for _ in range(10):
        decline(counter, attempt, 0)

    assert due(db) == [False]


def test_neither_look_ups_nor_open_pages_are_declines(db, counter: Counter) -> None:
    _, attempt = declined(counter, 0)
    for number in range(10):
        decline(counter, attempt, number, type="look-up")
        decline(counter, attempt, 100 + number, failure_code=None)

    assert due(db) == [False]


def test_declines_are_counted_over_all_attempts_and_no_other_is_begun(db, counter) -> None:
    page, attempt = declined(counter, 10)
    counter.hear(attempt, "expired")
    counter.later(1)

    assert refuses(counter, page) == "attempts-exhausted"
    assert counter.state(page)["status"] == "expired"


def test_how_many_is_a_setting(db, counter: Counter) -> None:
    db.execute(
        "insert into system_settings values (%s, 'declines_per_payment', '2')",
        [counter.organization_id],
    )
    declined(counter, 2)

    assert due(db) == [True]


def test_declines_that_come_together_are_counted_as_well(db, counter: Counter) -> None:
    _, attempt = declined(counter, 5)
    told = [
        counter.message(
            attempt["payment_attempt_id"],
            "requires_action",
            gateway=attempt["gateway"],
            event_id=f"evt_more_{number}",
            amount=attempt["amount"],
            currency=attempt["currency"],
            gateway_payment_id=None,
            failure_code="do_not_honor",
        )
        for number in range(5)
    ]

    assert len(counter.receive_together(*told)) == 5
    assert due(db) == [True]


def test_money_that_comes_after_many_declines_is_booked(db, counter: Counter) -> None:
    page, attempt = declined(counter, 12)
    counter.hear(attempt, "paid")

    assert counter.state(page)["status"] == "paid"


NOW = datetime(2026, 11, 21, tzinfo=UTC)
ATTEMPT: dict[str, Any] = {
    "id": "6f1e9a3e-5a55-4a5a-9a55-000000000001",
    "status": "pending",
    "gateway": "cashfree",
    "gateway_account": "",
    "gateway_payment_id": None,
    "amount_to_capture": None,
    "created_at": NOW.isoformat(),
    "payment_intent": {"status": "pending"},
    "is_gateway_failing": False,
    "is_tried_out": True,
    "checkout_session": {"gateway_session_id": "order_1", "expires_at": NOW.isoformat()},
    "payment_method": None,
}


class House:
    """A gateway that notes what it is asked, and an inbox that keeps what it says."""

    def __init__(self, *capabilities: Capability, refuses: bool = False) -> None:
        self.capabilities = frozenset(capabilities)
        self.refuses = refuses
        self.asked: list[str] = []

    def expire(self, _: str, page: str) -> Finding:
        self.asked.append(f"expire {page}")
        if self.refuses:
            message = "it is being paid"
            raise GatewayRefusedError(message)
        return Finding(subject=Subject.PAYMENT, outcome=Outcome.EXPIRED)

    def find(self, _: Query) -> Finding:
        self.asked.append("find")
        return Finding(subject=Subject.PAYMENT, outcome=Outcome.PROCESSING)

    def one(self, _: str, **__: Any) -> dict[str, Any]:
        return {"status": "applied"}

    def check(self, **changes: Any) -> list[str]:
        ctx = context(hasura=self, gateway=lambda _: self, now=lambda: NOW)
        checks.check(ctx, ATTEMPT | changes)
        return self.asked


def test_a_page_where_too_many_cards_were_tried_is_closed() -> None:
    assert House(Capability.EXPIRE).check() == ["expire order_1"]


@pytest.mark.parametrize("changes", [{"is_tried_out": False}, {"status": "processing"}])
def test_any_other_page_is_asked_about(changes: dict[str, Any]) -> None:
    assert House(Capability.EXPIRE).check(**changes) == ["find"]


def test_a_page_that_cannot_be_closed_is_asked_about() -> None:
    assert House().check() == ["find"]
    assert House(Capability.EXPIRE, refuses=True).check() == ["expire order_1", "find"]
