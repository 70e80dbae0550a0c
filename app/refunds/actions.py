"""What a person may do about a refund."""

from typing import Any

from app.context import Context
from app.endpoints import action
from app.refunds import sending
from app.refunds.schemas import (
    Refund,
    RefundPaymentSchema,
    RefundPolicy,
    RefundPolicySchema,
)


@action(RefundPaymentSchema, roles=frozenset({"finance", "owner", "service"}))
def refund_payment(ctx: Context, request: Refund) -> dict[str, Any]:
    """Send money of a captured payment back, within the organisation's policy, once per key."""
    return sending.refund(ctx, str(request.payment_intent_id), request)


@action(RefundPolicySchema, roles=frozenset({"finance", "owner"}))
def set_refund_policy(ctx: Context, request: RefundPolicy) -> dict[str, Any]:
    """Say what goes back of a kind of payments, from now or a later time on. Twice is once."""
    policy: dict[str, Any] = ctx.hasura.one(
        "SetRefundPolicy",
        purpose=request.purpose,
        currency=request.currency,
        windowDays=request.window_days,
        shareMax=request.share_max,
        feeAmount=request.fee_amount,
        feeShare=request.fee_share,
        roles=request.roles,
        validFrom=request.valid_from and request.valid_from.isoformat(),
    )
    return policy
