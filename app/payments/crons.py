"""Sweeps find their work in the data, so a tick that is late, lost or doubled does no harm.

What gateways are asked about is claimed by those who ask, as app/askers.py has it.
"""

import logging
from functools import partial
from typing import Any

from app import budget, graphql
from app.askers import ask_all
from app.context import Context
from app.endpoints import cron
from app.failures import kept_apart
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
    asked about keeps nobody else waiting. Silence is no answer: it is asked again in half an hour.
    """
    asked, answered = ask_all(ctx, partial(_claim_checks, ctx), partial(_is_answered, ctx))
    return {"asked": asked, "answered": answered}


def _claim_checks(ctx: Context, limit: int) -> Due:
    due: Due = ctx.hasura.run("ClaimPaymentChecks", limit=limit, paused=ctx.pauses.gateways)
    return due


def _is_answered(ctx: Context, attempt: dict[str, Any]) -> bool:
    with kept_apart(log, "not checked", attempt_id=attempt["id"]) as outcome:
        checks.ask(ctx, attempt)
    # After a fault of ours it comes again by its schedule, which ends with a person.
    if outcome.is_silent:
        ctx.hasura.run("AskPaymentsAgain", attemptIds=[attempt["id"]])
    return outcome.failure is None


@cron
def check_disputes(ctx: Context) -> dict[str, int]:
    """Ask the gateways how disputes stand, for what their webhooks did not bring.

    Each has an even share of the time that is left, so that none waits for another for ever.
    """
    kept = 0
    polls = ctx.hasura.run("BeginDisputePolls")
    for waiting, poll in zip(range(len(polls), 0, -1), polls, strict=True):
        with (
            kept_apart(log, "not polled", gateway=poll["gateway"]),
            budget.part_for_gateways(waiting),
        ):
            kept += disputes.poll(ctx, poll)
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
    with kept_apart(log, "not charged", attempt_id=charge["id"]) as outcome:
        order_events.charge(ctx, charge)
    return outcome.failure is None


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
    with kept_apart(log, "receipt not stored", attempt_id=attempt_id) as outcome:
        receipts.store(ctx, attempt)
    ctx.pauses.note(attempt["gateway"], outcome.failure)
    return outcome.failure is None
