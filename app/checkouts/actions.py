"""Hosted checkouts: the page where a customer pays."""

from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

from app.checkouts.schemas import CreatePayment, CreatePaymentSchema
from app.context import Context
from app.endpoints import action
from app.errors import (
    CheckoutExpiredError,
    GatewayRefusedError,
    GatewayUnavailableError,
    ServiceUnavailableError,
)
from app.gateways import Charge
from app.money import Money

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
    if not checkout["url"]:
        checkout = _open_page(ctx, checkout)
    return {
        "checkout_url": checkout["url"],
        "session_id": checkout["gateway_session_id"],
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
    if checkout["status"] == "expired" or (
        checkout["status"] == "pending" and checkout["is_over" if checkout["url"] else "is_closing"]
    ):
        message = "this checkout is over; buy again with a new idempotency_key"
        raise CheckoutExpiredError(message)


def _open_page(ctx: Context, checkout: dict[str, Any]) -> dict[str, Any]:
    attempt_id = checkout["payment_attempt_id"]
    try:
        page = ctx.gateway(checkout["gateway"]).open(_charge(checkout))
    except GatewayRefusedError as refusal:
        ctx.hasura.one(
            "FailCheckout", attemptId=attempt_id, code=refusal.code, message=refusal.message
        )
        raise
    except GatewayUnavailableError as silence:
        with suppress(ServiceUnavailableError):  # it is asked about all the same
            ctx.hasura.run("MarkPaymentUnknown", attemptId=attempt_id, message=silence.message)
        raise
    row: dict[str, Any] = ctx.hasura.one(
        "RecordCheckoutSession", attemptId=attempt_id, sessionId=page.reference, url=page.url
    )
    return row


def _charge(checkout: dict[str, Any]) -> Charge:
    return Charge(
        id=checkout["payment_attempt_id"],
        amount=Money(int(checkout["amount"]), checkout["currency"]),
        title=f"{checkout['credits_amount'].rstrip('0').rstrip('.')} credits",
        email=checkout["customer_email"],
        success_url=checkout["success_url"],
        cancel_url=checkout["cancel_url"],
        expires_at=datetime.fromisoformat(checkout["expires_at"]),
    )
