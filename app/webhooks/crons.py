"""The sweeper of the outbox: what no event trigger brought out, and what failed, is sent here."""

from app.context import Context
from app.endpoints import cron
from app.webhooks import publishing

# With the last batch after it this stays below what an HTTP API waits for an answer.
SWEEP_SECONDS_MAX = 8


@cron
def publish_events(ctx: Context) -> dict[str, dict[str, int]]:
    """Send what is due at every destination."""
    return {
        name: publishing.publish(ctx, name, SWEEP_SECONDS_MAX / len(publishing.DESTINATIONS))
        for name in publishing.DESTINATIONS
    }
