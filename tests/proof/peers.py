"""What a call to each gateway is: whether it does something there, and for which row of ours.

Each gateway takes our id in another place, and some in signs of their own. The seam reads it here,
so that the rules of a trace are the same for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from app.gateways.payu import references

# Where a call of Stripe's carries our own id, in the order in which they are looked for.
STRIPE_REFERENCES = (
    "metadata[refund_id]",
    "metadata[payment_attempt_id]",
    "metadata[autopay_mandate_id]",
    "client_reference_id",
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request to a gateway, as it left."""

    method: str
    path: str  # below the gateway's name
    headers: Mapping[str, str]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a request asks for."""

    has_effect: bool
    key: str | None = None  # under which the gateway does it once; begins with the row's id
    reference: str | None = None  # our id in what is written there
    is_on_a_known_object: bool = False  # the gateway's own, and doing it twice is doing it once


LOOK_UP = Meaning(has_effect=False)


def fields_of(content_type: str, text: str) -> Mapping[str, Any]:
    """Read a body, which is JSON or a form."""
    if "json" in content_type:
        found: Mapping[str, Any] = json.loads(text or "{}")
        return found
    return {name: values[0] for name, values in parse_qs(text).items()}


def meaning(gateway: str, sent: Sent) -> Meaning:
    return LOOK_UP if sent.method == "GET" else GATEWAYS[gateway](sent)


def _stripe(sent: Sent) -> Meaning:
    reference = (sent.fields[name] for name in STRIPE_REFERENCES if name in sent.fields)
    return Meaning(
        has_effect=True,
        key=sent.headers.get("Idempotency-Key"),
        reference=next(reference, None),
        is_on_a_known_object=sent.path.endswith(("/expire", "/cancel", "/capture", "/detach")),
    )


def _razorpay(sent: Sent) -> Meaning:
    """An order is named by its receipt, and looked up before: Razorpay has no key for it.

    A UPI link is another try on an order that is there, and at most one of them is paid.
    """
    notes = sent.fields.get("notes") or {}
    return Meaning(
        has_effect=True,
        key=sent.headers.get("X-Refund-Idempotency") or sent.fields.get("receipt"),
        reference=notes.get("refund_id") or notes.get("payment_attempt_id"),
        is_on_a_known_object=sent.path.endswith(("/capture", "/payments/create/json")),
    )


def _payu(sent: Sent) -> Meaning:
    """All but a UPI link are commands, which differ by a field; a refund's token is its id."""
    if sent.path.endswith("/_payment"):
        attempt = references.payment_attempt_id(sent.fields.get("txnid"))
        return Meaning(has_effect=True, key=attempt, reference=attempt)
    if sent.fields.get("command") != "cancel_refund_transaction":
        return LOOK_UP
    refund = references.refund_id(sent.fields.get("var2"))
    return Meaning(has_effect=True, key=refund, reference=refund)


def _cashfree(sent: Sent) -> Meaning:
    if sent.path.endswith("/settlement/recon"):
        return LOOK_UP
    if sent.method == "PATCH" or sent.path.endswith(("/authorization", "/orders/sessions")):
        return Meaning(has_effect=True, is_on_a_known_object=True)
    if sent.path.endswith("/refunds"):
        refund = str(UUID(sent.fields["refund_id"]))
        return Meaning(has_effect=True, key=refund, reference=refund)
    order = sent.fields.get("order_id")
    return Meaning(has_effect=True, key=order, reference=order)


def _eventbridge(sent: Sent) -> Meaning:
    """A bus has no key; the first event of a request stands for all: they are committed together.

    What comes twice has one id, and whoever listens drops it.
    """
    event = json.loads(sent.fields["Entries"][0]["Detail"])["event"]["id"]
    return Meaning(has_effect=True, key=event, reference=event)


GATEWAYS: Mapping[str, Callable[[Sent], Meaning]] = {
    "stripe": _stripe,
    "razorpay": _razorpay,
    "payu": _payu,
    "cashfree": _cashfree,
    "eventbridge": _eventbridge,
}
