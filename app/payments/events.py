"""What follows from a payment: one effect a handler, so that each is retried alone."""

from typing import Any

from app.context import Context
from app.endpoints import event
from app.payments import receipts


@event
def store_receipt(ctx: Context, fact: dict[str, Any]) -> dict[str, str]:
    """Keep the gateway's receipt of a payment that succeeded."""
    if fact["type"] != "payment.succeeded":
        return {"skipped": fact["type"]}

    attempts = ctx.hasura.run("ReceiptWanted", attemptId=fact["data"]["payment_attempt_id"])
    for attempt in attempts:
        receipts.store(ctx, attempt)
    return {"stored": str(len(attempts))}
