"""Payments for what other systems sold: an order is charged once, in as many tries as it takes."""

from typing import Any

from app import pages
from app.context import Context
from app.errors import CheckoutExpiredError
from app.payments import verification
from app.payments.schemas import Initiation

RETURN_PATH = "/payments/return/"
HANDOVER_PATH = "/payments/handover/"


def initiate(ctx: Context, order: Initiation) -> dict[str, Any]:
    """Open a gateway's page for an order. The same order again: the same page while it is open.

    Order and attempt are committed before the gateway is asked, under the attempt's id: a crash
    anywhere below is repaired by the same call. A try that failed or expired makes room for the
    next; one that may still take the money does not. Raises CheckoutExpiredError where a page has
    closed and its gateway has not said yet that nothing was paid.
    """
    row = _open(ctx, order)
    if _is_closed(row):
        verification.verify(ctx, row["payment_intent_id"])
        row = _open(ctx, order)
        if _is_closed(row):
            message = "the last page of this order is over; try again when its gateway says so too"
            raise CheckoutExpiredError(message)
    if row["payment_attempt_status"] in {"created", "unknown"}:
        page = pages.open_page(ctx, row)
        row |= {"gateway_session_id": page.reference, "url": page.url}
    return row


def handover_url(ctx: Context, row: dict[str, Any]) -> str:
    """Name the page of ours that brings the payer to the gateway's, in the way it needs."""
    return f"{ctx.settings.service_url}{HANDOVER_PATH}{row['payment_attempt_id']}"


def of_attempt(ctx: Context, payment_attempt_id: str) -> dict[str, Any] | None:
    """Read the order that an attempt is the newest try to pay; None where it is not."""
    rows: list[dict[str, Any]] = ctx.hasura.run("OrderOfAttempt", attemptId=payment_attempt_id)
    return rows[0] if rows else None


def _open(ctx: Context, order: Initiation) -> dict[str, Any]:
    back = f"{ctx.settings.service_url}{RETURN_PATH}{pages.ATTEMPT}"
    row: dict[str, Any] = ctx.hasura.one(
        "OpenOrderCheckout",
        reference=order.reference,
        customerExternalId=order.customer_external_id,
        amount=order.amount.amount,
        currency=order.amount.currency,
        title=order.title,
        metadata=order.metadata,
        gateway=order.gateway,
        method=order.method,
        successUrl=back,
        cancelUrl=back,
    )
    return row


def _is_closed(row: dict[str, Any]) -> bool:
    is_open = row["payment_attempt_status"] in {"created", "unknown", "pending"}
    return is_open and bool(row["is_over" if row["url"] else "is_closing"])
