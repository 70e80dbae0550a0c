"""Autopay's crons only say "look now": the work is in the rows, whatever the ticks do."""

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any

from app import graphql, http, inbox
from app.askers import ask_all
from app.autopay.charging import SILENT, charge_all, give_back
from app.context import Context
from app.endpoints import cron
from app.failures import kept_apart
from app.gateways import Finding, Outcome, Subject

log = logging.getLogger(__name__)

MANDATES = 500  # written down in one call
BATCH = 64  # charges begun in one call
LEASE_SECONDS = 60  # none ends before the cron


@cron
def materialise_autopay(ctx: Context) -> dict[str, int]:
    """Write down and announce the charges whose notice is due."""
    written = 0
    while graphql.has_time() and (
        mandates := ctx.hasura.run("MaterialiseAutopayCharges", limit=MANDATES)
    ):
        written += len(mandates)
    return {"written": written}


@dataclass(frozen=True, slots=True)
class Batch:
    """Charges that this worker has claimed, and what of them the gateways are to be asked."""

    claimed: int
    orders: list[dict[str, Any]]

    @property
    def is_full(self) -> bool:
        return self.claimed == BATCH


NOTHING = Batch(0, [])


@cron
def run_autopay(ctx: Context) -> dict[str, int]:
    """Charge what is due, a batch after the other, until nothing is left or time is up.

    After a full batch there is another, which is begun while the gateway works on the first. A
    gateway that answered nobody in a whole batch is left in peace until the next tick.
    """
    done: Counter[str] = Counter()

    def time_is_up() -> bool:
        return not http.has_time()

    batch = _begin(ctx)
    with ThreadPoolExecutor(1) as ahead:
        while batch.claimed:
            looks_ahead = batch.is_full and not time_is_up()
            coming = ahead.submit(copy_context().run, _begin, ctx) if looks_ahead else None
            ends = charge_all(ctx, batch.orders, time_is_up)
            done += Counter(claimed=batch.claimed) + ends
            log.info("autopay", extra={"done": dict(done)})
            following = coming.result() if coming else None
            if batch.orders and ends[SILENT] == len(batch.orders):
                give_back(ctx, following.orders if following else [])
                break
            batch = following or (NOTHING if time_is_up() else _begin(ctx))
    return dict(done)


def _begin(ctx: Context) -> Batch:
    claims = ctx.hasura.run("ClaimAutopayCharges", limit=BATCH, lease=LEASE_SECONDS)
    orders = ctx.hasura.run("BeginAutopayAttempts", claims=claims) if claims else []
    return Batch(len(claims), orders)


@cron
def check_autopay_setups(ctx: Context) -> dict[str, int]:
    """Ask about pages that were finished, or closed, without our hearing of it.

    And once about a method that is saved: a message may not have said what it is. Each is put off
    to its next time before it is asked about, and none that there is no time for.
    """
    asked, answered = ask_all(ctx, partial(_claim_setups, ctx), partial(_is_answered, ctx))
    return {"asked": asked, "answered": answered}


def _claim_setups(ctx: Context, limit: int) -> list[dict[str, Any]]:
    setups: list[dict[str, Any]] = ctx.hasura.run(
        "ClaimAutopaySetups", limit=limit, paused=ctx.pauses.gateways
    )
    return setups


def _is_answered(ctx: Context, setup: dict[str, Any]) -> bool:
    with kept_apart(log, "setup not checked", mandate_id=setup["id"]) as outcome:
        return _check(ctx, setup)
    ctx.pauses.note(setup["gateway"], outcome.failure)
    return False


def _check(ctx: Context, setup: dict[str, str]) -> bool:
    if not setup["gateway_session_id"]:
        return False  # the page was never shown; it expires by itself
    gateway = ctx.gateway(setup["gateway"])
    finding = gateway.find_setup(setup["id"], setup["gateway_session_id"])
    if finding is None and setup["is_over"]:
        finding = Finding(
            subject=Subject.SETUP, outcome=Outcome.EXPIRED, autopay_mandate_id=setup["id"]
        )
    if finding is None or finding.outcome is Outcome.REQUIRES_ACTION:
        return False
    inbox.keep(ctx, setup["gateway"], finding, "look-up")
    return True
