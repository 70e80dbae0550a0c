"""What a payer's browser brings back to the merchant.

https://razorpay.com/docs/payments/payment-gateway/callback-url/
"""

import hmac
import json

from sandbox.gateways.server.state import Document

ERRORS = ("code", "description", "source", "step", "reason")


def fields_of(payment: Document, key_secret: str) -> dict[str, str]:
    """Give the fields of a return: signed after a success, unsigned after a failure."""
    order = payment["order_id"]
    if payment["status"] in {"authorized", "captured", "refunded"}:
        message = f"{order}|{payment['id']}".encode()
        signature = hmac.new(key_secret.encode(), message, "sha256").hexdigest()
        return {
            "razorpay_payment_id": payment["id"],
            "razorpay_order_id": order,
            "razorpay_signature": signature,
        }
    if payment["status"] != "failed":
        return {}
    metadata = {"payment_id": payment["id"], "order_id": order}
    errors = {f"error[{name}]": payment[f"error_{name}"] or "" for name in ERRORS}
    return {**errors, "error[metadata]": json.dumps(metadata)}
