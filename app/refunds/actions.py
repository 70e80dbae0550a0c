"""What a person may do about a refund."""

from typing import Any

from app.context import Context
from app.endpoints import action
from app.refunds import sending
from app.refunds.schemas import Refund, RefundPaymentSchema


@action(RefundPaymentSchema, roles=frozenset({"finance", "owner", "service"}))
def refund_payment(ctx: Context, request: Refund) -> dict[str, Any]:
    """Send money of a captured payment back, within the organisation's policy, once per key."""
    return sending.refund(ctx, str(request.payment_intent_id), request)
