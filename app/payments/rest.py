"""Payments by plain HTTP, for callers that do not speak GraphQL."""

from typing import Any
from uuid import UUID

from app.context import Context
from app.endpoints import rest
from app.errors import NotFoundError
from app.payments import verification


@rest("GET", "/payments/<payment_id>/verify")
def verify_payment_by_id(ctx: Context, payment_id: str) -> dict[str, Any]:
    """Ask the gateway how a payment stands, and answer its state."""
    try:
        return verification.verify(ctx, str(UUID(payment_id)))
    except ValueError as failure:
        message = "there is no such payment"
        raise NotFoundError(message) from failure
