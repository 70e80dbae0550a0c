"""The janitor claims as many attempts as it has time to ask about, and asks about all of those."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from in_process import context

from app.errors import GatewayUnavailableError
from app.gateways import Query
from app.payments import crons

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class House:
    """A database of attempts that are due, a gateway that knows none, and the time it takes."""

    def __init__(self, waits: list[timedelta | None], seconds: float = 0) -> None:
        self.due = [attempt(number, wait) for number, wait in enumerate(waits)]
        self.seconds, self.time = seconds, 1000.0
        self.is_silent = False
        self.breaks_at = ""
        self.limits: list[int] = []
        self.found: list[str] = []
        self.again: list[str] = []

    def run(self, name: str, **asked: Any) -> list[dict[str, Any]]:
        if name == "AskPaymentsAgain":
            self.again += asked["attemptIds"]
            return []
        assert name == "ClaimPaymentChecks"
        self.limits.append(asked["limit"])
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


def attempt(number: int, wait: timedelta | None) -> dict[str, Any]:
    """An attempt as it is claimed, and when it is asked about next."""
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
        "next_check_at": wait and (NOW + wait).isoformat(),
        "not_found_is_believed_at": (NOW + timedelta(hours=1)).isoformat(),
        "payment_intent": {"status": "pending"},
        "is_gateway_failing": False,
        "is_tried_out": False,
        "checkout_session": None,
        "payment_method": None,
    }


DAY, SOON = timedelta(days=1), timedelta(minutes=10)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[House]:
    """Let time go by as the gateway takes it, which is put into this list."""
    houses: list[House] = []
    monkeypatch.setattr(crons, "time", SimpleNamespace(monotonic=lambda: houses[0].time))
    return houses


def test_quick_gateways_are_asked_about_all_that_is_due(clock) -> None:
    house = House([DAY] * 23)
    clock.append(house)

    assert house.tick() == {"asked": 23, "answered": 23}
    assert house.limits == [4, 8, 16]  # and the last is not full


def test_gateways_that_are_not_quick_are_asked_about_fewer_at_once(clock) -> None:
    house = House([DAY] * 23, seconds=2)
    clock.append(house)

    assert house.tick() == {"asked": 20, "answered": 20}
    assert house.limits == [4, 3, 2, 2, *[1] * 9]
    assert house.again == []


def test_slow_gateways_are_asked_about_no_more_than_there_is_time_for(clock) -> None:
    house = House([DAY] * 23, seconds=10)
    clock.append(house)

    assert house.tick() == {"asked": 4, "answered": 4}
    assert house.again == []


def test_what_was_claimed_and_not_asked_about_is_asked_about_again(clock) -> None:
    house = House([DAY, DAY, DAY, SOON], seconds=25)
    clock.append(house)

    assert house.tick() == {"asked": 4, "answered": 2}
    assert house.found == ["attempt-0", "attempt-1"]
    assert house.again == ["attempt-2"]  # the other's turn comes soon enough


def test_after_silence_only_what_is_far_off_is_asked_about_sooner(clock) -> None:
    house = House([DAY, timedelta(hours=1), SOON, None])
    house.is_silent = True
    clock.append(house)

    assert house.tick() == {"asked": 4, "answered": 0}
    assert house.again == ["attempt-0"]


def test_one_that_nobody_foresaw_keeps_none_of_the_others_waiting(clock) -> None:
    house = House([DAY] * 4)
    house.breaks_at = "attempt-0"
    clock.append(house)

    assert house.tick() == {"asked": 4, "answered": 3}
    assert house.found == ["attempt-1", "attempt-2", "attempt-3"]
    assert house.again == []
