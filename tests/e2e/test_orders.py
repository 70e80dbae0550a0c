"""An order of another system is paid over real parts, by plain HTTP and by GraphQL."""

import re
from typing import Any
from uuid import uuid4

import httpx
import pytest
from e2e.product import World, until

from sandbox import tokens, world

NOBODYS = "6f1e9a3e-5a55-4a5a-9a55-0123456789ab"
GRACE = tokens.find("grace")
FIONA = tokens.find("fiona")

INITIATE = """
mutation ($order: String!, $amount: bigint!, $gateway: String) {
  initiatePayment(
    order_reference: $order, amount: $amount, currency: "USD", title: "A desk", gateway: $gateway
  ) {
    transaction_id gateway gateway_order_id payment_url status amount
    payment_intent { status amount }
  }
}
"""


def initiated(product: World, **changes: Any) -> dict[str, Any]:
    """An order of Grace's, by GraphQL, with a page of Stripe's."""
    asked = {"order": f"ORD-{uuid4().hex[:8]}", "amount": 4200, "gateway": "stripe"} | changes
    answer = product.graphql(INITIATE, GRACE, **asked)
    assert "errors" not in answer, answer
    return dict(answer["data"]["initiatePayment"])


def handover(product: World, order: dict[str, Any]) -> str:
    """Read off our page where it goes on to the gateway's."""
    page = product.web.get(order["payment_url"]).text
    (path,) = re.findall(r'href="(/payments/handover/[^"]*)"', page)
    return f"{product.ports.app_url}{path}"


def returning(product: World, order: dict[str, Any]) -> str:
    return handover(product, order).replace("handover", "return")


def shown(product: World, answer: httpx.Response) -> str:
    """Follow an answer to our page, and read that."""
    assert answer.status_code == 303, answer.text
    return product.web.get(f"{product.ports.app_url}{answer.headers['location']}").text


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

    page = product.web.get(handover(product, order))
    assert page.status_code == 200
    assert order["gateway_order_id"] in page.text

    back = returning(product, order)
    product.pay(order["gateway_order_id"])
    until(lambda: status(product, order["transaction_id"]) == "success", "the payment")
    thanks = shown(product, product.web.get(back))
    assert f"/payment-success?transaction_id={order['transaction_id']}" in thanks
    assert product.broken() == {}


def test_a_payer_may_come_back_before_the_webhook(product: World) -> None:
    product.fault("webhook:checkout.session.completed", "drop")
    product.fault("webhook:payment_intent.succeeded", "drop")
    order = initiated(product)
    url = returning(product, order)
    product.pay(order["gateway_order_id"])

    back = product.web.get(url, params={"session_id": order["gateway_order_id"]})
    assert "/payment-success?" in shown(product, back)
    assert status(product, order["transaction_id"]) == "success"


def test_a_payer_who_turns_back_may_pay_later(product: World) -> None:
    order = initiated(product)
    page = shown(product, product.web.get(returning(product, order)))

    assert "/payment-cancelled?" in page
    assert "You have not paid yet" in page
    assert product.web.get(handover(product, order)).status_code == 200
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


RECORDS = """
query ($order: String!) {
  novamart_payments(where: {orderId: {_eq: $order}}) {
    paymentId orderId customerId amount currency status transactionId createdAt updatedAt
  }
  novamart_refunds(where: {orderId: {_eq: $order}}) {
    refundId paymentId orderId customerId amount reason status transactionId createdAt updatedAt
  }
}
"""


def test_novamart_reads_its_records_in_its_own_words(product: World) -> None:
    reference = f"ORD-{uuid4().hex[:8]}"
    order = initiated(product, order=reference)
    product.pay(order["gateway_order_id"])
    until(lambda: status(product, order["transaction_id"]) == "success", "the payment")
    asked = {"amount": 1050, "reason": "requested_by_customer", "idempotency_key": reference}
    path = f"/payments/{order['transaction_id']}/refund"
    assert rest(product, "POST", path, json=asked).status_code == 200

    for reader in (GRACE, FIONA):
        found = product.graphql(RECORDS, reader, order=reference)["data"]
        (payment,), (refund,) = found["novamart_payments"], found["novamart_refunds"]
        # Numbers, in units of the currency.
        assert (payment["amount"], payment["currency"]) == (42.00, "USD")
        assert (payment["orderId"], payment["status"]) == (reference, "SUCCEEDED")
        assert payment["transactionId"].startswith("pi_")
        assert (refund["amount"], refund["paymentId"]) == (10.50, payment["paymentId"])
        assert refund["status"] in {"PENDING", "SUCCEEDED"}
    nothing: dict[str, list[Any]] = {"novamart_payments": [], "novamart_refunds": []}
    for stranger in ("ada", "hedy"):
        assert product.graphql(RECORDS, tokens.find(stranger), order=reference)["data"] == nothing


@pytest.mark.parametrize("attempt", ["nonsense", NOBODYS, "TXN-0123456789"])
@pytest.mark.parametrize("way", ["handover", "return"])
def test_an_address_that_nobody_was_given_is_none(product: World, way: str, attempt: str) -> None:
    answer: httpx.Response = product.web.get(f"{product.ports.app_url}/payments/{way}/{attempt}")
    assert answer.status_code == 404


def test_a_return_for_another_page_is_refused(product: World) -> None:
    mine, other = initiated(product), initiated(product)

    session = {"session_id": other["gateway_order_id"]}
    answer = product.web.get(returning(product, mine), params=session)
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
