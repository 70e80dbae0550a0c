"""Razorpay's UPI without its page: a payment that we begin, and the payer's app completes.

https://razorpay.com/docs/payments/payment-gateway/s2s-integration/json/v2/build-integration/upi/intent
"""

from typing import Any

from app.gateways import Charge, UpiIntent

DESCRIPTION_LENGTH_MAX = 255


def payment(charge: Charge, order_id: str) -> dict[str, Any]:
    """Describe the payment. What Razorpay asks of the payer's browser is what we know of it."""
    return {
        "amount": charge.amount.amount,
        "currency": charge.amount.currency,
        "order_id": order_id,
        "email": charge.email,
        "contact": charge.phone,
        "description": charge.title[:DESCRIPTION_LENGTH_MAX],
        "method": "upi",
        "upi": {"flow": "intent"},
        "ip": charge.device.address,
        "referer": charge.success_url,
        "user_agent": charge.device.agent,
    }


def intent(charge: Charge, order_id: str, body: Any) -> UpiIntent:
    """Read the link among what is to be done next."""
    links = [step["url"] for step in body["next"] if step["action"] == "intent"]
    return UpiIntent(order_id, str(links[0]), charge.expires_at)
