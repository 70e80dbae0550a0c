"""A booking in rupees is paid at Cashfree, by the forms that a payer's browser carries."""

import re
from html import unescape
from typing import Any
from uuid import uuid4

from e2e.product import World, until
from e2e.test_orders import handover, rest, shown, status

from sandbox import tokens

TARUN = tokens.find("tarun")
Form = dict[str, str]


def booked(product: World) -> dict[str, Any]:
    booking = {
        "booking_id": f"BK-{uuid4().hex[:8]}",
        "shipper_id": "SHP-1001",
        "amount": 2450.10,
        "gateway": "cashfree",
    }
    answer = rest(product, "POST", "/payments/initiate", TARUN, json=booking)
    assert answer.is_success, answer.text
    return dict(answer.json())


def hidden(page: str) -> Form:
    fields = re.findall(r'<input type="hidden" name="([\w-]+)" value="([^"]*)"', page)
    return {name: unescape(value) for name, value in fields}


def carried(product: World, order: dict[str, Any], vpa: str) -> Any:
    """Go from our page to Cashfree's, pay there, and stop before coming back."""
    ours = product.web.get(handover(product, order)).text
    (action,) = re.findall(r'<form[^>]* action="([^"]*)"', ours)
    arrived = product.web.post(unescape(action), data=hidden(ours))
    assert arrived.status_code == 303, arrived.text
    address = f"{product.ports.gateways_url}{arrived.headers['location']}"
    chosen = {"method": "upi", "vpa": vpa}
    return product.web.post(address, data={**hidden(product.web.get(address).text), **chosen})


def test_a_booking_is_paid_at_cashfree_and_the_payer_comes_back(product: World) -> None:
    order = booked(product)
    away = carried(product, order, "testsuccess@gocash")
    assert away.status_code == 303
    back = product.web.get(away.headers["location"])

    assert "/payment-success?" in shown(product, back)
    until(lambda: status(product, order["transaction_id"]) == "success", "the payment")
    assert product.broken() == {}


def test_a_booking_that_was_declined_may_be_paid_on_the_same_page(product: World) -> None:
    order = booked(product)
    assert carried(product, order, "testfailure@gocash").status_code == 402
    assert status(product, order["transaction_id"]) != "success"
    assert carried(product, order, "testsuccess@gocash").status_code == 303

    until(lambda: status(product, order["transaction_id"]) == "success", "the payment")
    assert product.broken() == {}


def test_what_cashfree_took_goes_back(product: World) -> None:
    order = booked(product)
    carried(product, order, "testsuccess@gocash")
    until(lambda: status(product, order["transaction_id"]) == "success", "the payment")
    asked = {"reason": "requested_by_customer", "idempotency_key": str(uuid4())}
    path = f"/payments/{order['transaction_id']}/refund"
    refunded = rest(product, "POST", path, TARUN, json=asked)

    assert refunded.status_code == 200, refunded.text
    assert (refunded.json()["status"], refunded.json()["amount"]) == ("succeeded", "245010")
    assert status(product, order["transaction_id"]) == "refunded"
    assert product.broken() == {}
