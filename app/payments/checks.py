"""Asking a gateway what became of an attempt that has not ended."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from app import inbox
from app.context import Context
from app.errors import GatewayRefusedError
from app.gateways import Finding, Query
from app.money import Money

# A payer who began just before a page closed may still be at their bank.
CLOSING = timedelta(minutes=15)


def check(ctx: Context, attempt: dict[str, Any]) -> str:
    """Look an attempt up at its gateway and keep what it says. Answers the inbox row's status.

    A capture that was begun is finished first: it is written down, and its sender may have died.
    Raises GatewayUnavailableError when the gateway does not answer: then nothing is known, and
    nothing changes.
    """
    gateway, account = attempt["gateway"], attempt["gateway_account"]
    finding = _finish_capture(ctx, attempt) or ctx.gateway(gateway).find(_query(ctx, attempt))
    if finding is not None:
        return str(inbox.keep(ctx, gateway, finding, "look-up", account=account)["status"])
    nothing = {
        "subject": "payment",
        "outcome": "not_found",
        "payment_attempt_id": attempt["id"],
        "asked_at": ctx.now().isoformat(),  # what is not there today may be there tomorrow
    }
    return str(inbox.keep_words(ctx, gateway, nothing, "look-up", account=account)["status"])


def _finish_capture(ctx: Context, attempt: dict[str, Any]) -> Finding | None:
    """Take what is to be taken of an authorised payment. None: nothing is, or it cannot be."""
    if attempt["status"] != "authorized" or attempt["amount_to_capture"] is None:
        return None
    amount = Money(int(attempt["amount_to_capture"]), attempt["currency"])
    gateway = ctx.gateway(attempt["gateway"])
    with suppress(GatewayRefusedError):  # how it stands then, the look-up says
        return gateway.capture(attempt["id"], attempt["gateway_payment_id"], amount)
    return None


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
