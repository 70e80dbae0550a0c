"""Charges: one try at moving money, and what became of it."""

from stripe.params._charge_list_params import ChargeListParams

from sandbox.gateways.server.state import Books, Document
from sandbox.gateways.stripe import money
from sandbox.gateways.stripe.balance import Balance
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.events import Events
from sandbox.gateways.stripe.methods import special
from sandbox.gateways.stripe.objects import fetch, show, show_list

KIND = "charge"
BASE = "/v1/charges"
DISPUTED_AFTER = 1.0  # seconds until the owner of a certain card complains
APPROVED = {
    "advice_code": None,
    "network_advice_code": None,
    "network_decline_code": None,
    "network_status": "approved_by_network",
    "reason": None,
    "risk_level": "normal",
    "seller_message": "Payment complete.",
    "type": "authorized",
}


class Charges:
    def __init__(self, books: Books, events: Events, balance: Balance, origin: str) -> None:
        self.books = books
        self.events = events
        self.balance = balance
        self.origin = origin

    def succeed(self, charge: Document, *, captured: bool = True) -> None:
        """Take the whole charge, or only reserve it. It is booked a moment later."""
        charge |= {
            "status": "succeeded",
            "paid": True,
            "captured": captured,
            "amount_captured": charge["amount"] if captured else 0,
            "outcome": APPROVED,
            "receipt_url": f"{self.origin}/stripe/receipts/{charge['id']}",
        }
        self.books.update(KIND, charge)
        self.events.emit("charge.succeeded", charge)

    def fail(self, charge: Document, error: Document) -> None:
        reason = error.get("decline_code", error["code"])
        charge |= {
            "status": "failed",
            "failure_code": error["code"],
            "failure_message": error["message"],
            "outcome": APPROVED
            | {
                "advice_code": error.get("advice_code"),
                "network_status": "declined_by_network",
                "reason": reason,
                "seller_message": f"The bank returned the decline code `{reason}`.",
                "type": "issuer_declined",
            },
        }
        self.books.update(KIND, charge)
        self.events.emit("charge.failed", charge)

    def capture(self, charge: Document, amount: int) -> None:
        """Take a part, or all, of what is reserved; the rest is the payer's again."""
        charge |= {"captured": True, "amount_captured": amount}
        self.books.update(KIND, charge)
        self.events.emit("charge.captured", charge)
        self.book(charge)

    def release(self, charge: Document, event: str) -> None:
        """Give back what was reserved: nothing was taken, and the charge reads as refunded."""
        charge |= {"amount_refunded": charge["amount"], "refunded": True}
        self.books.update(KIND, charge)
        self.events.emit(event, charge)

    def refunded(self, charge: Document, amount: int) -> None:
        """Count a refund in, or out again when it failed."""
        before = {name: charge[name] for name in ("amount_refunded", "refunded")}
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
        self.books.update(KIND, charge)
        kind = "charge.refunded" if amount > 0 else "charge.updated"
        self.events.emit(kind, charge, before)

    def book(self, charge: Document) -> None:
        """Enter a captured charge into the balance, less the fee."""
        amount = charge["amount_captured"]
        kind = "charge" if charge["id"].startswith("ch_") else "payment"
        entry = self.balance.enter(kind, amount, charge, fee=money.fee(amount))
        charge["balance_transaction"] = entry["id"]
        self.books.update(KIND, charge)
        self.events.emit("charge.updated", charge, {"balance_transaction": None})
        if special(self.books.get("payment_method", charge["payment_method"])).disputed:
            due = self.books.store.exact_now() + DISPUTED_AFTER
            self.books.set_timer("dispute", charge["id"], due)

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", f"{BASE}/{{id}}", "charges.retrieve", self._charge),
            Operation("GET", BASE, "charges.list", self._charges, ChargeListParams),
        ]

    def _charge(self, call: Call) -> Document:
        return show(self.books, fetch(self.books, KIND, call.path["id"], "id"), call.params)

    def _charges(self, call: Call) -> Document:
        filters = {name: call.params.get(name) for name in ("customer", "payment_intent")}
        return show_list(self.books, KIND, BASE, call.params, **filters)
