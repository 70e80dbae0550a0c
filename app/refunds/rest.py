"""Refunds by plain HTTP, for callers that do not speak GraphQL."""

from typing import Any

from app.context import Context
from app.endpoints import rest
from app.references import payment_intent_id
from app.refunds import sending
from app.refunds.schemas import Refund, RefundSchema


@rest("POST", "/payments/<payment_id>/refund", RefundSchema)
def refund_payment_by_id(ctx: Context, request: Refund, payment_id: str) -> dict[str, Any]:
    """Send money of a captured payment back, within the organisation's policy, once per key."""
    return sending.refund(ctx, payment_intent_id(ctx, payment_id), request)
