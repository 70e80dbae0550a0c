"""Of a payment that is called off the page is closed and the hold released, where that can be."""

from datetime import UTC, datetime
from typing import Any

import pytest
from in_process import context

from app.errors import GatewayRefusedError, GatewayUnavailableError
from app.gateways import Capability, Finding, Outcome, Query, Subject
from app.payments import checks

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PAGE = {"gateway_session_id": "cs_1", "expires_at": NOW.isoformat()}
ATTEMPT: dict[str, Any] = {
    "id": "6f1e9a3e-5a55-4a5a-9a55-000000000001",
    "status": "authorized",
    "gateway": "stripe",
    "gateway_account": "",
    "gateway_payment_id": "pi_1",
    "amount_to_capture": "1000",
    "currency": "USD",
    "created_at": NOW.isoformat(),
    "updated_at": NOW.isoformat(),
    "not_found_is_believed_at": NOW.isoformat(),
    "payment_intent": {"status": "canceled"},
    "is_gateway_failing": False,
    "is_tried_out": False,
    "checkout_session": PAGE,
    "payment_method": None,
}
ALL = frozenset(Capability)


class House:
    """A gateway that notes what it is asked, and an inbox that keeps what it says."""

    name = "stripe"

    def __init__(
        self, capabilities: frozenset[Capability] = ALL, failure: Exception | None = None
    ) -> None:
        self.capabilities, self.failure = capabilities, failure
        self.found: Outcome | None = Outcome.AUTHORIZED
        self.asked: list[str] = []
        self.kept: list[str] = []
        self.listed: list[str] = []

    def cancel(self, *_: str) -> Finding:
        return self._end("cancel", Outcome.CANCELED)

    def expire(self, *_: str) -> Finding:
        return self._end("expire", Outcome.EXPIRED)

    def capture(self, *_: object) -> Finding:
        return self._end("capture", Outcome.PAID)

    def _end(self, name: str, outcome: Outcome) -> Finding:
        self.asked.append(name)
        if self.failure:
            raise self.failure
        return Finding(subject=Subject.PAYMENT, outcome=outcome)

    def find(self, _: Query) -> Finding | None:
        self.asked.append("find")
        return self.found and Finding(subject=Subject.PAYMENT, outcome=self.found)

    def one(self, _: str, **variables: Any) -> dict[str, Any]:
        self.kept.append(variables["notice"]["outcome"])
        return {"status": "applied"}

    def run(self, name: str, **variables: Any) -> list[dict[str, Any]]:
        assert name == "ListHeldPayment"
        self.listed.append(variables["attemptId"])
        return []

    def check(self, **changes: Any) -> None:
        ctx = context(hasura=self, gateway=lambda _: self, now=lambda: NOW)
        checks.check(ctx, ATTEMPT | changes)


def test_what_is_held_is_released_though_a_capture_was_begun() -> None:
    house = House()
    house.check()
    assert (house.asked, house.kept, house.listed) == (["cancel"], ["canceled"], [])


def test_what_is_held_though_another_attempt_paid_is_released() -> None:
    house = House()
    house.check(payment_intent={"status": "paid"})
    assert (house.asked, house.kept) == (["cancel"], ["canceled"])


def test_a_page_of_what_is_paid_is_not_closed_by_us() -> None:
    house = House()
    house.check(status="pending", gateway_payment_id=None, payment_intent={"status": "paid"})
    assert house.asked == ["find"]


def test_what_a_gateway_cannot_release_is_listed() -> None:
    house = House(ALL - {Capability.CANCEL})
    house.check()
    assert (house.asked, house.listed) == (["find"], [ATTEMPT["id"]])


def test_what_a_gateway_refuses_to_release_is_listed() -> None:
    house = House(failure=GatewayRefusedError("not now"))
    house.check()
    assert (house.asked, house.listed) == (["cancel", "find"], [ATTEMPT["id"]])


def test_what_is_held_no_more_is_not_listed() -> None:
    house = House(ALL - {Capability.CANCEL})
    house.found = Outcome.PAID
    house.check()
    assert (house.kept, house.listed) == (["paid"], [])


def test_of_silence_nothing_is_kept_or_listed() -> None:
    house = House(failure=GatewayUnavailableError("no answer"))
    with pytest.raises(GatewayUnavailableError):
        house.check()
    assert (house.kept, house.listed) == ([], [])


def test_an_open_page_is_closed() -> None:
    house = House()
    house.check(status="pending", gateway_payment_id=None)
    assert (house.asked, house.kept) == (["expire"], ["expired"])


def test_a_page_that_cannot_be_closed_is_asked_about() -> None:
    house = House(frozenset())
    house.found = Outcome.REQUIRES_ACTION
    house.check(status="pending", gateway_payment_id=None)
    assert (house.asked, house.kept, house.listed) == (["find"], [], [])


def test_a_saved_card_that_waits_for_its_bank_is_given_up() -> None:
    house = House()
    house.check(status="pending", checkout_session=None)
    assert house.asked == ["cancel"]


@pytest.mark.parametrize("status", ["created", "unknown", "processing", "failed", "expired"])
def test_of_others_the_gateway_is_only_asked(status: str) -> None:
    house = House()
    house.found = Outcome.PAID
    house.check(status=status)
    assert (house.asked, house.kept) == (["find"], ["paid"])


def test_of_a_payment_that_is_on_nothing_is_let_go() -> None:
    house = House()
    house.check(payment_intent={"status": "authorized"})
    assert (house.asked, house.kept) == (["capture"], ["paid"])
