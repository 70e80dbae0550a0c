"""The pages between a payer and a gateway: on the way there, and on the way back."""

from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from flask import Response, redirect, render_template
from werkzeug.wrappers import Response as WsgiResponse

from app import pages
from app.context import Context
from app.endpoints import page
from app.errors import NotFoundError
from app.gateways import Checkout, Return
from app.money import Money
from app.payments import orders, verification


@page("GET", "/payments/handover/<attempt_id>")
def hand_over(ctx: Context, _fields: dict[str, str], attempt_id: str) -> Response | WsgiResponse:
    """Bring the payer's browser to the gateway's page, by a form where the gateway wants one.

    The address is the secret: an attempt's id is random, and who has it may pay, no more.
    """
    row = _order(ctx, attempt_id)
    if row["status"] not in {"pending", "processing"} or row["is_over"]:
        return _leave(ctx, row)
    opened = pages.open_page(ctx, row)
    if not opened.form:
        return redirect(opened.url, 303)
    return _form(row, opened)


@page("GET", "/payments/return/<attempt_id>")
@page("POST", "/payments/return/<attempt_id>")
def come_back(ctx: Context, fields: dict[str, str], attempt_id: str) -> Response | WsgiResponse:
    """Take the payer back. What their browser says proves nothing: the gateway is asked.

    Raises SignatureInvalidError for a return that was altered, or is another payment's.
    """
    row = _order(ctx, attempt_id)
    arrival = Return(fields, row["payment_attempt_id"], row["gateway_session_id"] or "")
    ctx.gateway(row["gateway"]).read_return(arrival)
    verification.verify(ctx, row["payment_intent_id"])
    return _leave(ctx, _order(ctx, attempt_id))


def _order(ctx: Context, attempt_id: str) -> dict[str, Any]:
    try:
        row = orders.of_attempt(ctx, str(UUID(attempt_id)))
    except ValueError:
        row = None
    if row is None:
        message = "there is no such payment"
        raise NotFoundError(message)
    return row


def _leave(ctx: Context, row: dict[str, Any]) -> WsgiResponse:
    """Send the payer to the shop, which is told a name and asks about the rest."""
    place = "payment-cancelled" if row["status"] in {"failed", "expired"} else "payment-success"
    if row["status"] == "pending":
        place = "payment-cancelled"  # they turned back; the page is still there for them
    query = urlencode({"transaction_id": row["display_id"], "reference": row["reference"]})
    return redirect(f"{ctx.settings.frontend_url}/{place}?{query}", 303)


def _form(row: dict[str, Any], opened: Checkout) -> Response:
    """Answer a page whose form goes to the gateway by itself, or by its button."""
    nonce = token_urlsafe(16)
    money = Money(int(row["amount"]), row["currency"])
    text = render_template(
        "handover.html",
        page=opened,
        order=row,
        amount=f"{money.currency} {money.decimal:,}",
        gateway=row["gateway"].capitalize(),
        nonce=nonce,
    )
    target = urlsplit(opened.url)
    policy = (
        "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
        f"style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        f"form-action {target.scheme}://{target.netloc}"
    )
    return Response(text, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})
