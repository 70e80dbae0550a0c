"""What is authorised first: by card, at a gateway that can hold money, and nowhere else."""

from typing import Any

import pytest
from in_process import context

from app import gateways
from app.context import Context
from app.errors import SettingInvalidError
from app.gateways import Method
from app.payments import orders
from app.payments.schemas import InitiatePaymentSchema
from sandbox import world
from sandbox.world import Ports

ORDER = {"order_reference": "BK-1", "amount": 4200, "capture_method": "manual"}
PAGE: dict[str, Any] = {
    "currency": "INR",
    "amount": "4200",
    "upi_amount_max": "10000000",
    "capture_method": "manual",
    "routes": [{"gateway": name, "methods": None} for name in ("payu", "razorpay", "cashfree")],
    "token": "t",
    "bank_account": None,
}


class Hasura:
    """Answers the page, and notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def one(self, name: str, **variables: Any) -> dict[str, Any]:
        self.asked.append((name, variables))
        attempt = {"payment_attempt_status": "pending", "url": "x", "is_over": False}
        names = ("gateway", "gateway_session_id", "status", "transaction_status")
        return {**PAGE, **attempt, **dict.fromkeys(names)}


@pytest.fixture
def ctx() -> Context:
    return over(Hasura())


def over(hasura: Hasura) -> Context:
    environ = world.app_environment(Ports())
    return context(hasura=hasura, gateway=gateways.finder(environ), environ=environ)


def initiate(**said: str) -> list[tuple[str, dict[str, Any]]]:
    hasura = Hasura()
    orders.initiate(over(hasura), InitiatePaymentSchema().load(ORDER | said))
    return hasura.asked


def test_only_cards_are_offered_and_only_where_they_can_be_held(ctx: Context) -> None:
    assert orders.offers(ctx, PAGE) == {Method.CARD: ["razorpay", "cashfree"]}
    automatic = orders.offers(ctx, PAGE | {"capture_method": "automatic"})
    assert automatic[Method.CARD] == ["payu", "razorpay", "cashfree"]
    assert Method.UPI in automatic


def test_without_a_gateway_the_payers_click_chooses() -> None:
    ((name, variables),) = initiate(method="card")
    assert (name, variables["captureMethod"]) == ("OpenPaymentPage", "manual")


def test_a_gateway_that_is_named_is_asked_for_a_card() -> None:
    asked = dict(initiate(gateway="razorpay"))
    opened = asked["OpenOrderCheckout"]
    assert (opened["gateway"], opened["method"], opened["captureMethod"]) == (
        *("razorpay", Method.CARD, "manual"),
    )


@pytest.mark.parametrize("said", [{"gateway": "payu"}, {"method": "upi"}])
def test_what_cannot_be_held_is_refused_before_a_gateway_is_asked(
    ctx: Context, said: dict[str, str]
) -> None:
    with pytest.raises(SettingInvalidError):
        initiate(**said)
