"""Credits used, returned and given. A customer spends through the shop, which acts for them."""

from datetime import datetime
from typing import Any

from app.context import Context
from app.credits.schemas import (
    GrantCredits,
    GrantCreditsSchema,
    ReturnCredits,
    ReturnCreditsSchema,
    SetCreditRate,
    SetCreditRateSchema,
    SpendCredits,
    SpendCreditsSchema,
)
from app.endpoints import action

SHOP = frozenset({"dispatcher", "owner", "service"})
MAKERS = frozenset({"finance", "owner"})


@action(SpendCreditsSchema, roles=SHOP)
def spend_credits(ctx: Context, request: SpendCredits) -> dict[str, Any]:
    """Use a customer's credits, once per idempotency key: what expires first goes first."""
    spend = ctx.hasura.one(
        "SpendCredits",
        customerId=str(request.customer_id),
        amount=str(request.amount),
        key=request.idempotency_key,
        description=request.description,
        reference=request.reference,
    )
    return {
        "credit_spend_id": spend["id"],
        "credits_amount": spend["credits_amount"],
        "credits_returned": spend["credits_returned"],
        "created_at": spend["created_at"],
    }


@action(ReturnCreditsSchema, roles=SHOP | MAKERS)
def return_credits(ctx: Context, request: ReturnCredits) -> dict[str, Any]:
    """Take a spend back, whole or in part, once per idempotency key."""
    returned = ctx.hasura.one(
        "ReturnCredits",
        spendId=str(request.credit_spend_id),
        amount=None if request.amount is None else str(request.amount),
        key=request.idempotency_key,
        reason=request.reason,
    )
    return {
        "credit_return_id": returned["id"],
        "credit_spend_id": returned["credit_spend_id"],
        "credits_amount": returned["credits_amount"],
        "created_at": returned["created_at"],
    }


@action(GrantCreditsSchema, roles=MAKERS)
def grant_credits(ctx: Context, request: GrantCredits) -> dict[str, Any]:
    """Give credits without a payment, once per idempotency key. The maker is written down."""
    grant = ctx.hasura.one(
        "GrantCredits",
        customerId=str(request.customer_id),
        amount=str(request.amount),
        key=request.idempotency_key,
        reason=request.reason,
        expiresAt=_text(request.expires_at),
    )
    return {
        "credit_grant_id": grant["id"],
        "credits_amount": grant["credits_amount"],
        "expires_at": grant["expires_at"],
        "created_at": grant["created_at"],
    }


@action(SetCreditRateSchema, roles=MAKERS)
def set_credit_rate(ctx: Context, request: SetCreditRate) -> dict[str, Any]:
    """Price credits from a time on. Open purchases keep the rate that they were opened at."""
    rate: dict[str, Any] = ctx.hasura.one(
        "SetCreditRate",
        currency=request.currency,
        rate=str(request.rate),
        validFrom=_text(request.valid_from),
    )
    return rate


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
