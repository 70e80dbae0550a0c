"""What Razorpay is asked for when a payment begins: an order, then its hosted page.

https://razorpay.com/docs/api/orders/create/
https://razorpay.com/docs/payments/payment-gateway/web-integration/hosted/integration-steps/
"""

from typing import Any

from app.gateways import Charge, Method
from app.gateways.razorpay.findings import Entity
from app.money import Money

# What the hosted page can be asked to show alone. It takes no EMI.
METHODS = {
    Method.CARD: "card",
    Method.UPI: "upi",
    Method.NETBANKING: "netbanking",
    Method.WALLET: "wallet",
    Method.PAY_LATER: "paylater",
}

# Said for each order, for an account may be set otherwise. Five days is the longest: a bank that
# answers late finds the payment still to be captured, so that no money comes without a message.
# https://razorpay.com/docs/payments/payments/capture-settings/api/
CAPTURE_MINUTES_MAX = 5 * 24 * 60
AUTOMATIC = {
    "capture": "automatic",
    "capture_options": {
        "automatic_expiry_period": CAPTURE_MINUTES_MAX,
        "manual_expiry_period": CAPTURE_MINUTES_MAX,
        "refund_speed": "normal",
    },
}
MANUAL = {
    "capture": "manual",
    "capture_options": {"manual_expiry_period": CAPTURE_MINUTES_MAX, "refund_speed": "normal"},
}


def order(charge: Charge) -> dict[str, Any]:
    """Describe the order. Its receipt and notes are ours alone: payers cannot write there."""
    return {
        "amount": charge.amount.amount,
        "currency": charge.amount.currency,
        "receipt": charge.id,
        "notes": {"payment_attempt_id": charge.id},
        "partial_payment": False,
        "payment": MANUAL if charge.authorize_only else AUTOMATIC,
    }


def form(charge: Charge, *, key_id: str, order_id: str, name: str) -> dict[str, str]:
    """Fill in what the payer's browser posts. The order decides the amount, not this form."""
    fields = {
        "key_id": key_id,
        "order_id": order_id,
        "amount": str(charge.amount.amount),
        "currency": charge.amount.currency,
        "name": name,
        "description": charge.title,
        "prefill[name]": charge.name,
        "prefill[email]": charge.email,
        "prefill[contact]": charge.phone,
        "method": METHODS.get(charge.method, "") if charge.method else "",
        "callback_url": charge.success_url,
        "cancel_url": charge.cancel_url,
    }
    return {name: value for name, value in fields.items() if value}


def read(body: Any) -> Entity:
    """Check that this is an order, all that is read of it later."""
    order: Entity = body
    Money(order["amount"], order["currency"])
    if not (isinstance(order["id"], str) and isinstance(order["status"], str)):
        raise TypeError("this is no order")
    return order


def rank(order: Entity) -> tuple[int, Any]:
    """Say how far an order got: the furthest is the least."""
    progress = {"paid": 0, "attempted": 1}
    return progress.get(order["status"], 2), order["created_at"]
