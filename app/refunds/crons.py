"""The janitor of refunds: what has not ended is asked about until it has."""

import logging
from typing import Any

from app.context import Context
from app.endpoints import cron
from app.failures import kept_apart
from app.http import has_time
from app.refunds import sending

log = logging.getLogger(__name__)


@cron
def check_refunds(ctx: Context) -> dict[str, int]:
    """Look up refunds that have not ended and are due, and send those that never left.

    A refund is put off to its next time before its gateway is asked, so that one that cannot be
    asked about keeps nobody else waiting. Silence is no answer: it is asked again within the hour.
    """
    asked = answered = 0
    while has_time() and (due := ctx.hasura.run("ClaimRefundChecks", limit=1)):
        asked += 1
        answered += _is_answered(ctx, due[0])
    return {"asked": asked, "answered": answered}


def _is_answered(ctx: Context, refund: dict[str, Any]) -> bool:
    status = None
    with kept_apart(log, "not checked", refund_id=refund["id"]) as outcome:
        status = sending.check(ctx, refund)["status"]
    # After a fault of ours it comes again by its schedule, which ends with a person.
    if status == "unknown" or outcome.is_silent:
        ctx.hasura.run("AskRefundAgain", refundId=refund["id"])
    return status not in {None, "unknown"}
