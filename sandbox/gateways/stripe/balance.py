"""The gateway's own books: one entry for every movement of money, and the balance they make."""

from collections import defaultdict

from stripe.params._balance_transaction_list_params import BalanceTransactionListParams

from sandbox.gateways.server.state import Books, Document, Slice
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.objects import fetch, new_id, show, show_list

KIND = "balance_transaction"
BASE = "/v1/balance_transactions"
EVERY_ONE = 10**9
TWO_DAYS = 2 * 24 * 3600
# How reports call a type, where they do not call it the same.
CATEGORIES = {
    "payment": "charge",
    "payment_refund": "refund",
    "payment_failure_refund": "refund_failure",
}


class Balance:
    def __init__(self, books: Books) -> None:
        self.books = books

    def enter(
        self, kind: str, amount: int, source: Document, *, fee: int = 0, category: str | None = None
    ) -> Document:
        """Enter a movement of some object's: negative when it takes money away."""
        now = self.books.store.now()
        entry: Document = {
            "id": new_id("txn_3", 23).replace("3_", "3", 1),
            "object": KIND,
            "amount": amount,
            "available_on": now + TWO_DAYS if amount > 0 else now,
            "balance_type": "payments",
            "created": now,
            "currency": source["currency"],
            "description": source.get("description"),
            "exchange_rate": None,
            "fee": fee,
            "fee_details": _fee_details(fee, source["currency"], category),
            "net": amount - fee,
            "reporting_category": category or CATEGORIES.get(kind, kind),
            "source": source["id"],
            "status": "pending",
            "type": kind,
        }
        self.books.insert(KIND, entry)
        return entry

    def operations(self) -> list[Operation]:
        name = "balance_transactions"
        return [
            Operation("GET", "/v1/balance", "balance.retrieve", self._balance),
            Operation("GET", f"{BASE}/{{id}}", f"{name}.retrieve", self._entry),
            Operation("GET", BASE, f"{name}.list", self._entries, BalanceTransactionListParams),
        ]

    def _balance(self, call: Call) -> Document:
        del call
        sums: dict[str, defaultdict[str, int]] = {
            "available": defaultdict(int),
            "pending": defaultdict(int),
        }
        for entry in self.books.page(KIND, Slice(limit=EVERY_ONE))[0]:
            sums[self._aged(entry)["status"]][entry["currency"]] += entry["net"]
        return {
            "object": "balance",
            "livemode": False,
            **{
                status: [{"amount": sums[status][one], "currency": one} for one in sums[status]]
                for status in sums
            },
        }

    def _entry(self, call: Call) -> Document:
        found = fetch(self.books, KIND, call.path["id"], "id")
        return show(self.books, self._aged(found), call.params)

    def _entries(self, call: Call) -> Document:
        filters = {name: call.params.get(name) for name in ("currency", "source", "type")}
        filters["_payout"] = call.params.get("payout")
        answer = show_list(self.books, KIND, BASE, call.params, **filters)
        answer["data"] = [self._aged(entry) for entry in answer["data"]]
        return answer

    def _aged(self, entry: Document) -> Document:
        """Make an entry available once its day has come."""
        available = entry["available_on"] <= self.books.store.now()
        return entry | {"status": "available" if available else "pending"}


def _fee_details(fee: int, currency: str, category: str | None) -> list[Document]:
    if not fee:
        return []
    text = "Dispute fee" if category == "dispute" else "Stripe processing fees"
    return [
        {
            "amount": fee,
            "application": None,
            "currency": currency,
            "description": text,
            "type": "stripe_fee",
        }
    ]
