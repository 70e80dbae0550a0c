"""Signed webhooks as bytes, each used once, made of a number that the databases know too."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from uuid import UUID

from sandbox.gateways.stripe import line_items
from sandbox.gateways.stripe.session_shapes import new_session

SECRET = "whsec_sandbox_secret_known_to_everybody"
AMOUNT = 2500
CURRENCY = "USD"
ACCOUNT = "acct_1BenchMerchant"
API_VERSION = "2026-05-27.dahlia"
MARK = "0123456789abcdef0123456789abcdef"  # stands where an event says which it is
MARKED_ID = str(UUID(MARK))


@dataclass(frozen=True, slots=True)
class Message:
    """What one kind of service is sent: where, and which event."""

    path: str
    event: str


def attempt_id(number: int) -> UUID:
    """Return the id of a payment: as random as a real one, and the same in SQL."""
    return UUID(hashlib.md5(f"attempt {number}".encode()).hexdigest())


def payment_intent(mark: str, now: int) -> dict[str, object]:
    """Write a payment that succeeded, as Stripe's API shows it, with nothing else to fetch."""
    empty = (
        *("amount_details", "application", "application_fee_amount", "automatic_payment_methods"),
        *("canceled_at", "cancellation_reason", "client_secret", "customer", "customer_account"),
        *("hooks", "last_payment_error", "latest_charge", "next_action", "on_behalf_of"),
        *("payment_method", "payment_method_configuration_details", "processing", "review"),
        *("setup_future_usage", "shipping", "source", "statement_descriptor"),
        *("statement_descriptor_suffix", "transfer_data", "transfer_group"),
    )
    return {
        "id": f"pi_{mark}",
        "object": "payment_intent",
        **dict.fromkeys(empty),
        "amount": AMOUNT,
        "amount_capturable": 0,
        "amount_received": AMOUNT,
        "capture_method": "automatic_async",
        "confirmation_method": "automatic",
        "created": now,
        "currency": CURRENCY.lower(),
        "description": "250 credits",
        "excluded_payment_method_types": None,
        "livemode": False,
        "metadata": {"payment_attempt_id": str(UUID(mark))},
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "receipt_email": "payer@example.com",
        "status": "succeeded",
    }


def checkout_session(mark: str, now: int) -> dict[str, object]:
    """Write a page that was paid."""
    price = {
        "currency": CURRENCY.lower(),
        "unit_amount": AMOUNT,
        "product_data": {"name": "250 credits"},
    }
    items = line_items.build(mark, [{"quantity": 1, "price_data": price}], now)
    reference = str(UUID(mark))
    asked = {
        "client_reference_id": reference,
        "customer_email": "payer@example.com",
        "metadata": {"payment_attempt_id": reference},
        "mode": "payment",
        "success_url": "https://shop.example/paid?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://shop.example/cancelled",
    }
    session = new_session(f"cs_test_{mark}", asked, items, ["card"], now)
    session |= {"payment_intent": f"pi_{mark}", "payment_status": "paid", "status": "complete"}
    return {name: value for name, value in session.items() if not name.startswith("_")}


OBJECTS = {
    "checkout.session.completed": checkout_session,
    "payment_intent.succeeded": payment_intent,
}


def template(event: str) -> str:
    """Write an event with MARK where its number goes."""
    now = int(time.time())
    return json.dumps(
        {
            "id": f"evt_{MARK}",
            "object": "event",
            "api_version": API_VERSION,
            "created": now,
            "data": {"object": OBJECTS[event](MARK, now)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": event,
        },
        indent=2,
    )


def prepare(message: Message, first: int, count: int) -> list[bytes]:
    """Return the requests of so many events, signed now."""
    text, stamp = template(message.event), int(time.time())
    return [_request(message.path, text, attempt_id(first + n), stamp) for n in range(count)]


def _request(path: str, text: str, identifier: UUID, stamp: int) -> bytes:
    body = text.replace(MARKED_ID, str(identifier)).replace(MARK, identifier.hex).encode()
    signed = hmac.digest(SECRET.encode(), b"%d.%s" % (stamp, body), "sha256").hex()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nstripe-signature: t={stamp},v1={signed}\r\n\r\n"
    )
    return head.encode() + body
