"""What a person may do about a payment."""

from typing import Any

from app import inbox
from app.context import Context
from app.endpoints import action
from app.errors import AmountOutOfRangeError
from app.gateways import Capability
from app.payments import cancellations, checks, orders, passes
from app.payments.schemas import (
    CapturePaymentSchema,
    Embedding,
    EmbeddingSchema,
    InitiatePaymentSchema,
    Initiation,
    PaymentAction,
    PaymentSchema,
)
from app.payments.verification import state, verify

STAFF = frozenset({"finance", "operator", "owner"})


@action(InitiatePaymentSchema, roles=frozenset({"customer", "finance", "owner"}))
def initiate_payment(ctx: Context, order: Initiation) -> dict[str, Any]:
    """Open the page where an order of another system is paid, once per order."""
    row = orders.initiate(ctx, order)
    # To the customer alone, who has proved who they are.
    is_customer = ctx.hasura.actor_role == "customer"
    key = passes.issue(ctx, row["token"]) if is_customer else None
    names = (
        *("payment_intent_id", "payment_url", "gateway", "amount", "currency", "status"),
        "expires_at",
    )
    return {
        "transaction_id": row["display_id"],
        "gateway_order_id": row["gateway_session_id"],
        "payer_url": key and f"{row['payment_url']}?payer={key}",
        **{name: row[name] for name in names},
    }


@action(PaymentSchema, roles=STAFF | {"customer"})
def verify_payment(ctx: Context, request: PaymentAction) -> dict[str, Any]:
    """Ask the gateway how a payment stands, and answer its state. Changes nothing by itself."""
    return verify(ctx, str(request.payment_intent_id))


@action(CapturePaymentSchema, roles=frozenset({"finance", "owner", "service"}))
def capture_payment(ctx: Context, request: PaymentAction) -> dict[str, Any]:
    """Take an authorised payment, whole or in part, once; the rest is released to the payer.

    How much is committed before the gateway is told, and the gateway is told under the attempt's
    id: the same call again finishes what a crash left, and takes nothing twice. Raises
    GatewayRefusedError where the gateway says no: then another amount may be captured.
    """
    intent_id = str(request.payment_intent_id)
    if request.amount is not None:
        _see_that_it_can_be_taken(ctx, intent_id, request.amount)
    attempt = ctx.hasura.one("BeginCapture", paymentIntentId=intent_id, amount=request.amount)
    if attempt["status"] == "authorized":
        finding = checks.take(ctx, attempt)
        inbox.keep(ctx, attempt["gateway"], finding, "answer", account=attempt["gateway_account"])
    return state(ctx, intent_id)


@action(PaymentSchema, roles=STAFF | {"customer"})
def cancel_payment(ctx: Context, request: PaymentAction) -> dict[str, Any]:
    """Give up what has not been captured: no page takes it any more, and nothing is held.

    When the payer was faster the answer is a payment that is paid. What is paid later, on a page
    that its gateway cannot close, goes back by itself. Only the organisation gives up what a
    gateway holds for it.
    """
    return cancellations.cancel(ctx, str(request.payment_intent_id))


@action(EmbeddingSchema, roles=frozenset({"owner"}))
def set_embedding_origins(ctx: Context, request: Embedding) -> dict[str, list[str]]:
    """Say which sites may frame the organisation's payment pages, these and no others."""
    rows = ctx.hasura.run("SetEmbeddingOrigins", origins=request.origins)
    return {"origins": [row["origin"] for row in rows]}


def _see_that_it_can_be_taken(ctx: Context, intent_id: str, amount: int) -> None:
    """Raise AmountOutOfRangeError for a part where the gateway takes the whole only."""
    for attempt in ctx.hasura.run("OpenPaymentAttempts", paymentIntentId=intent_id):
        is_part = attempt["status"] == "authorized" and amount != int(attempt["amount"])
        name = attempt["gateway"]
        if is_part and Capability.PARTS not in ctx.gateway(name).capabilities:
            message = f"{name} takes the whole of {attempt['amount']} only, and not {amount} of it"
            raise AmountOutOfRangeError(message)
