"""A capture that was begun is finished by whoever asks about the payment next."""

from datetime import UTC, datetime
from typing import Any

import pytest
from in_process import context

from app.errors import GatewayRefusedError, GatewayUnavailableError
from app.gateways import Capability, Finding, Money, Outcome, Query, Subject
from app.payments import checks

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ATTEMPT: dict[str, Any] = {
    "id": "6f1e9a3e-5a55-4a5a-9a55-000000000001",
    "status": "authorized",
    "gateway": "stripe",
    "gateway_account": "",
    "gateway_payment_id": "pi_1",
    "amount_to_capture": "1000",
    "currency": "USD",
    "created_at": NOW.isoformat(),
    "payment_intent": {"status": "authorized"},
    "is_gateway_failing": False,
    "is_tried_out": False,
    "checkout_session": None,
    "payment_method": None,
}


class House:
    """A gateway that notes what it is asked, and an inbox that keeps what it says."""

    capabilities: frozenset[Capability] = frozenset({Capability.AUTHORIZE})

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.asked: list[object] = []
        self.kept: list[str] = []
        self.refused: list[tuple[object, ...]] = []

    def capture(self, *asked: object) -> Finding:
        self.asked.append(asked)
        if self.failure:
            raise self.failure
        return Finding(subject=Subject.PAYMENT, outcome=Outcome.PAID)

    def find(self, query: Query) -> Finding:
        self.asked.append(query.gateway_payment_id)
        return Finding(subject=Subject.PAYMENT, outcome=Outcome.EXPIRED)

    def run(self, name: str, **said: Any) -> None:
        assert name == "RefuseCapture"
        self.refused.append((said["attemptId"], said["amount"], said["reason"]))

    def one(self, _: str, **variables: Any) -> dict[str, Any]:
        self.kept.append(variables["notice"]["outcome"])
        return {"status": "applied"}

    def check(self, **changes: Any) -> None:
        ctx = context(hasura=self, gateway=lambda _: self, now=lambda: NOW)
        checks.check(ctx, ATTEMPT | changes)


def test_what_was_to_be_taken_is_taken() -> None:
    house = House()
    house.check()
    assert house.asked == [(ATTEMPT["id"], "pi_1", Money(1000, "USD"))]
    assert house.kept == ["paid"]


@pytest.mark.parametrize("changes", [{"amount_to_capture": None}, {"status": "pending"}])
def test_nothing_is_taken_that_nobody_asked_for(changes: dict[str, Any]) -> None:
    house = House()
    house.check(**changes)
    assert (house.asked, house.kept) == (["pi_1"], ["expired"])


def test_what_cannot_be_taken_any_more_is_written_down_and_looked_up() -> None:
    house = House(GatewayRefusedError("it has expired"))
    house.check()
    assert house.refused == [(ATTEMPT["id"], "1000", "it has expired")]
    assert house.asked[1:] == ["pi_1"]
    assert house.kept == ["expired"]


def test_a_gateway_that_is_told_nothing_of_holds_is_not_asked_to_take_one() -> None:
    house = House()
    house.capabilities = frozenset()
    house.check()
    ((_, amount, reason),) = house.refused
    assert (amount, reason[:12]) == ("1000", "stripe holds")
    assert house.asked == ["pi_1"]


def test_of_silence_nothing_is_kept() -> None:
    house = House(GatewayUnavailableError("no answer"))
    with pytest.raises(GatewayUnavailableError):
        house.check()
    assert (house.kept, house.refused) == ([], [])
