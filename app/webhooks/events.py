"""What follows from an event that is to leave: it is sent at once."""

from typing import Any

from app.context import Context
from app.endpoints import event
from app.webhooks import publishing


@event
def publish_event(ctx: Context, publication: dict[str, Any]) -> dict[str, int]:
    """Send what is due at the event's destination, a batch of it.

    The row only says that there is something: what is sent is what is claimed, so that a trigger
    that comes twice, late or never makes no difference.
    """
    return publishing.publish(ctx, publication["destination"], seconds=0)
