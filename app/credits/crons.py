"""Credits that expire. The work is in the lots, so a tick late, lost or doubled does no harm."""

from app.context import Context
from app.endpoints import cron
from app.graphql import has_time

BATCH = 100  # lots in one transaction


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
    while has_time() and (lots := ctx.hasura.run(operation, limit=BATCH)):
        done += len(lots)
    return done
