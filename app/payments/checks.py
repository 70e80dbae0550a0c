"""Asking a gateway what became of an attempt that has not ended."""

from datetime import datetime, timedelta
from typing import Any

from app import inbox
from app.context import Context
from app.gateways import Query

# A payer who began just before a page closed may still be at their bank.
CLOSING = timedelta(minutes=15)


def check(ctx: Context, attempt: dict[str, Any]) -> str:
    """Look an attempt up at its gateway and keep what it says. Answers the inbox row's status.

    Raises GatewayUnavailableError when the gateway does not answer: then nothing is known, and
    nothing changes.
    """
    gateway, account = attempt["gateway"], attempt["gateway_account"]
    finding = ctx.gateway(gateway).find(_query(ctx, attempt))
    if finding is not None:
        return str(inbox.keep(ctx, gateway, finding, "look-up", account=account)["status"])
    nothing = {
        "subject": "payment",
        "outcome": "not_found",
        "payment_attempt_id": attempt["id"],
        "asked_at": ctx.now().isoformat(),  # what is not there today may be there tomorrow
    }
    return str(inbox.keep_words(ctx, gateway, nothing, "look-up", account=account)["status"])


def _query(ctx: Context, attempt: dict[str, Any]) -> Query:
    page, method = attempt["checkout_session"], attempt["payment_method"]
    return Query(
        payment_attempt_id=attempt["id"],
        since=datetime.fromisoformat(attempt["created_at"]),
        gateway_session_id=page and page["gateway_session_id"],
        gateway_payment_id=attempt["gateway_payment_id"],
        gateway_customer_id=method and method["gateway_customer_id"],
        is_over=bool(page) and datetime.fromisoformat(page["expires_at"]) + CLOSING < ctx.now(),
    )
