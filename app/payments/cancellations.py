"""Giving a payment up: at once in our books, and at its gateways as far as they can be told."""

import logging
from typing import Any

from app.context import Context
from app.failures import kept_apart
from app.payments import checks, verification

log = logging.getLogger(__name__)


def cancel(ctx: Context, payment_intent_id: str) -> dict[str, Any]:
    """Call a payment off unless it is paid, and answer its state. Called again: the same.

    The gateways are asked first: a payer may have been faster. Then it is off, committed, before
    any of them is told; who dies after that leaves the rest to `check_payments`, and so does a
    gateway's silence, or a fault of ours. Raises NotFoundError for a payment that the session does
    not see, and ForbiddenError where a gateway holds what only the organisation may let go of.
    """
    silent = {one["id"] for one in _open_ones(ctx, payment_intent_id) if not _is_checked(ctx, one)}
    payment = ctx.hasura.one("CancelPayment", paymentIntentId=payment_intent_id)
    if payment["status"] == "canceled":
        for attempt in _open_ones(ctx, payment_intent_id):
            if attempt["id"] not in silent:  # nobody waits for a silent gateway twice
                _is_checked(ctx, attempt)
    return verification.state(ctx, payment_intent_id)


def _open_ones(ctx: Context, payment_intent_id: str) -> list[dict[str, Any]]:
    # Read anew once it is off: beside what a function has changed, Hasura shows what was before.
    rows: list[dict[str, Any]] = ctx.hasura.run(
        "OpenPaymentAttempts", paymentIntentId=payment_intent_id
    )
    return rows


def _is_checked(ctx: Context, attempt: dict[str, Any]) -> bool:
    with kept_apart(log, "not told", attempt_id=attempt["id"]) as outcome:
        checks.check(ctx, attempt)
    return outcome.failure is None
