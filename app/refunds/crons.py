"""The janitor of refunds: what has not ended is asked about until it has."""

import logging

from app.config import ConfigError
from app.context import Context
from app.endpoints import cron
from app.errors import AppError, GatewayUnavailableError
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
        try:
            is_answered = sending.check(ctx, due[0])["status"] != "unknown"
            answered += is_answered
        except (AppError, ConfigError) as failure:
            log.warning("not checked: %s", failure, extra={"refund_id": due[0]["id"]})
            is_answered = not isinstance(failure, GatewayUnavailableError)
        if not is_answered:
            ctx.hasura.run("AskRefundAgain", refundId=due[0]["id"])
    return {"asked": asked, "answered": answered}
