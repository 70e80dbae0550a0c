"""What follows from a payment: one effect a handler, so that each is retried alone."""

from typing import Any

from app.context import Context
from app.endpoints import event
from app.payments import receipts


@event
def store_receipt(ctx: Context, request: dict[str, Any]) -> dict[str, str]:
    """Keep the gateway's receipt of a payment that succeeded, if it gives receipts."""
    if not receipts.store(ctx, request):
        return {"skipped": request["gateway"]}
    return {"stored": request["payment_attempt_id"]}
