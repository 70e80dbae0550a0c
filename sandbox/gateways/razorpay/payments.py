"""Payments: attempts at an order, of which one is to succeed, some late, and some by mistake."""

from typing import Any

from sandbox.gateways.razorpay.calls import Call, Operation
from sandbox.gateways.razorpay.errors import RefusalError
from sandbox.gateways.razorpay.events import Events
from sandbox.gateways.razorpay.methods import FAILURES, Means
from sandbox.gateways.razorpay.objects import (
    check_names,
    every,
    fetch,
    listed,
    new_id,
    read_amount,
    shown,
)
from sandbox.gateways.razorpay.refunds import Refunds
from sandbox.gateways.razorpay.settlements import Settlements, fee_of
from sandbox.gateways.server.state import Books, Document

KIND = "payment"
MINUTE, HOUR = 60, 3600
GIVEN_UP_AFTER = 10 * MINUTE  # a payer who left their bank's page
DECIDED_AFTER = 5 * MINUTE  # a payment that was pending
LATE_BY = HOUR  # a bank that said no, and yes after all
EMPTY = (
    *("invoice_id", "refund_status", "description", "card_id", "bank", "wallet", "vpa", "fee"),
    *("tax", "error_code", "error_description", "error_source", "error_step", "error_reason"),
)


class Payments:
    def __init__(
        self, books: Books, events: Events, settlements: Settlements, refunds: Refunds
    ) -> None:
        self.books = books
        self.events = events
        self.settlements = settlements
        self.refunds = refunds

    def operations(self) -> list[Operation]:
        one = "/payments/{id}"
        capture = f"{one}/capture"
        return [
            Operation("GET", "/payments", "payments.list", self._list),
            Operation("GET", one, "payments.retrieve", self._retrieve),
            Operation("POST", capture, "payments.capture", self._capture, moves_money=True),
        ]

    # What payers and banks do. Each needs a transaction.

    def begin(
        self, order: Document, means: Means, payer: Document, *, again: bool = False
    ) -> Document:
        """Make a payment, and wait for the payer's bank. Raises RefusalError, but for `again`."""
        if not again:
            self._check_open(order)
        order["attempts"] += 1
        order["status"] = "attempted" if order["status"] == "created" else order["status"]
        self.books.update("order", order)
        payment = self._new(order, means, payer)
        self.books.insert(KIND, payment)
        self._wait(payment, GIVEN_UP_AFTER)
        return payment

    def _check_open(self, order: Document) -> None:
        if order["status"] == "paid":
            raise RefusalError(
                "Your payment has been declined as the order is already paid. Please initiate the"
                " payment with a new order.",
                reason="order_already_paid",
            )
        payments = every(self.books, KIND, order_id=order["id"])
        if any(one["status"] == "authorized" for one in payments):
            raise RefusalError("A payment of this order is authorized and waits to be captured.")

    def decide(self, payment: Document, outcome: str) -> None:
        """Let the bank say: success, failure or pending. What is decided stays so."""
        if payment["status"] != "created":
            return
        if outcome == "success":
            self.authorize(payment)
        elif outcome == "failure":
            self.fail(payment)
        else:
            payment["_plan"]["then"] = payment["_plan"]["then"] or "success"
            self.books.update(KIND, payment)
            self._wait(payment, DECIDED_AFTER)

    def fail(self, payment: Document, reason: str | None = None) -> None:
        chosen = reason or payment["_plan"]["reason"]
        description, source, code = FAILURES[chosen]
        is_card = payment["method"] == "card"
        payment |= {
            "status": "failed",
            "error_code": code,
            "error_description": description,
            "error_source": source,
            "error_step": "payment_authentication" if is_card else "payment_authorization",
            "error_reason": chosen,
        }
        self.books.update(KIND, payment)
        self.books.drop_timer(KIND, payment["id"])
        self.events.emit("payment.failed", payment=payment)
        if payment["_plan"]["then"] == "success":
            self._wait(payment, LATE_BY)

    def authorize(self, payment: Document, *, again: bool = False) -> None:
        """Take the payer's money. With `again` it counts even on an order that is paid."""
        errors = ("code", "description", "source", "step", "reason")
        payment |= {"status": "authorized", **{f"error_{one}": None for one in errors}}
        payment["acquirer_data"] = {"rrn": new_id()[:12]}
        self.books.update(KIND, payment)
        self.books.drop_timer(KIND, payment["id"])
        self.events.emit("payment.authorized", payment=payment)
        order = self.books.get("order", payment["order_id"])
        age = self.books.store.now() - payment["created_at"]
        if order["status"] == "paid" and not again:
            self.refunds.give_back(payment)
        elif (
            order["_capture"]["capture"] == "automatic"
            and age <= order["_capture"]["automatic_minutes"] * MINUTE
        ):
            self.capture(payment, order)
        else:
            self._wait(payment, order["_capture"]["manual_minutes"] * MINUTE - age)

    def capture(self, payment: Document, order: Document) -> None:
        fee, tax = fee_of(payment["amount"])
        payment |= {"status": "captured", "captured": True, "fee": fee, "tax": tax}
        self.books.update(KIND, payment)
        self.books.drop_timer(KIND, payment["id"])
        self.settlements.enter_payment(payment, order)
        self.events.emit("payment.captured", payment=payment)
        if order["status"] != "paid":
            order |= {"status": "paid", "amount_paid": order["amount"], "amount_due": 0}
            self.books.update("order", order)
            self.events.emit("order.paid", payment=payment, order=order)

    def due(self, identifier: str) -> None:
        """Go on with a payment whose time has come."""
        payment = self.books.get(KIND, identifier)
        then = payment["_plan"]["then"]
        if payment["status"] == "authorized":
            self.refunds.give_back(payment)
        elif then == "success":
            payment["_plan"]["then"] = None
            self.authorize(payment)
        elif payment["status"] == "created":
            self.fail(payment, None if then else "payment_timed_out")

    def _wait(self, payment: Document, seconds: float) -> None:
        self.books.set_timer(KIND, payment["id"], self.books.store.exact_now() + seconds)

    def _new(self, order: Document, means: Means, payer: Document) -> Document:
        now = self.books.store.now()
        return {
            **dict.fromkeys(EMPTY),
            "id": new_id("pay_"),
            "entity": KIND,
            "amount": order["amount"],
            "base_amount": order["amount"],
            "currency": order["currency"],
            "status": "created",
            "order_id": order["id"],
            "international": False,
            "method": means.method,
            "amount_refunded": 0,
            "amount_transferred": 0,
            "captured": False,
            "description": payer.get("description"),
            "email": payer.get("email"),
            "contact": payer.get("contact"),
            "notes": payer.get("notes") or [],
            "acquirer_data": {"rrn": None},
            "created_at": now,
            "created": now,
            **means.fields,
            "_plan": means.plan.as_json(),
            "_refunds": "processed",
        }

    # What the merchant's server asks for.

    def _retrieve(self, call: Call) -> Document:
        return shown(fetch(self.books, KIND, call.path["id"]))

    def _list(self, call: Call) -> Document:
        return listed(self.books, KIND, call.params)

    def _capture(self, call: Call) -> Document:
        check_names(call.params, frozenset({"amount", "currency"}))
        payment = fetch(self.books, KIND, call.path["id"])
        amount = read_amount(call.params)
        _check_capture(payment, amount, call.params.get("currency"))
        self.capture(payment, self.books.get("order", payment["order_id"]))
        return shown(payment)


def _check_capture(payment: Document, amount: int, currency: Any) -> None:
    if payment["captured"]:
        raise RefusalError("This payment has already been captured")
    if payment["status"] != "authorized":
        raise RefusalError(
            "Only payments which have been authorized and not yet captured can be captured"
        )
    if currency != payment["currency"]:
        raise RefusalError("The currency is not that of the payment", field="currency")
    if amount != payment["amount"]:
        raise RefusalError("Capture amount must be equal to the amount authorized", field="amount")
