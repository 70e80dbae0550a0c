"""Credits that expire. The work is in the lots, so a tick late, lost or doubled does no harm."""

import time

from app.context import Context
from app.endpoints import cron

BATCH = 100  # lots in one transaction
SECONDS_MAX = 15  # a function of ours is ended after 28


@cron
def expire_credits(ctx: Context) -> dict[str, int]:
    """Take what has expired out of the wallets, the oldest first."""
    return {"expired": _until_nothing_is_left(ctx, "ExpireCredits")}


@cron
def announce_expiring_credits(ctx: Context) -> dict[str, int]:
    """Say of each lot once, a week before, that it will expire."""
    return {"announced": _until_nothing_is_left(ctx, "AnnounceExpiringCredits")}


def _until_nothing_is_left(ctx: Context, operation: str) -> int:
    done = 0
    give_up = time.monotonic() + SECONDS_MAX
    while time.monotonic() < give_up and (lots := ctx.hasura.run(operation, limit=BATCH)):
        done += len(lots)
    return done
