"""Disputes that no webhook told of: the gateways' lists are read, and each is kept as it stands."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from app import inbox
from app.context import Context
from app.gateways import Capability


def poll(ctx: Context, poll: dict[str, Any], time_is_up: Callable[[], bool]) -> int:
    """Read one gateway's list of disputes and keep what it says, the newest first.

    What is known already changes nothing. The list counts as read at its end only, so one that
    time cut short is asked for again in full. Answers how many were kept.
    """
    gateway = ctx.gateway(poll["gateway"])
    if Capability.DISPUTES not in gateway.capabilities:
        return 0
    kept = 0
    for finding in gateway.find_disputes(datetime.fromisoformat(poll["ask_since"])):
        if time_is_up():
            return kept
        inbox.keep(ctx, poll["gateway"], finding, "look-up")
        kept += 1
    ctx.hasura.run("EndDisputePoll", gateway=poll["gateway"], begunAt=poll["begun_at"])
    return kept
