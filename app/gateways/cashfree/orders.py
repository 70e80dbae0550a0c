"""What Cashfree is asked for when a page is opened, and the page itself.

https://www.cashfree.com/docs/api-reference/payments/latest/orders/create
"""

from typing import Any
from urllib.parse import urlsplit

from app.errors import GatewayRefusedError
from app.gateways import Charge, Checkout, UpiIntent
from app.gateways.cashfree.words import OFFERS, Object, money, needed, time

NOTE_LENGTH_MIN, NOTE_LENGTH_MAX = 3, 200
NAME_LENGTH_MIN, NAME_LENGTH_MAX = 3, 100

# With this note Cashfree's test system only holds the money. A live account is set up so by
# Cashfree, for all of its card payments; there the note means nothing.
# https://www.cashfree.com/docs/api-reference/payments/preauth-journey
HOLD_NOTE = "preauth_transaction"

# What cashfree.js (v3) does: it posts the session there as a form. It is so to be seen in its
# source, not in the documentation.
PAGE_PATH = "/view/sessions/checkout"

# From there browsers are led on to the page itself, which is on another host of Cashfree's
# (payments.cashfree.com, as far as is known; its documentation names none).
DOMAIN = ".cashfree.com"


def order(charge: Charge) -> dict[str, Any]:
    """Write the order. Raises GatewayRefusedError for what Cashfree does not take."""
    if charge.amount.currency != "INR":
        message = f"Cashfree takes INR, not {charge.amount.currency}"
        raise GatewayRefusedError(message)
    wanted: dict[str, Any] = {
        "order_id": charge.id,
        "order_amount": charge.amount.decimal,
        "order_currency": charge.amount.currency,
        "customer_details": _payer(charge),
        "order_meta": {"return_url": charge.success_url, **_offer(charge)},
        "order_expiry_time": charge.expires_at.isoformat(timespec="seconds"),
    }
    note = HOLD_NOTE if charge.authorize_only else charge.title[:NOTE_LENGTH_MAX]
    if len(note) >= NOTE_LENGTH_MIN:
        wanted["order_note"] = note
    return wanted


def _payer(charge: Charge) -> dict[str, str]:
    """Name the payer, whose id may have letters and digits only and is no other order's."""
    if not charge.phone:
        message = "Cashfree needs the payer's phone number, and this payer has none"
        raise GatewayRefusedError(message)
    payer = {
        "customer_id": charge.id.replace("-", ""),
        "customer_phone": charge.phone.removeprefix("+91"),
    }
    if charge.email:
        payer["customer_email"] = charge.email
    if len(charge.name) >= NAME_LENGTH_MIN:
        payer["customer_name"] = charge.name[:NAME_LENGTH_MAX]
    return payer


def _offer(charge: Charge) -> dict[str, str]:
    if charge.method is None:
        return {}
    if charge.method not in OFFERS:
        message = f"Cashfree's page does not take {charge.method}"
        raise GatewayRefusedError(message)
    return {"payment_methods": OFFERS[charge.method]}


def checkout(checkout_url: str, found: Object) -> Checkout:
    """Give the page of an order. The payer's browser must post there."""
    host = urlsplit(checkout_url).hostname or ""
    return Checkout(
        reference=needed(found["order_id"]),
        url=f"{checkout_url}{PAGE_PATH}",
        form={"payment_session_id": needed(found["payment_session_id"])},
        leads_to=(f"https://*{DOMAIN}",) if host.endswith(DOMAIN) else (),
    )


def is_same(charge: Charge, found: Object) -> bool:
    """Say whether an order that exists already asks for the same money."""
    return money(found["order_amount"], found["order_currency"]) == charge.amount


def upi_try(order: Object) -> dict[str, Any]:
    """Ask for a try by UPI, which answers links into the payer's app.

    https://www.cashfree.com/docs/api-reference/payments/latest/payments/pay
    """
    return {
        "payment_session_id": needed(order["payment_session_id"]),
        "payment_method": {"upi": {"channel": "link"}},
    }


def upi_intent(charge: Charge, order: Object, found: Object) -> UpiIntent:
    """Read the link that any UPI app takes. One for another amount is no answer to us."""
    if money(found["payment_amount"], charge.amount.currency) != charge.amount:
        raise ValueError("this is another amount")
    return UpiIntent(
        reference=needed(order["order_id"]),
        link=str(found["data"]["payload"]["default"]),
        expires_at=time(order.get("order_expiry_time")) or charge.expires_at,
    )
