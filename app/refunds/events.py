"""What follows from a refund: one effect a handler, so that each is retried alone."""

from typing import Any

from app.context import Context
from app.endpoints import event
from app.refunds import sending


@event
def send_refund(ctx: Context, fact: dict[str, Any]) -> dict[str, str]:
    """Send a refund that the system opened by itself: nobody waits there to send it."""
    if fact["type"] != "refund.created" or fact["data"]["requested_by"] != "system":
        return {"skipped": fact["type"]}
    row = sending.state(ctx, fact["data"]["refund_id"])
    if row["status"] == "created":
        row = sending.send(ctx, row)
    return {"status": row["status"]}
