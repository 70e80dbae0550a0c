"""Opening a gateway's page for an attempt that is written down, whatever it sells."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app import upi
from app.context import Context
from app.errors import (
    GatewayRefusedError,
    GatewaySilentError,
    GatewayUnavailableError,
    ServiceUnavailableError,
)
from app.findings import Method
from app.gateways import Capability, Charge, Checkout, Device, UpiIntent
from app.money import Money

# Stands in an address that is written down before the attempt has an id.
ATTEMPT = "{PAYMENT_ATTEMPT_ID}"

# Gateways give a payment by UPI up that nobody makes for about so long; not all say how long.
LINK_LIFE = timedelta(minutes=10)


def open_page(ctx: Context, row: dict[str, Any]) -> Checkout:
    """Ask the gateway for its page and keep it. The same attempt again: the same page.

    A definite no ends the attempt; silence leaves it unknown, and it is asked about. Raises
    GatewayRefusedError and GatewayUnavailableError.
    """
    gateway, attempt_id = ctx.gateway(row["gateway"]), row["payment_attempt_id"]
    with _answered(ctx, attempt_id):
        page = gateway.open(charge(row))
    ctx.hasura.one(
        "RecordCheckoutSession",
        attemptId=attempt_id,
        sessionId=page.reference,
        url=page.url,
        takesSeveral=Capability.PAYMENTS in gateway.capabilities,
        isAnswer=Capability.UNASKED not in gateway.capabilities,
    )
    return page


def open_upi(ctx: Context, row: dict[str, Any], device: Device) -> UpiIntent | None:
    """Ask for a UPI link and keep it; None where it is the gateway's page that takes UPI.

    A link that asks the payer for anything but what is due is never shown: that is no answer, and
    nothing is known. Each link is a new one. Raises as `open_page` does.
    """
    gateway, attempt_id = ctx.gateway(row["gateway"]), row["payment_attempt_id"]
    if row["method"] != Method.UPI or Capability.UPI not in gateway.capabilities:
        return None
    wanted = replace(charge(row), device=device)
    with _answered(ctx, attempt_id):
        intent = gateway.open_upi(wanted)
        if intent is None:
            return None
        upi.read(intent.link, wanted.amount)
    intent = replace(intent, expires_at=min(intent.expires_at, ctx.now() + LINK_LIFE))
    ctx.hasura.one(
        "RecordUpiLink",
        attemptId=attempt_id,
        sessionId=intent.reference,
        link=intent.link,
        expiresAt=intent.expires_at.isoformat(),
        takesSeveral=Capability.PAYMENTS in gateway.capabilities,
    )
    return intent


@contextmanager
def _answered(ctx: Context, attempt_id: str) -> Iterator[None]:
    """Write down what it means when the gateway does not answer, or answers no."""
    try:
        yield
    except GatewayRefusedError as refusal:
        ctx.hasura.one(
            "FailCheckout", attemptId=attempt_id, code=refusal.code, message=refusal.message
        )
        raise
    except GatewayUnavailableError as silence:
        with suppress(ServiceUnavailableError):  # it is asked about all the same
            ctx.hasura.run(
                "MarkPaymentUnknown",
                attemptId=attempt_id,
                message=silence.message,
                isSilent=isinstance(silence, GatewaySilentError),
            )
        raise


def charge(row: dict[str, Any]) -> Charge:
    """Read what the gateway is asked for out of a row of a view of checkouts."""
    attempt_id = row["payment_attempt_id"]
    return Charge(
        id=attempt_id,
        amount=Money(int(row["amount"]), row["currency"]),
        title=row["title"],
        email=row["customer_email"],
        name=row["customer_name"] or "",
        phone=row["customer_phone"] or "",
        method=row["method"] and Method(row["method"]),
        reference=row["gateway_session_id"] or "",
        success_url=row["success_url"].replace(ATTEMPT, attempt_id),
        cancel_url=row["cancel_url"].replace(ATTEMPT, attempt_id),
        expires_at=datetime.fromisoformat(row["expires_at"]),
        authorize_only=row.get("capture_method") == "manual",
        gateway_customer_id=row.get("gateway_customer_id"),
    )
