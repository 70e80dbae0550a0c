"""Sweeps find their work in the data, so a tick that is late, lost or doubled does no harm."""

import logging
import time
from datetime import timedelta

from app.config import ConfigError
from app.context import Context
from app.endpoints import cron
from app.errors import AppError, GatewayUnavailableError
from app.payments import checks, disputes, order_events, receipts

log = logging.getLogger(__name__)

BATCH = 20
CHECK_SECONDS_MAX = 40  # Hasura waits a minute for a cron, and one question may take ten seconds
# Younger captures are the event trigger's; older ones have no receipt to wait for.
RECEIPT_AGE_MIN, RECEIPT_AGE_MAX = timedelta(minutes=1), timedelta(days=3)


@cron
def apply_gateway_events(ctx: Context) -> dict[str, int]:
    """Apply the messages that could not be applied when they came and are due again."""
    tried = 0
    while tried < BATCH and ctx.hasura.run("ApplyDueGatewayEvent"):
        tried += 1
    return {"tried": tried}


@cron
def check_payments(ctx: Context) -> dict[str, int]:
    """Ask the gateways about attempts that have not ended and are due, one after the other.

    An attempt is put off to its next time before it is asked about, so that one that cannot be
    asked about keeps nobody else waiting. Silence is no answer: it is asked again within the hour.
    """
    asked = answered = 0
    give_up = time.monotonic() + CHECK_SECONDS_MAX
    while time.monotonic() < give_up and (due := ctx.hasura.run("ClaimPaymentChecks", limit=1)):
        asked += 1
        try:
            checks.check(ctx, due[0])
            answered += 1
        except (AppError, ConfigError) as failure:
            log.warning("not checked: %s", failure, extra={"attempt_id": due[0]["id"]})
            if isinstance(failure, GatewayUnavailableError):
                ctx.hasura.run("AskPaymentAgain", attemptId=due[0]["id"])
    return {"asked": asked, "answered": answered}


@cron
def check_disputes(ctx: Context) -> dict[str, int]:
    """Read the gateways' lists of disputes, for what their webhooks did not bring."""
    kept = 0
    give_up = time.monotonic() + CHECK_SECONDS_MAX
    for poll in ctx.hasura.run("BeginDisputePolls"):
        try:
            kept += disputes.poll(ctx, poll, lambda: time.monotonic() > give_up)
        except (AppError, ConfigError) as failure:  # the other gateways need not wait for this one
            log.warning("not polled: %s", failure, extra={"gateway": poll["gateway"]})
    return {"kept": kept}


@cron
def charge_orders(ctx: Context) -> dict[str, int]:
    """Send the charges of orders whose sender died, each under its attempt's id."""
    sent = 0
    give_up = time.monotonic() + CHECK_SECONDS_MAX
    while time.monotonic() < give_up and (due := ctx.hasura.run("ClaimOrderCharges", limit=1)):
        try:
            order_events.charge(ctx, due[0])
            sent += 1
        except (AppError, ConfigError) as failure:
            log.warning("not charged: %s", failure, extra={"attempt_id": due[0]["id"]})
    return {"sent": sent}


@cron
def store_missing_receipts(ctx: Context) -> dict[str, int]:
    """Fetch the receipts that the event trigger did not bring."""
    now = ctx.now()
    attempts = ctx.hasura.run(
        "ReceiptsMissing",
        gateways=receipts.givers(ctx),
        capturedAfter=(now - RECEIPT_AGE_MAX).isoformat(),
        capturedBefore=(now - RECEIPT_AGE_MIN).isoformat(),
        limit=BATCH,
    )
    stored = 0
    for attempt in attempts:
        try:
            receipts.store(ctx, attempt)
            stored += 1
        except AppError as failure:  # the others need not wait for this one
            attempt_id = attempt["payment_attempt_id"]
            log.warning("receipt not stored: %s", failure, extra={"attempt_id": attempt_id})
    return {"missing": len(attempts), "stored": stored}
