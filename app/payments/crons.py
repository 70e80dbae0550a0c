"""Sweeps find their work in the data, so a tick that is late, lost or doubled does no harm."""

import logging
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from app.config import ConfigError
from app.context import Context
from app.endpoints import cron
from app.errors import AppError, GatewayUnavailableError
from app.payments import checks, disputes, order_events, receipts

log = logging.getLogger(__name__)

BATCH = 20
CHECK_SECONDS_MAX = 40  # Hasura waits a minute for a cron, and one question may take ten seconds
QUESTION_SECONDS_MAX = 10
QUICK_SECONDS = 1  # for a question; where gateways are so quick, more are claimed at once
CLAIMED_MAX = 16  # should the gateways fall silent then, so many wait for an hour
AGAIN = timedelta(hours=1)  # after silence; what is asked again sooner anyhow stays as it is
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
    """Ask the gateways about attempts that are due, one after the other.

    Of one that is captured the other payments of its page are asked for, which nobody may have told
    of. An attempt is put off to its next time before it is asked about, so that one that cannot be
    asked about keeps nobody else waiting. Silence is no answer: it is asked again within the hour.
    """
    asked = answered = 0
    give_up = time.monotonic() + CHECK_SECONDS_MAX
    # As many as there is time for, should every gateway be as slow as we bear.
    limit = CHECK_SECONDS_MAX // QUESTION_SECONDS_MAX
    while (began := time.monotonic()) < give_up:
        due = ctx.hasura.run("ClaimPaymentChecks", limit=limit)
        silent: list[str] = []
        asked += len(due)
        answered += sum(_is_answered(ctx, attempt, give_up, silent) for attempt in due)
        if silent:
            ctx.hasura.run("AskPaymentsAgain", attemptIds=silent)
        if len(due) < limit:
            break
        limit = _next_limit(limit, time.monotonic() - began, give_up)
    return {"asked": asked, "answered": answered}


def _next_limit(limit: int, seconds: float, give_up: float) -> int:
    """Answer how many to claim after so many took so long: more, where gateways are quick."""
    if seconds < QUICK_SECONDS * limit:
        return min(2 * limit, CLAIMED_MAX)
    return max(1, int((give_up - time.monotonic()) / QUESTION_SECONDS_MAX))


def _is_answered(ctx: Context, attempt: dict[str, Any], give_up: float, silent: list[str]) -> bool:
    """Ask about one attempt. It is added to the silent ones if it should be asked about sooner."""
    try:
        _ask(ctx, attempt, give_up)
    except (AppError, ConfigError) as failure:
        log.warning("not checked: %s", failure, extra={"attempt_id": attempt["id"]})
        if isinstance(failure, GatewayUnavailableError) and _is_put_off(attempt):
            silent.append(attempt["id"])
        return False
    except Exception:
        # A fault of ours, in the log with its trace. The others are claimed, so nobody else asks
        # about them for up to a day; this one comes again by its schedule.
        log.exception("not checked", extra={"attempt_id": attempt["id"]})
        return False
    return True


def _ask(ctx: Context, attempt: dict[str, Any], give_up: float) -> None:
    if time.monotonic() > give_up:
        message = "the gateways were too slow for all that is due"
        raise GatewayUnavailableError(message)
    checks.ask(ctx, attempt)


def _is_put_off(attempt: dict[str, Any]) -> bool:
    """Tell whether its next question is further away than one after silence."""
    if attempt["next_check_at"] is None:
        return False
    next_at = datetime.fromisoformat(attempt["next_check_at"])
    return next_at - datetime.fromisoformat(attempt["updated_at"]) > AGAIN


@cron
def check_disputes(ctx: Context) -> dict[str, int]:
    """Ask the gateways how disputes stand, for what their webhooks did not bring.

    Each has an even share of the time that is left, so that none waits for another for ever.
    """
    kept = 0
    give_up = time.monotonic() + CHECK_SECONDS_MAX
    polls = ctx.hasura.run("BeginDisputePolls")
    for waiting, poll in zip(range(len(polls), 0, -1), polls, strict=True):
        now = time.monotonic()
        share = now + (give_up - now) / waiting
        try:
            kept += disputes.poll(ctx, poll, partial(_is_past, share))
        except (AppError, ConfigError) as failure:  # the other gateways need not wait for this one
            log.warning("not polled: %s", failure, extra={"gateway": poll["gateway"]})
    return {"kept": kept}


def _is_past(moment: float) -> bool:
    return time.monotonic() > moment


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
