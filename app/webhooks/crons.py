"""The sweeper of the outbox: what no event trigger brought out, and what failed, is sent here."""

from app.context import Context
from app.endpoints import cron
from app.webhooks import publishing

SWEEP_SECONDS_MAX = 8  # of all destinations; each has its part, and the end of its last batch


@cron
def publish_events(ctx: Context) -> dict[str, dict[str, int]]:
    """Send what is due at every destination."""
    return {
        name: publishing.publish(ctx, name, SWEEP_SECONDS_MAX / len(publishing.DESTINATIONS))
        for name in publishing.DESTINATIONS
    }
