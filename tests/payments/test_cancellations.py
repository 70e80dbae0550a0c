"""Giving a payment up: the gateways are asked, then it is off in our books, then they are told."""

from typing import Any

import pytest
from in_process import context

from app.errors import ForbiddenError, GatewayRefusedError, GatewayUnavailableError, NotFoundError
from app.payments import cancellations, checks

INTENT = "6f1e9a3e-5a55-4a5a-9a55-000000000002"


class House:
    """Hasura as far as this needs it, and what happens in which order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts: list[dict[str, Any]] = [{"id": "one"}, {"id": "two"}]
        self.status = "canceled"
        self.failures: dict[str, Exception] = {}
        self.happened: list[str] = []
        monkeypatch.setattr(checks, "check", self.check)

    def check(self, _: object, attempt: dict[str, Any]) -> str:
        self.happened.append(attempt["id"])
        if attempt["id"] in self.failures:
            raise self.failures[attempt["id"]]
        return "applied"

    def run(self, name: str, **variables: Any) -> list[dict[str, Any]]:
        assert variables == {"paymentIntentId": INTENT}
        self.happened.append(name)
        if name in self.failures:
            raise self.failures[name]
        if name in {"CancelPayment", "PaymentState"}:
            return [{"id": INTENT, "status": self.status, "payment_attempts": []}]
        return self.attempts

    def one(self, name: str, **variables: Any) -> dict[str, Any]:
        (row,) = self.run(name, **variables)
        return row

    def cancel(self) -> dict[str, Any]:
        return cancellations.cancel(context(hasura=self), INTENT)


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    return House(monkeypatch)


def test_gateways_are_asked_before_it_is_off_and_told_after(house: House) -> None:
    answer = house.cancel()
    assert (answer["payment_intent_id"], answer["status"]) == (INTENT, "canceled")
    assert house.happened == [
        *("OpenPaymentAttempts", "one", "two"),
        *("CancelPayment", "OpenPaymentAttempts", "one", "two"),
        "PaymentState",
    ]


def test_of_a_payment_that_is_paid_no_gateway_is_told_anything(house: House) -> None:
    house.status = "paid"

    assert house.cancel()["status"] == "paid"
    assert house.happened[3:] == ["CancelPayment", "PaymentState"]


@pytest.mark.parametrize(
    "failure",
    [GatewayUnavailableError("no answer"), GatewayRefusedError("no"), KeyError("a fault of ours")],
)
def test_a_gateway_that_says_nothing_of_use_keeps_no_payment_from_its_end(house, failure) -> None:
    house.failures = {"one": failure}

    assert house.cancel()["status"] == "canceled"
    # It is not asked twice, while somebody waits: the janitor comes by it.
    assert house.happened[1:4] == ["one", "two", "CancelPayment"]
    assert house.happened[4:] == ["OpenPaymentAttempts", "two", "PaymentState"]


@pytest.mark.parametrize(
    ("at", "failure"),
    [("OpenPaymentAttempts", NotFoundError("no")), ("CancelPayment", ForbiddenError("no"))],
)
def test_a_refusal_of_the_books_is_the_answer(house: House, at: str, failure: Exception) -> None:
    house.failures = {at: failure}

    with pytest.raises(type(failure)):
        house.cancel()
    assert house.happened[-1] == at
