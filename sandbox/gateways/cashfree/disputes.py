"""Disputes: a payer's bank asks for the money back, and somebody decides."""

from secrets import randbelow
from typing import Any

from sandbox.gateways.cashfree import errors, times
from sandbox.gateways.cashfree.calls import Call, Operation
from sandbox.gateways.cashfree.events import Events
from sandbox.gateways.cashfree.payments import Payments
from sandbox.gateways.cashfree.refunds import taken
from sandbox.gateways.cashfree.rupees import rupees
from sandbox.gateways.cashfree.shapes import dispute_entity, dispute_shown
from sandbox.gateways.server.state import Document, Slice

TYPES = ("RETRIEVAL", "DISPUTE", "CHARGEBACK", "PRE_ARBITRATION", "ARBITRATION")
OPEN = {"CREATED", "DOCS_RECEIVED", "UNDER_REVIEW"}
DECISIONS = {
    "under_review": "UNDER_REVIEW",
    "won": "MERCHANT_WON",
    "lost": "MERCHANT_LOST",
    "accepted": "MERCHANT_ACCEPTED",
    "insufficient_evidence": "INSUFFICIENT_EVIDENCE",
}
LOST = {"MERCHANT_LOST", "MERCHANT_ACCEPTED"}
ANSWER_DAYS = 7


class Disputes:
    def __init__(self, payments: Payments, events: Events) -> None:
        self.books = payments.books
        self.payments = payments
        self.events = events

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/disputes/{dispute}", "disputes.get", self._get),
            Operation("GET", "/orders/{id}/disputes", "disputes.list", self._list),
        ]

    def open(self, payment: Document, kind: str, reason: str) -> Document:
        """Dispute a captured payment. Needs a transaction."""
        now = self.books.store.now()
        dispute = {
            "id": str(10**8 + randbelow(9 * 10**8)),
            "created": now,
            "updated": now,
            "resolved": None,
            "respond_by": now + ANSWER_DAYS * times.DAY,
            "order": payment["order"],
            "payment": payment["id"],
            "amount": taken(payment),
            "type": kind,
            "state": "CREATED",
            "reason": reason,
            "reason_code": "1402",
            "remarks": "Dispute is created, please take action",
            "settled": kind == "RETRIEVAL",  # which takes no money until it is lost
            "reversed": False,
        }
        self.books.insert("dispute", dispute)
        self._tell(dispute, "DISPUTE_CREATED")
        return dispute

    def decide(self, dispute: Document, outcome: str) -> None:
        """Go on with an open dispute. Needs a transaction."""
        dispute["state"] = DECISIONS[outcome]
        if dispute["type"] == "RETRIEVAL" and dispute["state"] in LOST:
            dispute["settled"] = False
        dispute["updated"] = max(self.books.store.now(), dispute["updated"] + 1)
        dispute["remarks"] = f"Dispute is {outcome.replace('_', ' ')}"
        is_over = dispute["state"] not in OPEN
        if is_over:
            dispute["resolved"] = dispute["updated"]
        self.books.update("dispute", dispute)
        self._tell(dispute, "DISPUTE_CLOSED" if is_over else "DISPUTE_UPDATED")

    def _tell(self, dispute: Document, kind: str) -> None:
        self.events.emit(kind, {"dispute": dispute_entity(dispute), **self._about(dispute)})

    def _about(self, dispute: Document) -> dict[str, Any]:
        """Tell whose it is. In a webhook it stands beside the dispute, in an answer inside it."""
        order = self.payments.orders.find(dispute["order"])
        payment = self.books.get("payment", dispute["payment"])
        customer = order["customer"]
        return {
            "order_details": {
                "order_id": order["id"],
                "order_amount": rupees(order["amount"]),
                "order_currency": order["currency"],
                "cf_payment_id": int(payment["id"]),
                "payment_amount": rupees(payment["amount"]),
                "payment_currency": order["currency"],
            },
            "customer_details": {
                name: customer.get(name)
                for name in ("customer_name", "customer_phone", "customer_email")
            },
        }

    def _shown(self, dispute: Document) -> dict[str, Any]:
        return dispute_shown(dispute) | self._about(dispute)

    def _get(self, call: Call) -> dict[str, Any]:
        dispute = self.books.find("dispute", call.path["dispute"])
        if dispute is None:
            raise errors.no_such("dispute", "Dispute does not exist")
        return self._shown(dispute)

    def _list(self, call: Call) -> list[dict[str, Any]]:
        order = self.payments.orders.find(call.path["id"])
        found = self.books.page("dispute", Slice(limit=100, equals={"order": order["id"]}))[0]
        return [self._shown(one) for one in found]
