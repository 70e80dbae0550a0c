"""What a person may do about a payment."""

from typing import Any

from app.context import Context
from app.endpoints import action
from app.payments.schemas import VerifyPayment, VerifyPaymentSchema
from app.payments.verification import verify

ROLES = frozenset({"customer", "finance", "operator", "owner"})


@action(VerifyPaymentSchema, roles=ROLES)
def verify_payment(ctx: Context, request: VerifyPayment) -> dict[str, Any]:
    """Ask the gateway how a payment stands, and answer its state. Changes nothing by itself."""
    return verify(ctx, str(request.payment_intent_id))
