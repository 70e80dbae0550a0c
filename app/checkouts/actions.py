"""Hosted checkouts: the page where a customer pays."""

from typing import Any
from uuid import uuid4

from app import pages
from app.checkouts.schemas import CreatePayment, CreatePaymentSchema
from app.context import Context
from app.endpoints import action
from app.errors import CheckoutExpiredError, GatewayRefusedError

GATEWAY = "stripe"


@action(CreatePaymentSchema, roles=frozenset({"customer"}))
def create_payment(ctx: Context, request: CreatePayment) -> dict[str, Any]:
    """Open a hosted page that sells credits, once per idempotency key.

    The purchase is committed before the gateway is asked, and its attempt's id is the gateway's
    idempotency key: a crash anywhere below is repaired by the same call again.
    """
    checkout = ctx.hasura.one(
        "OpenCreditPurchase",
        key=request.idempotency_key or str(uuid4()),
        amount=request.amount,
        currency=request.currency,
        email=request.email,
        gateway=GATEWAY,
        successUrl=f"{ctx.settings.frontend_url}/payment-success?session_id={{CHECKOUT_SESSION_ID}}",
        cancelUrl=f"{ctx.settings.frontend_url}/payment-cancelled",
    )
    _refuse_what_has_ended(checkout)
    url, session_id = checkout["url"], checkout["gateway_session_id"]
    if not url:
        page = pages.open_page(ctx, checkout)
        url, session_id = page.url, page.reference
    return {
        "checkout_url": url,
        "session_id": session_id,
        "credit_purchase_id": checkout["id"],
        "payment_intent_id": checkout["payment_intent_id"],
        "amount": checkout["amount"],
        "currency": checkout["currency"],
        "credits_amount": checkout["credits_amount"],
        "expires_at": checkout["expires_at"],
    }


def _refuse_what_has_ended(checkout: dict[str, Any]) -> None:
    if checkout["status"] == "failed":
        raise GatewayRefusedError(checkout["failure_message"] or "the payment failed")
    if checkout["status"] in {"expired", "canceled"} or (
        checkout["status"] == "pending" and checkout["is_over" if checkout["url"] else "is_closing"]
    ):
        message = "this checkout is over; buy again with a new idempotency_key"
        raise CheckoutExpiredError(message)
