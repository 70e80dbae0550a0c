"""Razorpay's entities as its documentation has them, for the tests to change."""

from datetime import UTC, datetime
from typing import Any

from app.gateways import Charge, Query
from app.money import Money

ATTEMPT = "3f0c1a52-7d7e-4c1b-9a35-5f0e8c6d1a01"
REFUND = "8a9d6a10-55c2-4be0-8f3e-2b7c9d4e5f02"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
KEY_SECRET, SECRET, OLD_SECRET = "invented-key-secret", "invented-new-secret", "invented-old-secret"
INR_2500 = Money(250_000, "INR")


def payment(status: str = "captured", **changes: Any) -> dict[str, Any]:
    return {
        "id": "pay_1",
        "entity": "payment",
        "amount": 250_000,
        "currency": "INR",
        "status": status,
        "order_id": "order_1",
        "method": "card",
        "captured": status == "captured",
        "notes": [],
        "error_code": None,
        "error_description": None,
        "error_source": None,
        "error_step": None,
        "error_reason": None,
        "created_at": 1_795_254_000,
    } | changes


def failed(reason: str, code: str = "BAD_REQUEST_ERROR", source: str = "bank") -> dict[str, Any]:
    error = {"error_code": code, "error_reason": reason, "error_source": source}
    return payment("failed", error_description="No.", **error)


def order(status: str = "created", **changes: Any) -> dict[str, Any]:
    return {
        "id": "order_1",
        "entity": "order",
        "amount": 250_000,
        "amount_paid": 0,
        "currency": "INR",
        "receipt": ATTEMPT,
        "status": status,
        "attempts": 0,
        "notes": {"payment_attempt_id": ATTEMPT},
        "created_at": 1_795_253_900,
    } | changes


def refund(status: str = "processed", **changes: Any) -> dict[str, Any]:
    return {
        "id": "rfnd_1",
        "entity": "refund",
        "amount": 100_000,
        "currency": "INR",
        "payment_id": "pay_1",
        "notes": {"refund_id": REFUND},
        "receipt": REFUND,
        "status": status,
        "created_at": 1_795_260_000,
    } | changes


def dispute(**changes: Any) -> dict[str, Any]:
    return {
        "id": "disp_1",
        "entity": "dispute",
        "payment_id": "pay_1",
        "amount": 250_000,
        "currency": "INR",
        "status": "open",
        "phase": "chargeback",
        "created_at": 1_795_270_000,
    } | changes


def listed(*items: Any) -> dict[str, Any]:
    return {"entity": "collection", "count": len(items), "items": list(items)}


def error(description: str, code: str = "BAD_REQUEST_ERROR", **changes: Any) -> dict[str, Any]:
    found = {"code": code, "description": description, "source": "business", "step": "NA"}
    return {"error": {**found, "reason": "input_validation_failed", "metadata": {}, **changes}}


def event(name: str = "payment.captured", **changes: Any) -> dict[str, Any]:
    return {
        "entity": "event",
        "account_id": "acc_1",
        "event": name,
        "contains": ["payment"],
        "payload": {"payment": {"entity": payment()}},
        "created_at": 1_795_254_005,
    } | changes


def charge(**changes: Any) -> Charge:
    wanted: dict[str, Any] = {
        "id": ATTEMPT,
        "amount": INR_2500,
        "title": "250 credits",
        "email": "asha@example.com",
        "name": "Asha Rao",
        "phone": "+919876543210",
        "success_url": "https://shop.example/paid?a=1",
        "cancel_url": "https://shop.example/cancelled",
        "expires_at": NOW,
    }
    return Charge(**{**wanted, **changes})


def query(**details: Any) -> Query:
    return Query(payment_attempt_id=ATTEMPT, since=NOW, **details)
