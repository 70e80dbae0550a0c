"""Payments by plain HTTP, for callers that do not speak GraphQL."""

import json
from typing import Any

from app.context import Context
from app.endpoints import rest
from app.money import Money
from app.payments import order_events, orders, verification
from app.payments.schemas import (
    InitiateBookingSchema,
    Initiation,
    OrderEvent,
    OrderEventSchema,
)
from app.references import payment_intent_id


@rest("POST", "/payments/initiate", InitiateBookingSchema)
def initiate_booking_payment(ctx: Context, booking: Initiation) -> dict[str, Any]:
    """Open a page for a booking, as UberTruck's document has it, with the address to pay at."""
    row = orders.initiate(ctx, booking)
    return {
        "transaction_id": row["display_id"],
        "payment_intent_id": row["payment_intent_id"],
        "gateway": row["gateway"],
        "gateway_order_id": row["gateway_session_id"],
        "amount": json.loads(str(Money(int(row["amount"]), row["currency"]).decimal)),
        "currency": row["currency"],
        "status": row["transaction_status"],
        "payment_url": row["payment_url"],
    }


@rest("POST", "/events", OrderEventSchema)
def receive_order_event(ctx: Context, event: OrderEvent) -> dict[str, Any]:
    """Hear what another system says of an order: charge it once, or give the money back."""
    return {"received": True, "charges": order_events.receive(ctx, event)}


@rest("GET", "/payments/<payment_id>/verify")
def verify_payment_by_id(ctx: Context, payment_id: str) -> dict[str, Any]:
    """Ask the gateway how a payment stands, and answer its state."""
    return verification.verify(ctx, payment_intent_id(ctx, payment_id))
