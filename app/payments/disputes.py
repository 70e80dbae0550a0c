"""Disputes that no webhook told of: the gateways are asked, and each is kept as it stands.

So are refunds that somebody made at a gateway, past us, where it lists them by time; where it does
not, its settlement reports tell of them.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from app import budget, circuits, inbox, outside_refunds
from app.context import Context
from app.errors import GatewayUnavailableError
from app.failures import kept_apart
from app.gateways import Capability, Finding, Gateway
from app.payments import reports

log = logging.getLogger(__name__)


def poll(ctx: Context, poll: dict[str, Any]) -> int:
    """Ask one gateway how its disputes stand, and what was refunded there; keep what it says.

    Where it lists them by time the list is read, the newest first; else it is asked about each that
    is open in our books. What is known already changes nothing. A poll counts as done at its end
    only: a list that time cut short is read again in full, and of the open ones those that were not
    asked about come first the next time. What it settled is read after that. Answers how many were
    kept.
    """
    kept = 0
    for brought in _all_told(ctx, ctx.gateway(poll["gateway"]), poll):
        kept += brought
        if _is_over():
            break
    return kept


def _all_told(ctx: Context, gateway: Gateway, poll: dict[str, Any]) -> Iterator[int]:
    """Keep it part by part; whoever asks may have no more time after any of them."""
    for finding in _disputes(ctx, gateway, poll):
        inbox.keep(ctx, poll["gateway"], finding, "look-up")
        yield 1
    listed = _new_refunds(ctx, gateway, poll)
    yield from outside_refunds.bring_new(ctx, poll["gateway"], listed)
    if _is_over():
        return
    ctx.hasura.run("EndDisputePoll", gateway=poll["gateway"], begunAt=poll["begun_at"])
    with circuits.reading_disputes(ctx, poll):
        yield from reports.read(ctx, gateway, poll)


def _disputes(ctx: Context, gateway: Gateway, poll: dict[str, Any]) -> Iterator[Finding]:
    if Capability.DISPUTES in gateway.capabilities:
        yield from _listed(ctx, gateway, poll)
    elif Capability.PAYMENT_DISPUTES in gateway.capabilities:
        yield from _open_ones(ctx, gateway, poll)


def _is_over() -> bool:
    """Tell whether the gateway's time is: what is asked then would not be sent."""
    return budget.left_for_gateways() <= budget.CALL_SECONDS_MIN


def _listed(ctx: Context, gateway: Gateway, poll: dict[str, Any]) -> Iterator[Finding]:
    with circuits.reading_disputes(ctx, poll):
        yield from gateway.find_disputes(datetime.fromisoformat(poll["ask_since"]))


def _new_refunds(ctx: Context, gateway: Gateway, poll: dict[str, Any]) -> Iterator[Finding]:
    """List what was refunded there lately, where the gateway tells."""
    if Capability.NEW_REFUNDS in gateway.capabilities:
        with circuits.reading_disputes(ctx, poll):
            yield from gateway.find_new_refunds(datetime.fromisoformat(poll["refunds_since"]))


def _open_ones(ctx: Context, gateway: Gateway, poll: dict[str, Any]) -> Iterator[Finding]:
    """Ask about every open dispute. One that is not answered keeps no other waiting.

    Raises the last failure at the end.
    """
    failed: Exception | None = None
    asked = {"gateway": poll["gateway"], "askedBefore": poll["begun_at"]}
    while not _is_over() and (due := ctx.hasura.run("ClaimDisputeCheck", **asked)):
        found: Sequence[Finding] = ()
        with (
            kept_apart(log, "not checked", dispute_id=due[0]["id"]) as outcome,
            circuits.reading_disputes(ctx, poll),
        ):
            found = _of_payment(gateway, due[0])
        failed = outcome.failure or failed
        yield from found
    if failed:
        raise failed


def _of_payment(gateway: Gateway, dispute: dict[str, Any]) -> Sequence[Finding]:
    """Ask for all disputes of an open one's payment: another may have followed it.

    Raises GatewayUnavailableError for an answer without the one that our books have: it does not
    tell all.
    """
    found = gateway.find_payment_disputes(dispute["payment_attempt"]["gateway_payment_id"])
    if dispute["gateway_dispute_id"] not in [one.gateway_dispute_id for one in found]:
        message = f"{gateway.name} does not list the dispute that is booked"
        raise GatewayUnavailableError(message)
    return found
