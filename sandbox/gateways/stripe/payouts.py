"""Payouts: what the balance holds, sent to the merchant's bank, and of what each was made."""

from dataclasses import replace
from typing import Any

from stripe.params._payout_list_params import PayoutListParams

from sandbox.gateways.server.state import Books, Document, Slice, public
from sandbox.gateways.stripe.balance import EVERY_ONE, Balance
from sandbox.gateways.stripe.balance import KIND as ENTRY
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.errors import not_simulated
from sandbox.gateways.stripe.events import Events
from sandbox.gateways.stripe.objects import fetch, list_of, new_id, read_slice, show, show_list

KIND = "payout"
BASE = "/v1/payouts"
DAY = 24 * 3600
EMPTY = (
    *("application_fee", "application_fee_amount", "failure_balance_transaction"),
    *("failure_code", "failure_message", "original_payout", "payout_method", "reversed_by"),
    "statement_descriptor",
)
COMPARED = {
    "gt": int.__gt__,
    "gte": int.__ge__,
    "lt": int.__lt__,
    "lte": int.__le__,
}


class Payouts:
    def __init__(self, books: Books, events: Events, balance: Balance) -> None:
        self.books = books
        self.events = events
        self.balance = balance

    def pay_out(self, *, debit: bool = False) -> list[Document]:
        """Pay out all that was not paid out yet, of each currency that has something.

        What is below nothing waits, unless it may be debited from the bank: a negative payout.
        Nobody waits for the two days that money takes to become available.
        """
        left = [
            entry
            for entry in self.books.page(ENTRY, Slice(limit=EVERY_ONE))[0]
            if entry["type"] != KIND and not entry.get("_payout")
        ]
        made = []
        for currency in sorted({entry["currency"] for entry in left}):
            entries = [entry for entry in left if entry["currency"] == currency]
            total = sum(entry["net"] for entry in entries)
            if total > 0 or (debit and total < 0):
                made.append(self._send(currency, entries))
        return made

    def _send(self, currency: str, entries: list[Document]) -> Document:
        payout = self._new(currency, sum(entry["net"] for entry in entries))
        entry = self.balance.enter(KIND, -payout["amount"], payout)
        payout["balance_transaction"] = entry["id"]
        self.books.insert(KIND, payout)
        for each in [entry, *entries]:
            self.books.update(ENTRY, each | {"_payout": payout["id"]})
        for event in ("created", "paid", "reconciliation_completed"):
            self.events.emit(f"payout.{event}", payout)
        return payout

    def fail(self, payout: Document) -> None:
        """Have the bank send a payout back: the money is in the balance again."""
        entry = self.balance.enter(
            "payout_failure", payout["amount"], payout, category="payout_reversal"
        )
        payout |= {
            "status": "failed",
            "failure_balance_transaction": entry["id"],
            "failure_code": "account_closed",
            "failure_message": "The bank account has been closed.",
        }
        self.books.update(KIND, payout)
        self.events.emit("payout.failed", payout)

    def _new(self, currency: str, amount: int) -> Document:
        now = self.books.store.now()
        return {
            **dict.fromkeys(EMPTY),
            "id": new_id("po_1", 23).replace("1_", "1", 1),
            "object": KIND,
            "amount": amount,
            "arrival_date": now - now % DAY,
            "automatic": True,
            "created": now,
            "currency": currency,
            "description": "STRIPE PAYOUT",
            "destination": "ba_1sandbox",
            "livemode": False,
            "metadata": {},
            "method": "standard",
            "reconciliation_status": "completed",
            "source_type": "card",
            "status": "paid",
            "trace_id": {"status": "supported", "value": new_id("", 15)[1:].upper()},
            "type": "bank_account",
        }

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", BASE, "payouts.list", self._list, PayoutListParams),
            Operation("GET", f"{BASE}/{{id}}", "payouts.retrieve", self._retrieve),
        ]

    def _retrieve(self, call: Call) -> Document:
        return show(self.books, fetch(self.books, KIND, call.path["id"], "id"), call.params)

    def _list(self, call: Call) -> Document:
        """List payouts; those of certain days all at once, for there are few."""
        params = call.params
        if "destination" in params:
            raise not_simulated("filtering by `destination`", "destination")
        equal = {"status": params.get("status")}
        if "arrival_date" not in params:
            return show_list(self.books, KIND, BASE, params, **equal)
        wanted = replace(read_slice(self.books, KIND, params, **equal), limit=EVERY_ONE)
        found = self.books.page(KIND, wanted)[0]
        data = [one for one in found if _within(one["arrival_date"], params["arrival_date"])]
        return list_of(BASE, [public(one) for one in data])


def _within(day: int, wanted: int | dict[str, Any]) -> bool:
    if isinstance(wanted, int):
        return day == wanted
    return all(COMPARED[word](day, value) for word, value in wanted.items())
