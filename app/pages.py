"""Opening a gateway's page for an attempt that is written down, whatever it sells."""

from contextlib import suppress
from datetime import datetime
from typing import Any

from app.context import Context
from app.errors import GatewayRefusedError, GatewayUnavailableError, ServiceUnavailableError
from app.findings import Method
from app.gateways import Charge, Checkout
from app.money import Money

# Stands in an address that is written down before the attempt has an id.
ATTEMPT = "{PAYMENT_ATTEMPT_ID}"


def open_page(ctx: Context, row: dict[str, Any]) -> Checkout:
    """Ask the gateway for its page and keep it. The same attempt again: the same page.

    A definite no ends the attempt; silence leaves it unknown, and it is asked about. Raises
    GatewayRefusedError and GatewayUnavailableError.
    """
    attempt_id = row["payment_attempt_id"]
    try:
        page = ctx.gateway(row["gateway"]).open(charge(row))
    except GatewayRefusedError as refusal:
        ctx.hasura.one(
            "FailCheckout", attemptId=attempt_id, code=refusal.code, message=refusal.message
        )
        raise
    except GatewayUnavailableError as silence:
        with suppress(ServiceUnavailableError):  # it is asked about all the same
            ctx.hasura.run("MarkPaymentUnknown", attemptId=attempt_id, message=silence.message)
        raise
    ctx.hasura.one(
        "RecordCheckoutSession", attemptId=attempt_id, sessionId=page.reference, url=page.url
    )
    return page


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
        success_url=row["success_url"].replace(ATTEMPT, attempt_id),
        cancel_url=row["cancel_url"].replace(ATTEMPT, attempt_id),
        expires_at=datetime.fromisoformat(row["expires_at"]),
        authorize_only=row.get("capture_method") == "manual",
    )
