"""Whether a gateway answers look-ups is noted where it is news; a refusal to say is borne."""

from datetime import UTC, datetime
from typing import Any

import pytest
from in_process import context

from app import budget
from app.capabilities import Capability
from app.circuits import capturing, looking_up, reading_disputes
from app.errors import (
    GatewayRefusedError,
    GatewaySilentError,
    GatewayUnavailableError,
    ServiceUnavailableError,
)
from app.gateways import Query
from app.gateways.stripe import Adapter as StripeAdapter
from app.gateways.stripe import Settings as StripeSettings
from app.http import Http
from app.payments import checks, verification
from app.refunds import sending
from app.refunds.schemas import Refund

NOW = datetime(2026, 11, 21, tzinfo=UTC)
INTENT = "6f1e9a3e-5a55-4a5a-9a55-000000000001"
ATTEMPT: dict[str, Any] = {
    "id": "6f1e9a3e-5a55-4a5a-9a55-000000000002",
    "status": "pending",
    "gateway": "cashfree",
    "gateway_account": "",
    "gateway_payment_id": None,
    "amount_to_capture": None,
    "currency": "INR",
    "failure_code": None,
    "decline_class": None,
    "declined_at": None,
    "created_at": NOW.isoformat(),
    "updated_at": NOW.isoformat(),
    "not_found_is_believed_at": NOW.isoformat(),
    "payment_intent": {"status": "pending"},
    "is_gateway_failing": False,
    "is_tried_out": False,
    "checkout_session": None,
    "payment_method": None,
}


class House:
    """A gateway that fails as it is told, and a database that notes what it is asked."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.capabilities: frozenset[Capability] = frozenset()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        stands = {"id": INTENT, "status": "pending", "payment_attempts": []}
        self.answers: dict[str, Any] = {"PaymentState": [stands]}

    @property
    def ctx(self) -> Any:
        return context(hasura=self, gateway=lambda _: self, now=lambda: NOW)

    def run(self, name: str, **asked: Any) -> list[dict[str, Any]]:
        self.asked.append((name, asked))
        answer = self.answers.get(name, [])
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    def one(self, name: str, **asked: Any) -> dict[str, Any]:
        (row,) = self.run(name, **asked)
        return row

    def find(self, _: Query) -> None:
        if self.failure:
            raise self.failure

    def names(self) -> list[str]:
        return [name for name, _ in self.asked]

    def look_up(self, **row: Any) -> None:
        with looking_up(self.ctx, ATTEMPT | row):
            self.find(Query(INTENT, NOW))


SILENCE = GatewaySilentError("no answer")
BUSY = GatewayUnavailableError("too many requests")
NO = GatewayRefusedError("no")


@pytest.mark.parametrize(
    ("failure", "was_failing", "noted"),
    [
        (None, False, []),
        (None, True, ["NoteGatewayAnswer"]),
        (NO, False, []),
        (NO, True, ["NoteGatewayAnswer"]),
        (BUSY, False, []),
        (BUSY, True, []),
        (SILENCE, False, ["NoteGatewaySilence"]),
        (SILENCE, True, ["NoteGatewaySilence"]),
    ],
)
def test_only_news_is_noted(failure, was_failing: bool, noted: list[str]) -> None:
    house = House(failure)
    if failure:
        with pytest.raises(type(failure)):
            house.look_up(is_gateway_failing=was_failing)
    else:
        house.look_up(is_gateway_failing=was_failing)

    assert house.names() == noted


@pytest.mark.parametrize(
    ("capabilities", "operations"),
    [(frozenset(), ["look-up"]), (frozenset({Capability.UNASKED}), ["look-up", "open"])],
)
def test_a_look_up_speaks_for_pages_that_ask_nobody(capabilities, operations) -> None:
    house = House(SILENCE)
    house.capabilities = capabilities
    with pytest.raises(GatewaySilentError):
        house.look_up()

    assert house.asked[0][1] == {"gateway": "cashfree", "operations": operations}


def test_a_note_that_cannot_be_made_hides_no_silence() -> None:
    house = House(SILENCE)
    house.answers["NoteGatewaySilence"] = ServiceUnavailableError("no database")

    with pytest.raises(GatewaySilentError):
        house.look_up()


@pytest.mark.parametrize("failure", [SILENCE, BUSY, NO], ids=["silent", "busy", "refused"])
@pytest.mark.parametrize("way", [verification.verify, verification.verify_return])
def test_a_gateway_that_will_not_say_leaves_the_state_that_is_known(way, failure) -> None:
    house = House(failure)
    house.answers |= {"OpenPaymentAttempts": [ATTEMPT], "ClaimReturnChecks": [ATTEMPT]}

    answer = way(house.ctx, INTENT)
    assert (answer["payment_intent_id"], answer["status"]) == (INTENT, "pending")


@pytest.mark.parametrize("status", ["created", "unknown"])
def test_a_refund_that_is_put_off_is_answered_and_not_sent(status: str) -> None:
    house = House()
    row = dict.fromkeys(
        ["payment_intent_id", "payment_attempt_id", "type", "reason", "fee_amount", "failure_code"]
    )
    row |= {"id": "r-1", "status": status, "gateway": "cashfree", "is_put_off": True}
    house.answers["OpenRefund"] = [row | {"amount": "100", "currency": "INR"}]
    asked = Refund(None, None, "requested_by_customer", None, "key-1")

    assert sending.refund(house.ctx, INTENT, asked)["status"] == status
    assert house.names() == ["OpenRefund"]


@pytest.mark.parametrize(
    ("asking", "operation"), [(capturing, "capture"), (reading_disputes, "dispute")]
)
def test_captures_and_disputes_are_counted_by_themselves(asking, operation: str) -> None:
    house = House(SILENCE)
    row = dict(ATTEMPT)
    with pytest.raises(GatewaySilentError), asking(house.ctx, row):
        house.find(Query(INTENT, NOW))
    house.failure = None
    with asking(house.ctx, row):  # the first answer after a silence, by the same row
        house.find(Query(INTENT, NOW))

    said = {"gateway": "cashfree", "operations": [operation]}
    assert house.asked == [("NoteGatewaySilence", said), ("NoteGatewayAnswer", said)]


def test_a_capture_that_is_not_answered_is_counted() -> None:
    house = House(SILENCE)
    house.capabilities = frozenset({Capability.AUTHORIZE})
    house.capture = lambda *_: house.find(Query(INTENT, NOW))  # type: ignore[attr-defined]
    with pytest.raises(GatewaySilentError):
        checks.take(house.ctx, ATTEMPT | {"amount_to_capture": "100", "gateway_payment_id": "x"})

    assert house.names() == ["NoteGatewaySilence"]


@pytest.mark.parametrize("ask", ["http", "stripe"])
def test_who_was_not_asked_for_lack_of_time_was_not_silent(ask: str) -> None:
    client = Http("Nobody", "http://127.0.0.1:9")
    gateway = StripeAdapter(StripeSettings("sk_test_1", ("whsec_1",), "http://127.0.0.1:9"))
    asking = {"http": lambda: client.get("/x"), "stripe": lambda: gateway.receipt_url("pi_1")}[ask]
    budget.begin(budget.BOOKS_SECONDS + 1)
    try:
        with pytest.raises(GatewayUnavailableError, match="was not asked") as failure:
            asking()
    finally:
        budget.finish()
    assert not isinstance(failure.value, GatewaySilentError)

    with pytest.raises(GatewaySilentError):
        asking()
    client.close()
    gateway.http.close()
