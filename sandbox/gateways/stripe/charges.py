"""Charges and their entries in the gateway's own books."""

from stripe.params._balance_transaction_list_params import BalanceTransactionListParams
from stripe.params._charge_list_params import ChargeListParams
from stripe.params._payment_intent_list_params import PaymentIntentListParams

from sandbox.gateways.server.state import Books, Document
from sandbox.gateways.stripe import money
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.errors import not_simulated
from sandbox.gateways.stripe.events import Events
from sandbox.gateways.stripe.objects import fetch, new_id, show, show_list

TWO_DAYS = 2 * 24 * 3600
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
    def __init__(self, books: Books, events: Events, origin: str) -> None:
        self.books = books
        self.events = events
        self.origin = origin

    def succeed(self, charge: Document) -> None:
        """Capture the whole charge. It is booked a moment later, as Stripe does."""
        charge |= {
            "status": "succeeded",
            "paid": True,
            "captured": True,
            "amount_captured": charge["amount"],
            "outcome": APPROVED,
            "receipt_url": f"{self.origin}/stripe/receipts/{charge['id']}",
        }
        self.books.update("charge", charge)
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
        self.books.update("charge", charge)
        self.events.emit("charge.failed", charge)

    def book(self, charge: Document) -> None:
        """Enter a successful charge into the balance, less the fee."""
        now, amount = self.books.store.now(), charge["amount"]
        fee = money.fee(amount)
        kind = "charge" if charge["id"].startswith("ch_") else "payment"
        entry: Document = {
            "id": new_id("txn_3", 23).replace("3_", "3", 1),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": now + TWO_DAYS,
            "balance_type": "payments",
            "created": now,
            "currency": charge["currency"],
            "description": charge["description"],
            "exchange_rate": None,
            "fee": fee,
            "fee_details": [
                {
                    "amount": fee,
                    "application": None,
                    "currency": charge["currency"],
                    "description": "Stripe processing fees",
                    "type": "stripe_fee",
                }
            ],
            "net": amount - fee,
            "reporting_category": "charge",
            "source": charge["id"],
            "status": "pending",
            "type": kind,
        }
        self.books.insert("balance_transaction", entry)
        charge["balance_transaction"] = entry["id"]
        self.books.update("charge", charge)
        self.events.emit("charge.updated", charge, {"balance_transaction": None})

    def operations(self) -> list[Operation]:
        """Give the operations that read intents, charges, methods and the balance."""
        intents, charges, balance = (
            "/v1/payment_intents",
            "/v1/charges",
            "/v1/balance_transactions",
        )
        return [
            Operation("GET", f"{intents}/{{id}}", "payment_intents.retrieve", self._intent),
            Operation(
                "GET", intents, "payment_intents.list", self._intents, PaymentIntentListParams
            ),
            Operation("GET", f"{charges}/{{id}}", "charges.retrieve", self._charge),
            Operation("GET", charges, "charges.list", self._charges, ChargeListParams),
            Operation("GET", f"{balance}/{{id}}", "balance_transactions.retrieve", self._entry),
            Operation(
                "GET",
                balance,
                "balance_transactions.list",
                self._entries,
                BalanceTransactionListParams,
            ),
            Operation("GET", "/v1/payment_methods/{id}", "payment_methods.retrieve", self._method),
        ]

    def _intent(self, call: Call) -> Document:
        found = fetch(self.books, "payment_intent", call.path["id"], "intent")
        return show(self.books, found, call.params)

    def _charge(self, call: Call) -> Document:
        return show(self.books, fetch(self.books, "charge", call.path["id"], "id"), call.params)

    def _method(self, call: Call) -> Document:
        found = fetch(self.books, "payment_method", call.path["id"], "payment_method")
        return show(self.books, found, call.params)

    def _entry(self, call: Call) -> Document:
        found = fetch(self.books, "balance_transaction", call.path["id"], "id")
        return show(self.books, self._aged(found), call.params)

    def _intents(self, call: Call) -> Document:
        customer = call.params.get("customer")
        return show_list(
            self.books, "payment_intent", "/v1/payment_intents", call.params, customer=customer
        )

    def _charges(self, call: Call) -> Document:
        filters = {name: call.params.get(name) for name in ("customer", "payment_intent")}
        return show_list(self.books, "charge", "/v1/charges", call.params, **filters)

    def _entries(self, call: Call) -> Document:
        if "payout" in call.params:
            raise not_simulated("payouts", "payout")
        filters = {name: call.params.get(name) for name in ("currency", "source", "type")}
        answer = show_list(
            self.books, "balance_transaction", "/v1/balance_transactions", call.params, **filters
        )
        answer["data"] = [self._aged(entry) for entry in answer["data"]]
        return answer

    def _aged(self, entry: Document) -> Document:
        """Make an entry available once its day has come."""
        available = entry["available_on"] <= self.books.store.now()
        return entry | {"status": "available" if available else "pending"}
