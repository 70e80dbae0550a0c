"""Sweeps find their work in the data, so a tick that is late, lost or doubled does no harm.

What a gateway is asked about is claimed one by one, and only while a gateway has time to answer: so
nothing is claimed that nobody asks about.
"""

import logging
from typing import Any

from app import budget, graphql
from app.context import Context
from app.endpoints import cron
from app.failures import kept_apart
from app.http import has_time
from app.payments import checks, disputes, order_events, receipts

log = logging.getLogger(__name__)

BATCH = 20


@cron
def apply_gateway_events(ctx: Context) -> dict[str, int]:
    """Apply the messages that could not be applied when they came and are due again."""
    tried = 0
    while tried < BATCH and graphql.has_time() and ctx.hasura.run("ApplyDueGatewayEvent"):
        tried += 1
    return {"tried": tried}


@cron
def check_payments(ctx: Context) -> dict[str, int]:
    """Ask the gateways about attempts that are due, one after the other.

    Of one that is captured the other payments of its page are asked for, which nobody may have told
    of. An attempt is put off to its next time before it is asked about, so that one that cannot be
    asked about keeps nobody else waiting. Silence is no answer: it is asked again in half an hour.
    """
    asked = answered = 0
    while has_time() and (due := ctx.hasura.run("ClaimPaymentChecks", limit=1)):
        asked += 1
        answered += _is_answered(ctx, due[0])
    return {"asked": asked, "answered": answered}


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
    sent = 0
    while has_time() and (due := ctx.hasura.run("ClaimOrderCharges", limit=1)):
        with kept_apart(log, "not charged", attempt_id=due[0]["id"]):
            order_events.charge(ctx, due[0])
            sent += 1
    return {"sent": sent}


@cron
def store_missing_receipts(ctx: Context) -> dict[str, int]:
    """Fetch the receipts that the event trigger did not bring, the one that waits longest first."""
    asked = stored = 0
    gateways = receipts.givers(ctx)
    while has_time() and (due := ctx.hasura.run("ClaimReceipts", gateways=gateways, limit=1)):
        asked += 1
        with kept_apart(log, "receipt not stored", attempt_id=due[0]["payment_attempt_id"]):
            receipts.store(ctx, due[0])
            stored += 1
    return {"asked": asked, "stored": stored}
