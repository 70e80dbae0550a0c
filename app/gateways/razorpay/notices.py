"""Razorpay's events in our words.

https://razorpay.com/docs/webhooks/payloads/
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from app.gateways import Delivery, Finding, Notice, Outcome, Subject
from app.gateways.razorpay import findings
from app.gateways.razorpay.findings import Entity

NOTHING = Finding(subject=Subject.NONE, outcome=Outcome.UNKNOWN)
HINT = Finding(subject=Subject.PAYMENT, outcome=Outcome.HINT)


def _payment(payload: Entity) -> Finding:
    return findings.of_payment(payload["payment"]["entity"])


def _order_paid(payload: Entity) -> Finding:
    """Translate the one message that brings the order, and with it our own reference."""
    order = payload["order"]["entity"]
    return replace(
        _payment(payload),
        payment_attempt_id=findings.reference_of(order),
        gateway_session_id=order["id"],
    )


def _refund(payload: Entity) -> Finding:
    """Translate a refund; one of money that was never ours is a hint to look the order up.

    Razorpay gives back by itself what nobody captured, and what came after another had paid.
    """
    payment = payload.get("payment", {}).get("entity", {})
    if "captured" in payment and not findings.was_captured(payment):
        return replace(
            HINT, gateway_payment_id=payment["id"], gateway_session_id=payment.get("order_id")
        )
    return findings.of_refund(payload["refund"]["entity"])


def _dispute(payload: Entity) -> Finding:
    return findings.of_dispute(payload["dispute"]["entity"])


# Every event we subscribe to; any other is about nothing of ours. What an entity says of itself
# decides, not the event's name: events come in any order, and again.
EVENTS: dict[str, Callable[[Entity], Finding]] = {
    "payment.authorized": _payment,
    "payment.captured": _payment,
    "payment.failed": _payment,
    "order.paid": _order_paid,
    "refund.created": _refund,
    "refund.processed": _refund,
    "refund.failed": _refund,
    "refund.speed_changed": _refund,
    "payment.dispute.created": _dispute,
    "payment.dispute.under_review": _dispute,
    "payment.dispute.action_required": _dispute,
    "payment.dispute.won": _dispute,
    "payment.dispute.lost": _dispute,
    "payment.dispute.closed": _dispute,
}


def notice(
    event: Mapping[str, Any], delivery: Delivery, now: datetime, *, livemode: bool
) -> Notice:
    """Translate a genuine event. Raises whatever a message raises that is no event.

    No event says its mode: it is that of the key, beside which its secret was set.
    """
    payload = event.get("payload", {})
    translate = EVENTS.get(event["event"])
    found = translate(payload) if translate else NOTHING
    return Notice(
        **{each.name: getattr(found, each.name) for each in fields(Finding)},
        event_id=_event_id(delivery),
        account="",
        livemode=livemode,
        type=_text(event["event"]),
        occurred_at=_occurred_at(event, payload, now),
        raw=event,
    )


def _event_id(delivery: Delivery) -> str:
    """Name the event as Razorpay does, equal on redelivery; as its body does where it does not."""
    given = delivery.headers.get("x-razorpay-event-id", "").strip()
    return given or f"sha256:{sha256(delivery.body).hexdigest()}"


def _occurred_at(event: Entity, payload: Any, now: datetime) -> datetime:
    """Read the event's time, which some samples of the documentation have inside the payload."""
    inside = payload.get("created_at") if isinstance(payload, Mapping) else None
    stamp = event.get("created_at", inside)
    return datetime.fromtimestamp(stamp, UTC) if stamp is not None else now


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("the event has no name")
    return value
