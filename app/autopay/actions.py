"""What a customer does about autopay: set it up, pause, resume, cancel, finish a charge."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from app import inbox, pages
from app.autopay.schemas import (
    ChargeAction,
    ChargeSchema,
    MandateAction,
    MandateSchema,
    SetupAutopay,
    SetupAutopaySchema,
)
from app.context import Context
from app.endpoints import action
from app.errors import CheckoutExpiredError, GatewayRefusedError
from app.gateways import Finding, Outcome, Setup, Subject

GATEWAY = "stripe"
CUSTOMER = frozenset({"customer"})
STAFF = frozenset({"finance", "operator", "owner"})


@action(SetupAutopaySchema, roles=CUSTOMER)
def setup_autopay(ctx: Context, request: SetupAutopay) -> dict[str, Any]:
    """Open a hosted page that saves a payment method, once per idempotency key.

    The mandate is committed before the gateway is asked, and its id is the gateway's key. It runs
    when the gateway says that a method was saved; until then nothing is charged.
    """
    page = f"{ctx.settings.frontend_url}/autopay"
    setup = ctx.hasura.one(
        "OpenAutopaySetup",
        key=request.idempotency_key or str(uuid4()),
        amount=request.amount,
        currency=request.currency,
        dayOfMonth=request.day_of_month,
        gateway=GATEWAY,
        successUrl=f"{page}-success?session_id={{CHECKOUT_SESSION_ID}}",
        cancelUrl=f"{page}-cancelled",
    )
    _refuse_what_has_ended(setup)
    if not setup["url"]:
        setup = _open_setup_page(ctx, setup)
    return {
        "checkout_url": setup["url"],
        "session_id": setup["gateway_session_id"],
        "autopay_mandate_id": setup["id"],
        "status": setup["status"],
        "amount": setup["amount"],
        "currency": setup["currency"],
        "day_of_month": setup["day_of_month"],
        "expires_at": setup["setup_expires_at"],
    }


@action(MandateSchema, roles=CUSTOMER | STAFF)
def pause_autopay(ctx: Context, request: MandateAction) -> dict[str, Any]:
    """Stop charging until it is resumed. What a gateway was asked already is not called back."""
    return _change(ctx, "PauseAutopay", request)


@action(MandateSchema, roles=CUSTOMER | STAFF)
def resume_autopay(ctx: Context, request: MandateAction) -> dict[str, Any]:
    """Charge again from the next due date on."""
    return _change(ctx, "ResumeAutopay", request)


@action(MandateSchema, roles=CUSTOMER | STAFF)
def cancel_autopay(ctx: Context, request: MandateAction) -> dict[str, Any]:
    """End it for good."""
    return _change(ctx, "CancelAutopay", request)


@action(ChargeSchema, roles=CUSTOMER)
def pay_autopay_charge(ctx: Context, request: ChargeAction) -> dict[str, Any]:
    """Open the page on which the customer finishes a charge that only they can."""
    charge_id = str(request.autopay_charge_id)
    page = f"{ctx.settings.frontend_url}/autopay-payment"
    checkout = ctx.hasura.one(
        "OpenAutopayCheckout",
        chargeId=charge_id,
        successUrl=f"{page}-success?session_id={{CHECKOUT_SESSION_ID}}",
        cancelUrl=f"{page}-cancelled",
    )
    if checkout["is_over" if checkout["url"] else "is_closing"]:
        message = "this page is over; another can be opened when the gateway has closed it"
        raise CheckoutExpiredError(message)
    url, session_id = checkout["url"], checkout["gateway_session_id"]
    if not url:
        opened = pages.open_page(ctx, checkout)
        url, session_id = opened.url, opened.reference
    return {
        "checkout_url": url,
        "session_id": session_id,
        "autopay_charge_id": charge_id,
        "payment_intent_id": checkout["payment_intent_id"],
        "amount": checkout["amount"],
        "currency": checkout["currency"],
        "credits_amount": checkout["credits_amount"],
        "expires_at": checkout["expires_at"],
    }


def _change(ctx: Context, operation: str, request: MandateAction) -> dict[str, Any]:
    mandate = ctx.hasura.one(operation, mandateId=str(request.autopay_mandate_id))
    return {
        "autopay_mandate_id": mandate["id"],
        "status": mandate["status"],
        "next_due_on": mandate["next_due_on"],
    }


def _refuse_what_has_ended(setup: dict[str, Any]) -> None:
    ended = setup["status"] in ("failed", "canceled")
    closed = (
        setup["status"] == "pending_setup" and setup["is_over" if setup["url"] else "is_closing"]
    )
    if ended or closed:
        message = "this setup is over; set autopay up again with a new idempotency_key"
        raise CheckoutExpiredError(message)


def _open_setup_page(ctx: Context, setup: dict[str, Any]) -> dict[str, Any]:
    try:
        page = ctx.gateway(setup["gateway"]).open_setup(
            Setup(
                id=setup["id"],
                currency=setup["currency"],
                email=setup["customer_email"],
                success_url=setup["success_url"],
                cancel_url=setup["cancel_url"],
                expires_at=datetime.fromisoformat(setup["setup_expires_at"]),
                gateway_customer_id=setup["gateway_customer_id"],
            )
        )
    except GatewayRefusedError as refusal:
        failed = Finding(
            subject=Subject.SETUP,
            outcome=Outcome.FAILED,
            autopay_mandate_id=setup["id"],
            failure_code=refusal.code,
            failure_message=refusal.message,
        )
        inbox.keep(ctx, setup["gateway"], failed, "answer")
        raise
    row: dict[str, Any] = ctx.hasura.one(
        "RecordAutopaySetup", mandateId=setup["id"], sessionId=page.reference, url=page.url
    )
    return row
