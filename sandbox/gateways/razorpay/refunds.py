"""Refunds: those asked for, and those of money that was never captured."""

from typing import Any

from sandbox.gateways.razorpay.calls import Call, Operation
from sandbox.gateways.razorpay.errors import RefusalError, receipt_in_use
from sandbox.gateways.razorpay.events import Events
from sandbox.gateways.razorpay.objects import (
    AMOUNT_MIN,
    check_names,
    every,
    fetch,
    listed,
    new_id,
    read_amount,
    read_notes,
    read_receipt,
    shown,
)
from sandbox.gateways.razorpay.settlements import Settlements
from sandbox.gateways.server.state import Books, Document

KIND = "refund"
KNOWN = frozenset({"amount", "speed", "notes", "receipt"})
DECIDED_AFTER = 60.0  # seconds until a pending refund ends
ARN_AFTER = 3600.0  # seconds until the bank's reference of a good one is known

# How a payment's refunds go on after they were made; a good one gets its reference.
PLANS = {
    "processed": ("processed", None),
    "pending_then_processed": ("pending", "processed"),
    "pending_then_failed": ("pending", "failed"),
}


class Refunds:
    def __init__(self, books: Books, events: Events, settlements: Settlements) -> None:
        self.books = books
        self.events = events
        self.settlements = settlements

    def operations(self) -> list[Operation]:
        of_payment, one = "/payments/{id}/refunds", "/refunds/{id}"
        create = "/payments/{id}/refund"
        key = "x-refund-idempotency"
        return [
            Operation("POST", create, "payments.refund", self._create, key, moves_money=True),
            Operation("GET", of_payment, "payments.refunds", self._of_payment),
            Operation("GET", f"{of_payment}/{{refund}}", "payments.refunds.one", self._one_of),
            Operation("GET", "/refunds", "refunds.list", self._list),
            Operation("GET", one, "refunds.retrieve", self._retrieve),
        ]

    def _create(self, call: Call) -> Document:
        params = call.params
        check_names(params, KNOWN)
        payment = fetch(self.books, "payment", call.path["id"])
        receipt = read_receipt(params)
        if receipt and every(self.books, KIND, receipt=receipt):
            raise receipt_in_use()
        if params.get("speed", "normal") not in {"normal", "optimum"}:
            raise RefusalError("The speed format is invalid.", field="speed")
        return shown(self.make(payment, params))

    def make(self, payment: Document, params: dict[str, Any]) -> Document:
        """Send so much of a payment back, or all of it. Raises RefusalError."""
        left = payment["amount"] - payment["amount_refunded"]
        amount = _checked(payment, read_amount(params, left), left)
        refund = self._make(payment, amount, params)
        refund |= {"speed_requested": params.get("speed", "normal"), "speed_processed": "normal"}
        status, then = PLANS[payment["_refunds"]]
        refund |= {"status": status, "_then": then}
        self.books.insert(KIND, refund)
        self._count(payment, amount)
        self.settlements.enter_refund(refund, payment)
        self._tell("refund.created", refund)
        if status == "processed":
            self._tell("refund.processed", refund)
        self._wait(refund, DECIDED_AFTER if then else ARN_AFTER)
        return refund

    def _make(self, payment: Document, amount: int, params: dict[str, Any]) -> Document:
        now = self.books.store.now()
        return {
            "id": new_id("rfnd_"),
            "entity": KIND,
            "amount": amount,
            "currency": payment["currency"],
            "payment_id": payment["id"],
            "notes": read_notes(params),
            "receipt": read_receipt(params),
            "acquirer_data": {"arn": None},
            "created_at": now,
            "created": now,
            "batch_id": None,
            "status": "processed",
            "speed_processed": "normal",
            "speed_requested": "normal",
            "_then": None,
        }

    def give_back(self, payment: Document) -> None:
        """Send a payment back that nobody captured: it was never in the merchant's books."""
        refund = self._make(payment, payment["amount"], {})
        payment["status"] = "refunded"
        self.books.insert(KIND, refund)
        self._count(payment, payment["amount"])
        self._tell("refund.created", refund)
        self._tell("refund.processed", refund)

    def decide(self, refund: Document, outcome: str) -> None:
        """End a refund that is pending: processed or failed."""
        refund |= {"status": outcome, "_then": None}
        self.books.update(KIND, refund)
        if outcome == "failed":
            payment = self.books.get("payment", refund["payment_id"])
            self._count(payment, -refund["amount"])
            self.settlements.enter_reversal(refund, payment)
        else:
            self._wait(refund, ARN_AFTER)
        self._tell(f"refund.{outcome}", refund)

    def due(self, identifier: str) -> None:
        """Go on with a refund whose time has come: it ends, or its bank's reference is known."""
        refund = self.books.get(KIND, identifier)
        if refund["_then"]:
            self.decide(refund, refund["_then"])
        elif refund["status"] == "processed":
            refund["acquirer_data"] = {"arn": f"7483{refund['created_at']:019d}"}
            self.books.update(KIND, refund)

    def _count(self, payment: Document, amount: int) -> None:
        refunded = payment["amount_refunded"] + amount
        is_full = refunded == payment["amount"]
        payment["amount_refunded"] = refunded
        payment["refund_status"] = ("full" if is_full else "partial") if refunded else None
        if payment["captured"]:
            payment["status"] = "refunded" if is_full else "captured"
        self.books.update("payment", payment)

    def _tell(self, kind: str, refund: Document) -> None:
        payment = self.books.get("payment", refund["payment_id"])
        self.events.emit(kind, refund=refund, payment=payment)

    def _wait(self, refund: Document, seconds: float) -> None:
        self.books.set_timer(KIND, refund["id"], self.books.store.exact_now() + seconds)

    def _of_payment(self, call: Call) -> Document:
        payment = fetch(self.books, "payment", call.path["id"])
        return listed(self.books, KIND, call.params, payment_id=payment["id"])

    def _one_of(self, call: Call) -> Document:
        return shown(fetch(self.books, KIND, call.path["refund"]))

    def _list(self, call: Call) -> Document:
        return listed(self.books, KIND, call.params)

    def _retrieve(self, call: Call) -> Document:
        return shown(fetch(self.books, KIND, call.path["id"]))


def _checked(payment: Document, amount: int, left: int) -> int:
    """Refuse what cannot be given back."""
    if not payment["captured"]:
        raise RefusalError("The payment status should be captured for action to be taken")
    if left <= 0:
        raise RefusalError("The payment has been fully refunded already")
    if amount < AMOUNT_MIN:
        raise RefusalError("The amount must be at least INR 1.00", field="amount")
    if amount > left:
        raise RefusalError(
            "The refund amount provided is greater than amount captured", field="amount"
        )
    return amount
