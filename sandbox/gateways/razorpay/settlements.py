"""The gateway's own books: what it owes the merchant, and the transfers that settle it.

An entry is an item of the report from its beginning; a settlement gives it its day. What was
refunded is taken off, what a dispute lost too, and a fee with 18 % GST on it off each payment.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from sandbox.gateways.razorpay.calls import Call, Operation
from sandbox.gateways.razorpay.errors import RefusalError
from sandbox.gateways.razorpay.events import Events
from sandbox.gateways.razorpay.objects import (
    collection,
    every,
    fetch,
    listed,
    new_id,
    shown,
    whole,
    window,
)
from sandbox.gateways.server.state import Books, Document

KIND, ENTRY = "settlement", "entry"
INDIA = timezone(timedelta(hours=5, minutes=30))
FEE_BASIS_POINTS, GST_PERCENT = 200, 18
SETTLED_AFTER = 2 * 24 * 3600  # seconds; Razorpay counts working days
REPORT_MOST = 1000


def fee_of(amount: int) -> tuple[int, int]:
    """Give the fee with the tax in it, and the tax, rounded half up."""
    fee = (amount * FEE_BASIS_POINTS + 5_000) // 10_000
    tax = (fee * GST_PERCENT + 50) // 100
    return fee + tax, tax


class Settlements:
    def __init__(self, books: Books, events: Events) -> None:
        self.books = books
        self.events = events

    def operations(self) -> list[Operation]:
        base = "/settlements"
        return [
            Operation("GET", f"{base}/recon/combined", "settlements.recon", self._report),
            Operation("GET", base, "settlements.list", self._list),
            Operation("GET", f"{base}/{{id}}", "settlements.retrieve", self._retrieve),
        ]

    def enter_payment(self, payment: Document, order: Document) -> None:
        taken = {"fee": payment["fee"], "tax": payment["tax"]}
        credit = payment["amount"] - payment["fee"]
        names = {"entity_id": payment["id"], "order_receipt": order["receipt"]}
        self._enter("payment", payment, credit, {"amount": payment["amount"], **taken, **names})

    def enter_refund(self, refund: Document, payment: Document) -> None:
        names = {"entity_id": refund["id"], "payment_id": payment["id"]}
        self._enter("refund", payment, -refund["amount"], {"amount": refund["amount"], **names})

    def enter_reversal(self, refund: Document, payment: Document) -> None:
        """Give back what was taken for a refund that failed."""
        names = {"payment_id": payment["id"], "description": f"Reversal of {refund['id']}"}
        self._enter("adjustment", payment, refund["amount"], names)

    def enter_dispute(self, dispute: Document, payment: Document, amount: int) -> None:
        names = {"payment_id": payment["id"], "dispute_id": dispute["id"]}
        self._enter("adjustment", payment, amount, {**names, "description": "Dispute"})

    def adjust(self, amount: int, description: str) -> None:
        self._enter("adjustment", {}, amount, {"description": description})

    def _enter(self, kind: str, payment: Document, net: int, more: Document) -> None:
        now = self.books.store.now()
        entry: Document = {
            "id": new_id("entry_"),
            "created": now,
            "entity_id": new_id("adj_"),
            "type": kind,
            "debit": max(-net, 0),
            "credit": max(net, 0),
            "amount": abs(net),
            "currency": "INR",
            "fee": 0,
            "tax": 0,
            "on_hold": False,
            "settled": False,
            "created_at": now,
            "settled_at": None,
            "settlement_id": None,
            "posted_at": None,
            "credit_type": "default",
            "description": payment.get("description"),
            "notes": None,
            "payment_id": None,
            "settlement_utr": None,
            "order_id": payment.get("order_id"),
            "order_receipt": None,
            "method": payment.get("method"),
            "card_network": None,
            "card_issuer": None,
            "card_type": None,
            "dispute_id": None,
            **more,
        }
        self.books.insert(ENTRY, entry)
        self.books.set_timer(KIND, entry["id"], self.books.store.exact_now() + SETTLED_AFTER)

    def due(self, identifier: str) -> None:
        """Settle what is old enough, once for all entries of which the time has come."""
        if not self.books.get(ENTRY, identifier)["settled"]:
            self.settle(before=self.books.store.now() - SETTLED_AFTER)

    def settle(self, *, before: int | None = None, at: int | None = None) -> Document | None:
        """Transfer what is owed. Nothing is while refunds outweigh payments, unless asked for."""
        entries = [
            one
            for one in every(self.books, ENTRY, settled=False)
            if before is None or one["created"] <= before
        ]
        amount = sum(one["credit"] - one["debit"] for one in entries)
        if not entries or (before is not None and amount <= 0):
            return None
        settlement = self._settlement(amount, entries, at)
        for one in entries:
            one |= {
                "settled": True,
                "settled_at": settlement["created_at"],
                "settlement_id": settlement["id"],
                "settlement_utr": settlement["utr"],
            }
            self.books.update(ENTRY, one)
        self.events.emit("settlement.processed", settlement=settlement)
        return settlement

    def _settlement(self, amount: int, entries: list[Document], at: int | None) -> Document:
        now = self.books.store.now()
        settlement: Document = {
            "id": new_id("setl_"),
            "entity": KIND,
            "amount": amount,
            "status": "processed",
            "fees": sum(one["fee"] for one in entries),
            "tax": sum(one["tax"] for one in entries),
            "utr": f"{now}{new_id()[:6].lower()}",
            "created_at": now if at is None else at,
            "created": now,
        }
        self.books.insert(KIND, settlement)
        return settlement

    def _report(self, call: Call) -> Document:
        """List what was settled on a day of India's, or in a month, oldest first."""
        params = call.params
        year, month, day = (whole(params, name, 0) for name in ("year", "month", "day"))
        if not 1 <= month <= 12:
            raise RefusalError("The month is not a valid month.", field="month")
        count, skip = window(params, REPORT_MOST)
        found = [
            one
            for one in every(self.books, ENTRY, settled=True)
            if _is_of(one["settled_at"], year, month, day)
        ]
        found.sort(key=lambda one: one["settled_at"])
        return _without_ids(collection(found[skip : skip + count]))

    def _list(self, call: Call) -> Document:
        return listed(self.books, KIND, call.params)

    def _retrieve(self, call: Call) -> Document:
        return shown(fetch(self.books, KIND, call.path["id"]))


def _is_of(stamp: int, year: int, month: int, day: int) -> bool:
    at = datetime.fromtimestamp(stamp, UTC).astimezone(INDIA)
    return (at.year, at.month) == (year, month) and day in {0, at.day}


def _without_ids(report: Document) -> Document:
    """Leave out the names that our own books gave to the lines."""

    def bare(item: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in item.items() if name != "id"}

    return report | {"items": [bare(item) for item in report["items"]]}
