"""Webhooks: written with the change they report, and queued for every address that wants them."""

import hashlib
from collections.abc import Sequence
from typing import Any

from sandbox.gateways.cashfree import rupees, times
from sandbox.gateways.cashfree.shapes import payment_entity
from sandbox.gateways.server.deliveries import Outbox, Parcel
from sandbox.gateways.server.state import Books, Document

VERSION = "2025-01-01"

# What a webhook tells of a payment.
TOLD = (
    *("cf_payment_id", "payment_status", "payment_amount", "payment_currency"),
    *("payment_message", "payment_time", "bank_reference", "auth_id"),
    *("payment_method", "payment_group"),
)


class Events:
    def __init__(
        self, books: Books, outbox: Outbox, addresses: Sequence[str], wanted: Sequence[str]
    ) -> None:
        self.books = books
        self.outbox = outbox
        self.addresses = addresses
        self.wanted = wanted

    def emit(self, kind: str, data: dict[str, Any]) -> None:
        """Queue an event. Needs a transaction. Its id is a hash of what it says."""
        if self.wanted and kind not in self.wanted:
            return
        now = times.written(self.books.store.now())
        body = rupees.write({"data": data, "event_time": now, "type": kind})
        for address in self.addresses:
            event = hashlib.sha256(body).hexdigest()
            self.outbox.post(Parcel("cashfree", address, event, kind, address, body))

    def payment(self, order: Document, payment: Document) -> None:
        """Tell how a payment stands, in the webhook's own shape, which has no `is_captured`."""
        kinds = {"FAILED": "PAYMENT_FAILED_WEBHOOK", "USER_DROPPED": "PAYMENT_USER_DROPPED_WEBHOOK"}
        entity = payment_entity(order, payment)
        data: dict[str, Any] = {
            "order": {
                "order_id": order["id"],
                "order_amount": rupees.rupees(order["amount"]),
                "order_currency": order["currency"],
                "order_tags": order["tags"],
            },
            "payment": {name: entity[name] for name in TOLD},
            "customer_details": order["customer"],
            "payment_gateway_details": entity["payment_gateway_details"],
            "payment_offers": None,
        }
        if payment["error"]:
            data["error_details"] = payment["error"]
        self.emit(kinds.get(payment["status"], "PAYMENT_SUCCESS_WEBHOOK"), data)
