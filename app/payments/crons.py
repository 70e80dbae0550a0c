"""Sweeps find their work in the data, so a tick that is late, lost or doubled does no harm.

What gateways are asked about is claimed by those who ask, as app/askers.py has it.
"""

import logging
from functools import partial
from typing import Any

from app import budget, graphql
from app.askers import ask_all
from app.config import ConfigError
from app.context import Context
from app.endpoints import cron
from app.errors import AppError, GatewayUnavailableError
from app.payments import checks, disputes, order_events, receipts

log = logging.getLogger(__name__)

BATCH = 20

Due = list[dict[str, Any]]


@cron
def apply_gateway_events(ctx: Context) -> dict[str, int]:
    """Apply the messages that could not be applied when they came and are due again."""
    tried = 0
    while tried < BATCH and graphql.has_time() and ctx.hasura.run("ApplyDueGatewayEvent"):
        tried += 1
    return {"tried": tried}


@cron
def check_payments(ctx: Context) -> dict[str, int]:
    """Ask the gateways about attempts that are due.

    Of one that is captured the other payments of its page are asked for, which nobody may have told
    of. An attempt is put off to its next time before it is asked about, so that one that cannot be
    asked about keeps nobody else waiting. Silence is no answer: it is asked again within the hour.
    """
    asked, answered = ask_all(ctx, partial(_claim_checks, ctx), partial(_is_answered, ctx))
    return {"asked": asked, "answered": answered}


def _claim_checks(ctx: Context, limit: int) -> Due:
    due: Due = ctx.hasura.run("ClaimPaymentChecks", limit=limit, paused=ctx.pauses.gateways)
    return due


def _is_answered(ctx: Context, attempt: dict[str, Any]) -> bool:
    try:
        checks.ask(ctx, attempt)
    except (AppError, ConfigError) as failure:
        log.warning("not checked: %s", failure, extra={"attempt_id": attempt["id"]})
        if isinstance(failure, GatewayUnavailableError):
            ctx.hasura.run("AskPaymentsAgain", attemptIds=[attempt["id"]])
        return False
    except Exception:
        # A fault of ours, in the log with its trace. It keeps nobody else waiting, and this attempt
        # comes again by its schedule.
        log.exception("not checked", extra={"attempt_id": attempt["id"]})
        return False
    return True


@cron
def check_disputes(ctx: Context) -> dict[str, int]:
    """Ask the gateways how disputes stand, for what their webhooks did not bring.

    Each has an even share of the time that is left, so that none waits for another for ever.
    """
    kept = 0
    polls = ctx.hasura.run("BeginDisputePolls")
    for waiting, poll in zip(range(len(polls), 0, -1), polls, strict=True):
        try:
            with budget.part_for_gateways(waiting):
                kept += disputes.poll(ctx, poll)
        except (AppError, ConfigError) as failure:  # the other gateways need not wait for this one
            log.warning("not polled: %s", failure, extra={"gateway": poll["gateway"]})
        except Exception:  # nor for a fault of ours
            log.exception("not polled", extra={"gateway": poll["gateway"]})
    return {"kept": kept}


@cron
def charge_orders(ctx: Context) -> dict[str, int]:
    """Send the charges of orders whose sender died, each under its attempt's id."""
    _, sent = ask_all(ctx, partial(_claim_charges, ctx), partial(_is_sent, ctx))
    return {"sent": sent}


def _claim_charges(ctx: Context, limit: int) -> Due:
    due: Due = ctx.hasura.run("ClaimOrderCharges", limit=limit, paused=ctx.pauses.gateways)
    return due


def _is_sent(ctx: Context, charge: dict[str, Any]) -> bool:
    try:
        order_events.charge(ctx, charge)
    except (AppError, ConfigError) as failure:
        log.warning("not charged: %s", failure, extra={"attempt_id": charge["id"]})
        return False
    except Exception:  # a fault of ours: the others need not wait for it
        log.exception("not charged", extra={"attempt_id": charge["id"]})
        return False
    return True


@cron
def store_missing_receipts(ctx: Context) -> dict[str, int]:
    """Fetch the receipts that the event trigger did not bring, the one that waits longest first."""
    asked, stored = ask_all(ctx, partial(_claim_receipts, ctx), partial(_is_stored, ctx))
    return {"asked": asked, "stored": stored}


def _claim_receipts(ctx: Context, limit: int) -> Due:
    paused = ctx.pauses.gateways
    gateways = [name for name in receipts.givers(ctx) if name not in paused]
    due: Due = ctx.hasura.run("ClaimReceipts", gateways=gateways, limit=limit)
    return due


def _is_stored(ctx: Context, attempt: dict[str, Any]) -> bool:
    attempt_id = attempt["payment_attempt_id"]
    try:
        receipts.store(ctx, attempt)
    except AppError as failure:  # the others need not wait for this one
        log.warning("receipt not stored: %s", failure, extra={"attempt_id": attempt_id})
        ctx.pauses.note(attempt["gateway"], failure)
        return False
    except Exception:  # nor for a fault of ours
        log.exception("receipt not stored", extra={"attempt_id": attempt_id})
        return False
    return True
