"""What a person may do about a payment."""

from typing import Any

from app import inbox
from app.context import Context
from app.endpoints import action
from app.money import Money
from app.payments import cancellations, orders, passes
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
    id: the same call again finishes what a crash left, and takes nothing twice.
    """
    attempt = ctx.hasura.one(
        "BeginCapture", paymentIntentId=str(request.payment_intent_id), amount=request.amount
    )
    if attempt["status"] == "authorized":
        amount = Money(int(attempt["amount_to_capture"]), attempt["currency"])
        gateway = ctx.gateway(attempt["gateway"])
        finding = gateway.capture(attempt["id"], attempt["gateway_payment_id"], amount)
        inbox.keep(ctx, attempt["gateway"], finding, "answer", account=attempt["gateway_account"])
    return state(ctx, str(request.payment_intent_id))


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
