"""Orders, payments and refunds as Cashfree's API answers them, for tests without a simulator."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.money import Money

API = "https://sandbox.cashfree.com/pg"
SECRET = "cf_secret_A"
ATTEMPT = "6f1e9a3e-5a55-4a5a-9a55-000000000001"
REFUND = "0d9c8b7a-1111-4222-8333-000000000007"
NOW = datetime.fromtimestamp(1790000005, UTC)
ORDER = {"order_id": ATTEMPT, "order_amount": Decimal("2500.00"), "order_currency": "INR"}
INR_2500 = Money(250_000, "INR")


def payment(status: str, **changes: Any) -> dict[str, Any]:
    return {
        "cf_payment_id": "1453002795",
        "payment_status": status,
        "payment_amount": Decimal("2500.00"),
        "payment_currency": "INR",
        "payment_group": "upi",
        "payment_time": "2026-09-21T19:43:20+05:30",
        "is_captured": True,
    } | changes


def refund(**changes: Any) -> dict[str, Any]:
    return {
        "cf_refund_id": 11325999,
        "cf_payment_id": 1453002795,
        "refund_id": REFUND.replace("-", ""),
        "order_id": ATTEMPT,
        "refund_amount": Decimal("1000.00"),
        "refund_currency": "INR",
        "refund_type": "MERCHANT_INITIATED",
        "refund_status": "SUCCESS",
        "refund_arn": None,
        "status_description": "bank account closed",
    } | changes


def dispute(**changes: Any) -> dict[str, Any]:
    """As the documentation shows an answer's: no zones, and an end that is far away."""
    return {
        "dispute_id": 433447817,
        "dispute_type": "CHARGEBACK",
        "reason_code": 1401,
        "reason_description": "Fraud Transaction",
        "dispute_amount": 2500,
        "created_at": "2026-09-21T19:43:20",
        "respond_by": "2026-09-28T00:00:00",
        "updated_at": "2026-09-21T19:43:20",
        "resolved_at": "9999-09-09T00:00:00",
        "dispute_status": "CHARGEBACK_CREATED",
        "cf_dispute_remarks": "",
        "preferred_evidence": [],
        "dispute_evidence": [],
        "order_details": {
            "order_id": ATTEMPT,
            "order_currency": "INR",
            "order_amount": 2500,
            "cf_payment_id": 1453002795,
            "payment_currency": "INR",
            "payment_amount": 2500,
        },
        "customer_details": {"customer_name": "Asha Rao", "customer_phone": 9812345670},
    } | changes
