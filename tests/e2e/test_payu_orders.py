"""A booking in rupees is paid at PayU, by the forms that a payer's browser carries."""

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
        "gateway": "payu",
    }
    answer = rest(product, "POST", "/payments/initiate", TARUN, json=booking)
    assert answer.is_success, answer.text
    return dict(answer.json())


def form_of(page: str) -> tuple[str, Form]:
    """Read a page's one form: where it goes, and its hidden fields."""
    fields = re.findall(r'<input type="hidden" name="([\w-]+)" value="([^"]*)"', page)
    (action,) = re.findall(r'<form[^>]* action="([^"]*)"', page)
    return unescape(action), {name: unescape(value) for name, value in fields}


def carried(product: World, order: dict[str, Any], **chosen: str) -> tuple[str, Form]:
    """Go from our page to PayU's, choose there, and stop before coming back."""
    url, fields = form_of(product.web.get(handover(product, order)).text)
    arrived = product.web.post(url, data=fields)
    assert arrived.status_code == 303, arrived.text
    page = product.web.get(arrived.headers["location"])
    _, hidden = form_of(page.text)
    options = f"{product.ports.gateways_url}/payu/_payment_options"
    paid = product.web.post(options, data={**hidden, **chosen})
    return form_of(product.web.get(paid.headers["location"]).text)


def test_a_booking_is_paid_at_payu_and_the_payer_comes_back(product: World) -> None:
    order = booked(product)
    url, fields = carried(product, order, method="upi", vpa="success@payu")
    forged = product.web.post(url, data={**fields, "amount": "1.00"})
    back = product.web.post(url, data=fields)

    assert forged.status_code == 401
    assert "/payment-success?" in shown(product, back)
    assert status(product, order["transaction_id"]) == "success"
    assert product.broken() == {}


def test_the_webhook_of_payu_has_it_asked_and_nobody_need_come_back(product: World) -> None:
    order = booked(product)
    carried(product, order, method="upi", vpa="success@payu")

    until(lambda: status(product, order["transaction_id"]) == "success", "the payment")
    assert product.broken() == {}


def test_a_payer_who_posts_their_own_return_to_the_webhook_gains_nothing(product: World) -> None:
    order = booked(product)
    _, fields = carried(product, order, method="upi", vpa="failure@payu")
    webhook = f"{product.ports.app_url}/payu-webhook"
    forged = product.web.post(webhook, data={**fields, "unmappedstatus": "captured"})
    altered = product.web.post(webhook, data={**fields, "status": "success"})

    assert (forged.status_code, altered.status_code) == (200, 401)
    assert status(product, order["transaction_id"]) == "failed"
    assert product.broken() == {}


def test_a_booking_that_was_declined_at_payu_has_failed(product: World) -> None:
    order = booked(product)
    url, fields = carried(product, order, method="upi", vpa="failure@payu")
    back = product.web.post(url, data=fields)

    assert "/payment-cancelled?" in shown(product, back)
    assert status(product, order["transaction_id"]) == "failed"


def test_what_payu_took_goes_back(product: World) -> None:
    order = booked(product)
    carried(product, order, method="upi", vpa="success@payu")
    until(lambda: status(product, order["transaction_id"]) == "success", "the payment")
    asked = {"reason": "requested_by_customer", "idempotency_key": str(uuid4())}
    path = f"/payments/{order['transaction_id']}/refund"
    refunded = rest(product, "POST", path, TARUN, json=asked)

    assert refunded.status_code == 200, refunded.text
    assert (refunded.json()["status"], refunded.json()["amount"]) == ("succeeded", "245010")
    assert status(product, order["transaction_id"]) == "refunded"
    assert product.broken() == {}
