"""What must hold is looked at, not assumed."""

import logging

from app.context import Context
from app.endpoints import cron

log = logging.getLogger(__name__)


@cron
def check_invariants(ctx: Context) -> dict[str, int]:
    """Read every invariant; what is broken is an exception, and an error in the log."""
    broken = ctx.hasura.run("CheckInvariants")
    for fault in broken:
        log.error("%s: %s", fault["object_type"], fault["detail"])
    return {"broken": len(broken)}
