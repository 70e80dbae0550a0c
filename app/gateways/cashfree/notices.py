"""Cashfree's webhooks in our words.

https://www.cashfree.com/docs/api-reference/payments/latest/payments/webhooks
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.gateways import Finding, Notice, Outcome, Subject, parse
from app.gateways.cashfree import findings
from app.gateways.cashfree.words import Object, needed, text, time

NOTHING = Finding(subject=Subject.NONE, outcome=Outcome.UNKNOWN)


def _payment(data: Object) -> Finding:
    return findings.of_payment(data["order"], data["payment"], data.get("error_details"))


def _refund(data: Object) -> Finding:
    return findings.of_refund(data["refund"])


def _own_refund(data: Object) -> Finding:
    return findings.of_refund(data["auto_refund"])


def _dispute(data: Object) -> Finding:
    return findings.of_dispute(data["dispute"], data["order_details"], is_closed=False)


def _closed_dispute(data: Object) -> Finding:
    return findings.of_dispute(data["dispute"], data["order_details"], is_closed=True)


# Every event we act on; any other is about nothing of ours. What an object says of itself decides,
# not the event's name: a PAYMENT_SUCCESS_WEBHOOK may bring a payment that is still pending.
EVENTS: dict[str, Callable[[Object], Finding]] = {
    "PAYMENT_SUCCESS_WEBHOOK": _payment,
    "PAYMENT_FAILED_WEBHOOK": _payment,
    "PAYMENT_USER_DROPPED_WEBHOOK": _payment,
    "REFUND_STATUS_WEBHOOK": _refund,
    "AUTO_REFUND_STATUS_WEBHOOK": _own_refund,
    "DISPUTE_CREATED": _dispute,
    "DISPUTE_UPDATED": _dispute,
    "DISPUTE_CLOSED": _closed_dispute,
}

# What makes one fact another than the last about the same object, by the object's name in `data`.
# A dispute may change without a new status: what may be answered until when.
MARKS: dict[str, tuple[str, ...]] = {
    "payment": ("cf_payment_id", "payment_status"),
    "refund": ("cf_refund_id", "refund_status"),
    "auto_refund": ("cf_refund_id", "refund_status"),
    "dispute": ("dispute_id", "dispute_status", "updated_at"),
}


def notice(body: bytes, sent_at: datetime, *, livemode: bool) -> Notice:
    """Translate a genuine event. Raises whatever a message raises that is no event."""
    raw = parse(body)
    event = json.loads(body, parse_float=Decimal)  # an amount is never a float
    kind = needed(event["type"])
    translate = EVENTS.get(kind)
    found = translate(event["data"]) if translate else NOTHING
    return Notice(
        **{each.name: getattr(found, each.name) for each in fields(Finding)},
        event_id=_event_id(kind, event["data"], found) if translate else _digest(kind, body),
        account="",
        livemode=livemode,
        type=kind,
        occurred_at=time(event.get("event_time")) or sent_at,
        raw=raw,
    )


def _event_id(kind: str, data: dict[str, Any], found: Finding) -> str:
    """Name the fact by what is signed, which the header `x-idempotency-key` is not."""
    name = next(each for each in MARKS if each in data)
    marks = (text(data[name].get(mark)) or "-" for mark in MARKS[name])
    return ":".join((kind, *marks, found.outcome))


def _digest(kind: str, body: bytes) -> str:
    return f"{kind}:{hashlib.sha256(body).hexdigest()}"
