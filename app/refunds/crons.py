"""The janitor of refunds: what has not ended is asked about until it has."""

import logging
from functools import partial
from typing import Any

from app.askers import ask_all
from app.config import ConfigError
from app.context import Context
from app.endpoints import cron
from app.errors import AppError, GatewayUnavailableError
from app.refunds import sending

log = logging.getLogger(__name__)


@cron
def check_refunds(ctx: Context) -> dict[str, int]:
    """Look up refunds that have not ended and are due, and send those that never left.

    A refund is put off to its next time before its gateway is asked, so that one that cannot be
    asked about keeps nobody else waiting. Silence is no answer: it is asked again within the hour.
    """
    asked, answered = ask_all(ctx, partial(_claim, ctx), partial(_is_answered, ctx))
    return {"asked": asked, "answered": answered}


def _claim(ctx: Context, limit: int) -> list[dict[str, Any]]:
    due: list[dict[str, Any]] = ctx.hasura.run(
        "ClaimRefundChecks", limit=limit, paused=ctx.pauses.gateways
    )
    return due


def _is_answered(ctx: Context, refund: dict[str, Any]) -> bool:
    is_silent = False
    try:
        is_silent = sending.check(ctx, refund)["status"] == "unknown"
        is_answered = not is_silent
    except (AppError, ConfigError) as failure:
        log.warning("not checked: %s", failure, extra={"refund_id": refund["id"]})
        is_silent, is_answered = isinstance(failure, GatewayUnavailableError), False
    except Exception:
        # A fault of ours, in the log with its trace. It keeps nobody else waiting, and this refund
        # comes again by its schedule, which ends with a person.
        log.exception("not checked", extra={"refund_id": refund["id"]})
        is_answered = False
    if is_silent:
        ctx.hasura.run("AskRefundAgain", refundId=refund["id"])
    return is_answered
