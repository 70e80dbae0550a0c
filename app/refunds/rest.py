"""Refunds by plain HTTP, for callers that do not speak GraphQL."""

from typing import Any
from uuid import UUID

from app.context import Context
from app.endpoints import rest
from app.errors import NotFoundError
from app.refunds import sending
from app.refunds.schemas import Refund, RefundSchema


@rest("POST", "/payments/<payment_id>/refund", RefundSchema)
def refund_payment_by_id(ctx: Context, request: Refund, payment_id: str) -> dict[str, Any]:
    """Send money of a captured payment back, within the organisation's policy, once per key."""
    try:
        intent_id = str(UUID(payment_id))
    except ValueError as failure:
        message = "there is no such payment"
        raise NotFoundError(message) from failure
    return sending.refund(ctx, intent_id, request)
