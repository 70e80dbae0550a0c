"""An order of another system is paid over real parts, by plain HTTP and by GraphQL."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from e2e.product import World, until

from sandbox import tokens, world

GRACE = tokens.find("grace")
FIONA = tokens.find("fiona")

INITIATE = """
mutation ($order: String!, $amount: bigint!) {
  initiatePayment(order_reference: $order, amount: $amount, currency: "USD", title: "A desk") {
    transaction_id gateway gateway_order_id payment_url status amount
    payment_intent { status amount }
  }
}
"""


def initiated(product: World, **changes: Any) -> dict[str, Any]:
    """An order of Grace's, by GraphQL."""
    asked = {"order": f"ORD-{uuid4().hex[:8]}", "amount": 4200} | changes
    answer = product.graphql(INITIATE, GRACE, **asked)
    assert "errors" not in answer, answer
    return dict(answer["data"]["initiatePayment"])


def status(product: World, transaction_id: str) -> str:
    (row,) = product.sql(
        "select transaction_status as it from order_checkouts where display_id = %s",
        transaction_id,
    )
    return str(row["it"])


def rest(product: World, method: str, path: str, user: tokens.User = FIONA, **more: Any) -> Any:
    headers = {
        "ACTION-SECRET": world.ACTION_SECRET,
        "x-hasura-role": user.roles[0],
        "x-hasura-user-id": user.id,
        "x-hasura-organization-id": str(user.organization_id),
        **more.pop("headers", {}),
    }
    return product.web.request(method, f"{product.ports.app_url}{path}", headers=headers, **more)


def test_an_order_is_paid_and_the_payer_comes_back(product: World) -> None:
    order = initiated(product)
    assert (order["gateway"], order["status"]) == ("stripe", "pending")
    assert order["payment_intent"] == {"status": "pending", "amount": "4200"}

    page = product.web.get(order["payment_url"])
    assert page.status_code == 303
    assert order["gateway_order_id"] in page.headers["location"]

    product.pay(order["gateway_order_id"])
    until(lambda: status(product, order["transaction_id"]) == "success", "the payment")
    back = product.web.get(order["payment_url"])
    assert back.status_code == 303
    assert "/payment-success?" in back.headers["location"]
    assert order["transaction_id"] in back.headers["location"]
    assert product.broken() == {}


def test_a_payer_may_come_back_before_the_webhook(product: World) -> None:
    product.fault("webhook:checkout.session.completed", "drop")
    product.fault("webhook:payment_intent.succeeded", "drop")
    order = initiated(product)
    attempt = order["payment_url"].rpartition("/")[2]
    product.pay(order["gateway_order_id"])

    url = f"{product.ports.app_url}/payments/return/{attempt}"
    back = product.web.get(url, params={"session_id": order["gateway_order_id"]})
    assert "/payment-success?" in back.headers["location"]
    assert status(product, order["transaction_id"]) == "success"


def test_a_payer_who_turns_back_may_pay_later(product: World) -> None:
    order = initiated(product)
    attempt = order["payment_url"].rpartition("/")[2]
    back = product.web.get(f"{product.ports.app_url}/payments/return/{attempt}")

    assert "/payment-cancelled?" in back.headers["location"]
    assert product.web.get(order["payment_url"]).status_code == 303
    assert status(product, order["transaction_id"]) == "initiated"


def test_a_refund_and_a_question_take_the_display_id(product: World) -> None:
    order = initiated(product)
    product.pay(order["gateway_order_id"])
    until(lambda: status(product, order["transaction_id"]) == "success", "the payment")

    verified = rest(product, "GET", f"/payments/{order['transaction_id']}/verify")
    assert verified.json()["status"] == "paid"
    asked = {"reason": "requested_by_customer", "idempotency_key": str(uuid4())}
    path = f"/payments/{order['transaction_id']}/refund"
    refunded = rest(product, "POST", path, json=asked)
    assert refunded.status_code == 200, refunded.text
    assert refunded.json()["amount"] == "4200"
    until(lambda: status(product, order["transaction_id"]) == "refunded", "the refund")
    stranger = tokens.find("hedy")
    assert rest(product, "GET", path.replace("refund", "verify"), stranger).status_code == 404


@pytest.mark.parametrize("attempt", ["nonsense", str(uuid4()), "TXN-0123456789"])
@pytest.mark.parametrize("way", ["handover", "return"])
def test_an_address_that_nobody_was_given_is_none(product: World, way: str, attempt: str) -> None:
    answer: httpx.Response = product.web.get(f"{product.ports.app_url}/payments/{way}/{attempt}")
    assert answer.status_code == 404


def test_a_return_for_another_page_is_refused(product: World) -> None:
    mine, other = initiated(product), initiated(product)
    attempt = mine["payment_url"].rpartition("/")[2]
    url = f"{product.ports.app_url}/payments/return/{attempt}"

    answer = product.web.get(url, params={"session_id": other["gateway_order_id"]})
    assert answer.status_code == 401


BOOKING = {"booking_id": "BK-1", "shipper_id": "SHP-1001", "amount": 2450.10, "gateway": "stripe"}


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 1.005},
        {"amount": -1},
        {"amount": "2,450"},
        {"amount": None},
        {"amount": True},
        {"booking_id": ""},
        {"shipper_id": None},
        {"payment_method": "barter"},
        {"gateway": "../etc"},
        {"metadata": {"a": {"b": 1}}},
        {"surprise": 1},
    ],
)
def test_a_booking_that_is_not_right_is_refused(product: World, change: dict[str, Any]) -> None:
    answer = rest(product, "POST", "/payments/initiate", json=BOOKING | change)

    assert answer.status_code == 400
    assert "Traceback" not in answer.text


def test_a_tenant_in_a_header_must_be_the_callers(product: World) -> None:
    headers = {"X-Tenant-Id": tokens.HARBOUR_CAMPUS}

    answer = rest(product, "POST", "/payments/initiate", json=BOOKING, headers=headers)
    assert answer.status_code == 403


def test_nobody_initiates_without_the_secret(product: World) -> None:
    url = f"{product.ports.app_url}/payments/initiate"
    assert product.web.post(url, json=BOOKING).status_code == 401
