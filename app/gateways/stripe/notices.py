"""Stripe's events in our words.

https://docs.stripe.com/api/events/types
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import stripe

from app.findings import FINDING
from app.gateways import Finding, Notice, Outcome, Subject
from app.gateways.stripe import findings
from app.gateways.stripe.findings import Object

log = logging.getLogger(__name__)

NOTHING = Finding(subject=Subject.NONE, outcome=Outcome.UNKNOWN)


def _session_failed(session: Object) -> Finding:
    """Translate a page whose bank debit came to nothing: the page itself does not say so."""
    found = findings.of_session(session)
    return replace(found, outcome=Outcome.FAILED, failure_code="payment-failed")


def _charge_refunded(charge: Object) -> Finding:
    """Only name the payment: `refund.*` says how much went back, by which refund."""
    return replace(
        NOTHING,
        payment_attempt_id=findings.ours(charge, "payment_attempt_id"),
        gateway_payment_id=findings.identifier(charge.get("payment_intent")),
    )


# Every event we subscribe to; any other is about nothing of ours. What an object says of itself
# decides, not the event's name: a completed session may still be unpaid, and events come in any
# order. https://docs.stripe.com/checkout/fulfillment
EVENTS: dict[str, Callable[[Object], Finding]] = {
    "checkout.session.completed": findings.of_session,
    "checkout.session.async_payment_succeeded": findings.of_session,
    "checkout.session.async_payment_failed": _session_failed,
    "checkout.session.expired": findings.of_session,
    "payment_intent.succeeded": findings.of_intent,
    "payment_intent.payment_failed": findings.of_intent,
    "payment_intent.processing": findings.of_intent,
    "payment_intent.requires_action": findings.of_intent,
    "payment_intent.amount_capturable_updated": findings.of_intent,
    "payment_intent.canceled": findings.of_intent,
    "setup_intent.succeeded": findings.of_setup_intent,
    "setup_intent.setup_failed": findings.of_setup_intent,
    "setup_intent.canceled": findings.of_setup_intent,
    "charge.refunded": _charge_refunded,
    "refund.created": findings.of_refund,
    "refund.updated": findings.of_refund,
    "refund.failed": findings.of_refund,
    "charge.dispute.created": findings.of_dispute,
    "charge.dispute.updated": findings.of_dispute,
    "charge.dispute.closed": findings.of_dispute,
    "charge.dispute.funds_withdrawn": findings.of_dispute,
    "charge.dispute.funds_reinstated": findings.of_dispute,
}


def notice(event: Mapping[str, Any]) -> Notice:
    """Translate a genuine event. Raises whatever a message raises that is no event."""
    _compare_version(str(event.get("api_version") or stripe.api_version))
    translate = EVENTS.get(event["type"])
    found = translate(event["data"]["object"]) if translate else NOTHING
    occurred_at = datetime.fromtimestamp(event["created"], UTC)
    if found.decline_class:  # its charge, which has the time, is not expanded here
        found = replace(found, declined_at=occurred_at)
    return Notice(
        **{name: getattr(found, name) for name in FINDING},
        event_id=event["id"],
        account=event.get("account") or "",
        livemode=event["livemode"],
        type=event["type"],
        occurred_at=occurred_at,
        raw=event,
    )


@lru_cache(maxsize=8)
def _compare_version(version: str) -> None:
    """Warn, once, of events in another version of the API than the SDK's: fields may differ.

    Each webhook endpoint has a version of its own, which whoever made it chose.
    """
    if version != stripe.api_version:
        told = {"api_version": version, "sdk_version": stripe.api_version}
        log.warning("Stripe's webhook endpoint has another API version than the SDK", extra=told)
