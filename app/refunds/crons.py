"""The janitor of refunds: what has not ended is asked about until it has."""

import logging
from functools import partial
from typing import Any

from app.askers import ask_all
from app.context import Context
from app.endpoints import cron
from app.failures import kept_apart
from app.refunds import searches, sending

log = logging.getLogger(__name__)


@cron
def check_refunds(ctx: Context) -> dict[str, int]:
    """Look up refunds that have not ended and are due, and send those that never left.

    Then all refunds are asked for of payments of which something said that there is one more.
    Whatever is asked about is put off to its next time before its gateway is asked, so that one
    that cannot be asked about keeps nobody else waiting. Silence is no answer: it is asked again in
    half an hour.
    """
    asked, answered = ask_all(ctx, partial(_claim, ctx), partial(_is_answered, ctx))
    searched, told = ask_all(ctx, partial(_claim_searches, ctx), partial(_is_told, ctx))
    return {"asked": asked + searched, "answered": answered + told}


def _claim(ctx: Context, limit: int) -> list[dict[str, Any]]:
    due: list[dict[str, Any]] = ctx.hasura.run(
        "ClaimRefundChecks", limit=limit, paused=ctx.pauses.gateways
    )
    return due


def _is_answered(ctx: Context, refund: dict[str, Any]) -> bool:
    status = None
    with kept_apart(log, "not checked", refund_id=refund["id"]) as outcome:
        status = sending.check(ctx, refund)["status"]
    # After a fault of ours it comes again by its schedule, which ends with a person.
    if status == "unknown" or outcome.is_silent:
        ctx.hasura.run("AskRefundAgain", refundId=refund["id"])
    return status not in {None, "unknown"}


def _claim_searches(ctx: Context, limit: int) -> list[dict[str, Any]]:
    due: list[dict[str, Any]] = ctx.hasura.run(
        "ClaimRefundSearches", limit=limit, paused=ctx.pauses.gateways
    )
    return due


def _is_told(ctx: Context, attempt: dict[str, Any]) -> bool:
    with kept_apart(log, "not searched", attempt_id=attempt["id"]) as outcome:
        searches.search(ctx, attempt)
    return outcome.failure is None
