"""Refunds of an order: what we ask for, and what Cashfree gives back by itself."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.gateways import Finding, Outcome, RefundOrder
from app.gateways.cashfree import findings
from app.gateways.cashfree.words import OUR_REFUNDS, Object, text

NOTE_LENGTH_MIN, NOTE_LENGTH_MAX = 3, 100
UNDONE = {Outcome.FAILED, Outcome.CANCELED}


def request(order: RefundOrder) -> dict[str, Any]:
    """Word a refund. It can name the order, and no payment of it."""
    wanted: dict[str, Any] = {
        "refund_id": name(order.id),
        "refund_amount": order.amount.decimal,
        "refund_speed": "STANDARD",
    }
    if len(order.reason) >= NOTE_LENGTH_MIN:
        wanted["refund_note"] = order.reason[:NOTE_LENGTH_MAX]
    return wanted


def name(refund_id: str) -> str:
    """Write a refund's id with letters and digits alone, as the documentation wants it."""
    return UUID(refund_id).hex


def of_payment(gateway_payment_id: str, refunds: Sequence[Object]) -> list[Finding]:
    """Translate those of an order's refunds that are of this payment, whoever made them.

    What Cashfree gave back by itself has no name of ours, whatever stands there.
    """
    order_id, _, payment = gateway_payment_id.rpartition(":")
    return [
        findings.of_refund({**each, "order_id": order_id})
        for each in refunds
        if text(each.get("cf_payment_id")) == payment
    ]


def given_back(
    refund_id: str, gateway_payment_id: str, refunds: Sequence[Object]
) -> Finding | None:
    """Tell our refund by one that Cashfree made of its payment by itself, if there is one.

    It makes them of what was paid twice, among others:
    https://docs.cashfree.com/v3/docs/auto-refund-webhooks
    """
    order_id, _, payment = gateway_payment_id.rpartition(":")
    for each in refunds:
        is_ours = each.get("refund_type") in {None, *OUR_REFUNDS}
        if is_ours or text(each.get("cf_payment_id")) != payment:
            continue
        found = findings.refund_as_it_is({**each, "refund_id": refund_id, "order_id": order_id})
        if found.outcome not in UNDONE:
            return found
    return None
