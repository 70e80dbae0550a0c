"""What other systems say of their orders: kept, followed, and charged where it says so."""

from dataclasses import replace
from typing import Any

from app import inbox
from app.context import Context
from app.errors import GatewayRefusedError, GatewaySilentError, GatewayUnavailableError
from app.gateways import (
    Capability,
    DeclineClass,
    Finding,
    Gateway,
    Outcome,
    SavedCharge,
    Subject,
)
from app.money import Money
from app.payments.schemas import OrderEvent


def receive(ctx: Context, event: OrderEvent) -> list[str]:
    """Keep a message and do what follows of it. Answers how the charges that it caused ended.

    Message and attempt are committed before a gateway is asked: the same message again, or the
    cron, finishes what a crash left, under the attempt's id.
    """
    charges = ctx.hasura.run(
        "ReceiveOrderEvent",
        eventId=event.id,
        type=event.type,
        reference=event.reference,
        customerExternalId=event.customer_external_id,
        amount=event.amount and event.amount.amount,
        currency=event.amount and event.amount.currency,
        detail=event.detail,
        occurredAt=event.occurred_at.isoformat(),
    )
    return [charge(ctx, row) for row in charges]


def charge(ctx: Context, row: dict[str, Any]) -> str:
    """Charge a saved method for an order, and keep what the gateway says. Safe to repeat.

    Of an order that is captured later the money is authorised only.
    """
    try:
        finding = _charge(ctx.gateway(row["gateway"]), _saved(row))
    except GatewayUnavailableError as silence:
        ctx.pauses.note(row["gateway"], silence)
        ctx.hasura.run(
            "MarkPaymentUnknown",
            attemptId=row["id"],
            message=silence.message,
            isSilent=isinstance(silence, GatewaySilentError),
        )
        return "unknown"
    except GatewayRefusedError as refusal:
        finding = Finding(
            subject=Subject.PAYMENT,
            outcome=Outcome.FAILED,
            failure_code=refusal.code,
            failure_message=refusal.message,
            decline_class=DeclineClass.GATEWAY,
        )
    ours = replace(finding, payment_attempt_id=row["id"])
    inbox.keep(ctx, row["gateway"], ours, "answer", account=row["gateway_account"])
    return str(finding.outcome)


def _charge(gateway: Gateway, saved: SavedCharge) -> Finding:
    if saved.authorize_only and Capability.AUTHORIZE not in gateway.capabilities:
        message = f"{gateway.name} authorises nothing first"  # and would take the money
        raise GatewayRefusedError(message)
    return gateway.charge(saved)


def _saved(row: dict[str, Any]) -> SavedCharge:
    return SavedCharge(
        id=row["id"],
        amount=Money(int(row["amount"]), row["currency"]),
        title=row["title"],
        email=row["email"],
        gateway_customer_id=row["gateway_customer_id"],
        gateway_payment_method_id=row["gateway_payment_method_id"],
        authorize_only=row["capture_method"] == "manual",
    )
