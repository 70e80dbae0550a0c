"""Refunds: one under each id of the merchant's, done at once or a while later."""

import re
from secrets import randbelow
from typing import Any

from sandbox.gateways.cashfree import errors
from sandbox.gateways.cashfree.calls import Call, Operation
from sandbox.gateways.cashfree.errors import RefusalError, invalid, missing, not_simulated
from sandbox.gateways.cashfree.events import Events
from sandbox.gateways.cashfree.payments import Payments
from sandbox.gateways.cashfree.rupees import paise
from sandbox.gateways.cashfree.shapes import refund_entity
from sandbox.gateways.server.state import Document, Slice

DECISION_SECONDS = 60
GONE = {"FAILED", "CANCELLED"}  # these gave the money back to the merchant
KNOWN = {"refund_id", "refund_amount", "refund_note", "refund_speed"}

# What becomes of a refund: its status at first, and a minute later.
COURSES = {
    "succeed": ("SUCCESS", None),
    "wait": ("PENDING", None),
    "wait_then_succeed": ("PENDING", "SUCCESS"),
    "wait_then_fail": ("PENDING", "FAILED"),
    "wait_then_cancel": ("PENDING", "CANCELLED"),
    "arn_later": ("SUCCESS", "SUCCESS"),
}
# A refund_note steers it, as in Cashfree's own test system.
NOTES = {"SUCCESS": "succeed", "PENDING": "wait", "FAILED": "wait_then_fail"}
DESCRIPTIONS = {
    "SUCCESS": "Refund processed successfully",
    "PENDING": "In Progress",
    "FAILED": "The bank account is closed",
    "CANCELLED": "Refund cancelled after repeated attempts",
    "ONHOLD": "Not enough balance in the account",
}


class Refunds:
    def __init__(self, payments: Payments, events: Events) -> None:
        self.books = payments.books
        self.payments = payments
        self.events = events

    def operations(self) -> list[Operation]:
        refunds = "/orders/{id}/refunds"
        return [
            Operation("POST", refunds, "refunds.create", self._create),
            Operation("GET", refunds, "refunds.list", self._list),
            Operation("GET", f"{refunds}/{{refund}}", "refunds.get", self._get),
        ]

    def decide(self, identifier: str) -> None:
        """End a refund as it was bound to: a timer came."""
        refund = self.books.get("refund", identifier)
        after = COURSES[refund["course"]][1]
        if after:
            self.move(refund, after)

    def move(self, refund: Document, status: str) -> None:
        """Give a refund a status, or its bank's reference, and tell the merchant."""
        refund["status"] = status
        refund["description"] = DESCRIPTIONS[status]
        if status != "PENDING":
            refund["processed"] = self.books.store.now()
        knows = status == "SUCCESS" and (refund["course"] != "arn_later" or refund["told"])
        refund["arn"] = str(10**11 + randbelow(9 * 10**11)) if knows else None
        refund["told"] = True
        self.books.update("refund", refund)
        if status != "PENDING":
            self._tell(refund)

    def _tell(self, refund: Document) -> None:
        """Tell the merchant, with ids that are numbers, as Cashfree's webhooks have them."""
        entity = refund_entity(refund)
        numbers = {name: int(entity[name]) for name in ("cf_refund_id", "cf_payment_id")}
        self.events.emit("REFUND_STATUS_WEBHOOK", {"refund": {**entity, **numbers}})

    def of_order(self, identifier: str) -> list[Document]:
        return self.books.page("refund", Slice(limit=100, equals={"order": identifier}))[0]

    def _create(self, call: Call) -> dict[str, Any]:
        order = self.payments.orders.find(call.path["id"])
        wanted = _checked(call.body)
        known = self.books.find("refund", f"{order['id']}:{wanted['refund_id']}")
        if known:
            if known["amount"] != paise(wanted["refund_amount"]):
                message = "refund with same id is already present"
                raise RefusalError(message, "refund_id_already_exists")
            return refund_entity(known)
        return refund_entity(self.make(order, wanted))

    def make(self, order: Document, wanted: dict[str, Any]) -> Document:
        """Refund a part of an order, and go on as its payer's bank will."""
        refund = self._refund(order, wanted)
        self.books.insert("refund", refund)
        self.move(refund, COURSES[refund["course"]][0])
        if COURSES[refund["course"]][1]:
            due = self.books.store.now() + DECISION_SECONDS
            self.books.set_timer("refund", refund["id"], due)
        return refund

    def _refund(self, order: Document, wanted: dict[str, Any]) -> Document:
        amount = paise(wanted["refund_amount"]) or 0
        payment = self._payment(order, amount)
        note = wanted.get("refund_note")
        return {
            "id": f"{order['id']}:{wanted['refund_id']}",
            "created": self.books.store.now(),
            "cf_refund_id": str(10**7 + randbelow(9 * 10**7)),
            "refund_id": wanted["refund_id"],
            "order": order["id"],
            "payment": payment["id"],
            "amount": amount,
            "note": note,
            "type": "MERCHANT_INITIATED",
            "status": "PENDING",
            "description": None,
            "arn": None,
            "processed": None,
            "settled": False,
            "told": False,
            "course": NOTES.get(str(note), payment["refunds"] or "succeed"),
        }

    def _payment(self, order: Document, amount: int) -> Document:
        """Find the first captured payment of the order that has so much left."""
        captured = [one for one in self.payments.of_order(order["id"]) if one["captured"]]
        if not captured:
            raise RefusalError("order is not paid", "refund_not_allowed", status=409)
        refunds = [one for one in self.of_order(order["id"]) if one["status"] not in GONE]
        for payment in reversed(captured):
            gone = sum(one["amount"] for one in refunds if one["payment"] == payment["id"])
            if amount <= taken(payment) - gone:
                return payment
        message = "Refund amount is more than the amount that is left to refund"
        raise RefusalError(message, "refund_amount_invalid")

    def _list(self, call: Call) -> list[dict[str, Any]]:
        order = self.payments.orders.find(call.path["id"])
        return [refund_entity(one) for one in self.of_order(order["id"])]

    def _get(self, call: Call) -> dict[str, Any]:
        order = self.payments.orders.find(call.path["id"])
        refund = self.books.find("refund", f"{order['id']}:{call.path['refund']}")
        if refund is None:
            raise errors.no_such("refund", "Refund does not exist")
        return refund_entity(refund)


def taken(payment: Document) -> int:
    """Tell how much of a captured payment was taken, in paise."""
    done = payment["authorization"]
    amount: int = done["captured"] if done and done["captured"] else payment["amount"]
    return amount


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    for name in body:
        if name not in KNOWN:
            raise not_simulated(name)
    for name in ("refund_id", "refund_amount"):
        if body.get(name) is None:
            raise missing(name)
    _check(body)
    return body


def _check(body: dict[str, Any]) -> None:
    if not re.fullmatch("[A-Za-z0-9]{3,40}", str(body["refund_id"])):
        raise invalid("refund_id", "should be between 3 and 40 letters and digits")
    if not (paise(body["refund_amount"]) or 0) >= 1:
        raise invalid("refund_amount", "should be more than 0, with at most two decimals")
    if body.get("refund_note") is not None and not 3 <= len(str(body["refund_note"])) <= 100:
        raise invalid("refund_note", "should be between 3 and 100 characters")
    if body.get("refund_speed", "STANDARD") != "STANDARD":
        raise not_simulated("refund_speed")
