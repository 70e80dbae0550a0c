"""kill -9 of the service before and after each of its calls: the same request completes it."""

import os
import signal
from uuid import uuid4

import httpx
import pytest
from e2e.product import SECONDS_MAX, World, until
from e2e.proxy import Proxy, Trap


def kill(product: World) -> None:
    os.kill(product.app.process_id, signal.SIGKILL)


def trap(product: World, proxy: Proxy, text: str, when: str) -> Trap:
    return proxy.trap(text, when, lambda: kill(product))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("proxy", "call"),
    [
        ("to_hasura", "OpenCreditPurchase"),
        ("to_stripe", "/v1/checkout/sessions"),
        ("to_hasura", "RecordCheckoutSession"),
    ],
)
def test_a_service_killed_while_opening_a_page(product: World, proxy, call, when) -> None:
    key = str(uuid4())
    before = product.balance()
    sprung = trap(product, getattr(product, proxy), call, when).sprung
    with pytest.raises(httpx.HTTPError):
        product.create_payment(idempotency_key=key)
    assert sprung.wait(SECONDS_MAX)  # the service dies a moment before the trap says so

    product.restart_app()
    answer = product.create_payment(idempotency_key=key)
    assert answer.status_code == 200
    product.pay(answer.json()["session_id"])
    until(lambda: product.balance() == before + 250, "the credits")

    rows = product.sql(
        "select payment_intents.status from credit_purchases"
        " join payment_intents on payment_intents.id = payment_intent_id"
        " where idempotency_key = %s",
        key,
    )
    assert [row["status"] for row in rows] == ["paid"]
    assert product.balance() == before + 250
    assert product.broken() == {}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_service_killed_while_taking_a_webhook(product: World, when: str) -> None:
    before = product.balance()
    payment = product.create_payment().json()
    sprung = trap(product, product.to_hasura, "ReceiveGatewayEvent", when).sprung
    product.pay(payment["session_id"])
    assert sprung.wait(SECONDS_MAX)

    product.restart_app()
    until(lambda: product.balance() == before + 250, "the credits")
    entries = product.sql(
        "select from credit_entries where reference_id = %s", payment["credit_purchase_id"]
    )
    assert len(entries) == 1
    assert product.broken() == {}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("proxy", "call"),
    [
        ("to_stripe", "/v1/payment_intents/"),
        ("to_hasura", "RecordReceipt"),
    ],
)
def test_a_service_killed_while_fetching_a_receipt(product: World, proxy, call, when) -> None:
    payment = product.create_payment().json()
    sprung = trap(product, getattr(product, proxy), call, when).sprung
    product.pay(payment["session_id"])
    assert sprung.wait(SECONDS_MAX)

    product.restart_app()

    def stored() -> bool:
        (row,) = product.sql(
            "select receipt_url from payment_attempts where payment_intent_id = %s",
            payment["payment_intent_id"],
        )
        return bool(row["receipt_url"])

    until(stored, "the receipt")
