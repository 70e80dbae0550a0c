"""The janitor claims only what it has time to ask about, and asks about all of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from in_process import context

from app import budget
from app.errors import GatewayUnavailableError
from app.gateways import Query
from app.payments import crons

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class House:
    """A database of attempts that are due, a gateway that knows none, and the time it takes."""

    def __init__(self, due: int, seconds: float = 0) -> None:
        self.due = [attempt(number) for number in range(due)]
        self.seconds, self.time = seconds, 1000.0
        self.is_silent = False
        self.breaks_at = ""
        self.found: list[str] = []
        self.again: list[str] = []

    def run(self, name: str, **asked: Any) -> list[dict[str, Any]]:
        if name == "AskPaymentsAgain":
            self.again += asked["attemptIds"]
            return []
        assert name == "ClaimPaymentChecks"
        claimed, self.due = self.due[: asked["limit"]], self.due[asked["limit"] :]
        return claimed

    def find(self, query: Query) -> None:
        self.time += self.seconds
        if query.payment_attempt_id == self.breaks_at:
            raise ZeroDivisionError
        if self.is_silent:
            message = "no answer"
            raise GatewayUnavailableError(message)
        self.found.append(query.payment_attempt_id)

    def tick(self) -> dict[str, int]:
        return crons.check_payments(context(hasura=self, gateway=lambda _: self, now=lambda: NOW))


def attempt(number: int) -> dict[str, Any]:
    return {
        "id": f"attempt-{number}",
        "status": "pending",
        "gateway": "stripe",
        "gateway_account": "",
        "gateway_payment_id": None,
        "amount_to_capture": None,
        "currency": "USD",
        "created_at": NOW.isoformat(),
        "updated_at": NOW.isoformat(),
        "not_found_is_believed_at": (NOW + timedelta(hours=1)).isoformat(),
        "payment_intent": {"status": "pending"},
        "is_gateway_failing": False,
        "is_tried_out": False,
        "checkout_session": None,
        "payment_method": None,
    }


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[House]]:
    """Let time go by as the gateway takes it, which is put into this list."""
    houses: list[House] = []
    monkeypatch.setattr("app.budget.monotonic", lambda: houses[0].time if houses else 1000.0)
    budget.begin(budget.CRON_SECONDS_MAX)
    yield houses
    budget.finish()


def test_quick_gateways_are_asked_about_all_that_is_due(clock) -> None:
    house = House(23)
    clock.append(house)

    assert house.tick() == {"asked": 23, "answered": 23}
    assert house.again == []


@pytest.mark.parametrize(("seconds", "asked"), [(1, 12), (5, 3), (11, 2), (25, 1)])
def test_no_more_is_claimed_than_there_is_time_to_ask_about(clock, seconds, asked) -> None:
    """The last question is begun while a gateway may take as long as it is ever waited for."""
    house = House(23, seconds)
    clock.append(house)

    assert house.tick() == {"asked": asked, "answered": asked}
    assert len(house.due) == 23 - asked
    assert house.again == []


def test_after_silence_it_is_asked_about_again(clock) -> None:
    house = House(3)
    house.is_silent = True
    clock.append(house)

    assert house.tick() == {"asked": 3, "answered": 0}
    assert house.again == ["attempt-0", "attempt-1", "attempt-2"]


def test_one_that_nobody_foresaw_keeps_none_of_the_others_waiting(clock) -> None:
    house = House(4)
    house.breaks_at = "attempt-0"
    clock.append(house)

    assert house.tick() == {"asked": 4, "answered": 3}
    assert house.found == ["attempt-1", "attempt-2", "attempt-3"]
    assert house.again == []
