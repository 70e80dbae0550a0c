"""Disputes: the payer's bank takes the money back, and somebody decides who is right."""

from datetime import UTC, datetime, timedelta

from stripe.params._dispute_list_params import DisputeListParams
from stripe.params._dispute_update_params import DisputeUpdateParams

from sandbox.gateways.server.state import Books, Document
from sandbox.gateways.stripe import money
from sandbox.gateways.stripe.balance import Balance
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.endpoints import merged
from sandbox.gateways.stripe.errors import RefusalError, not_simulated
from sandbox.gateways.stripe.events import Events
from sandbox.gateways.stripe.objects import fetch, new_id, show, show_list

KIND = "dispute"
BASE = "/v1/disputes"
FEE = 15  # in major units; Stripe keeps it whoever wins
ANSWER_DAYS = 7
OPEN = ("needs_response", "under_review")
EVIDENCE = (
    *("access_activity_log", "billing_address", "cancellation_policy"),
    *("cancellation_policy_disclosure", "cancellation_rebuttal", "customer_communication"),
    *("customer_email_address", "customer_name", "customer_purchase_ip", "customer_signature"),
    *("duplicate_charge_documentation", "duplicate_charge_explanation", "duplicate_charge_id"),
    *("product_description", "receipt", "refund_policy", "refund_policy_disclosure"),
    *("refund_refusal_explanation", "service_date", "service_documentation"),
    *("shipping_address", "shipping_carrier", "shipping_date", "shipping_documentation"),
    *("shipping_tracking_number", "uncategorized_file", "uncategorized_text"),
)


class Disputes:
    def __init__(self, books: Books, events: Events, balance: Balance) -> None:
        self.books = books
        self.events = events
        self.balance = balance

    def open(self, charge: Document, reason: str = "fraudulent") -> Document:
        """Take the money of a charge back, and the fee."""
        dispute = self._new(charge, reason)
        self.books.insert(KIND, dispute)
        charge["disputed"] = True
        self.books.update("charge", charge)
        self.events.emit("charge.dispute.created", dispute)
        fee = FEE * 10 ** money.decimals(charge["currency"])
        self._move(dispute, -dispute["amount"], fee, "dispute")
        self.events.emit("charge.dispute.funds_withdrawn", dispute)
        self.events.emit("charge.updated", charge, {"disputed": False})
        return dispute

    def open_due(self, charge: str) -> None:
        """Open the dispute that a certain test card brings; nothing for one disputed already."""
        found = self.books.get("charge", charge)
        if not found["disputed"] and not found["refunded"]:
            self.open(found)

    def review(self, dispute: Document) -> None:
        """Send the evidence to the bank, which takes its time."""
        before = {"status": dispute["status"]}
        details = dispute["evidence_details"]
        details |= {"has_evidence": True, "submission_count": details["submission_count"] + 1}
        dispute["status"] = "under_review"
        self.books.update(KIND, dispute)
        self.events.emit("charge.dispute.updated", dispute, before)

    def decide(self, dispute: Document, outcome: str) -> None:
        """End a dispute: what was won comes back, without the fee."""
        before = {"status": dispute["status"]}
        dispute["status"] = outcome
        self.books.update(KIND, dispute)
        if outcome == "won":
            self._move(dispute, dispute["amount"], 0, "dispute_reversal")
            self.events.emit("charge.dispute.funds_reinstated", dispute)
        self.events.emit("charge.dispute.closed", dispute, before)

    def _move(self, dispute: Document, amount: int, fee: int, category: str) -> None:
        entry = self.balance.enter("adjustment", amount, dispute, fee=fee, category=category)
        dispute["balance_transactions"].append(entry)
        self.books.update(KIND, dispute)

    def _new(self, charge: Document, reason: str) -> Document:
        now = self.books.store.now()
        due = datetime.fromtimestamp(now, UTC) + timedelta(days=ANSWER_DAYS)
        kind = charge["payment_method_details"]["type"]
        brand = charge["payment_method_details"][kind].get("brand")
        return {
            "id": new_id("dp_1", 23).replace("1_", "1", 1),
            "object": KIND,
            "amount": charge["amount_captured"] - charge["amount_refunded"],
            "balance_transactions": [],
            "charge": charge["id"],
            "created": now,
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {**dict.fromkeys(EVIDENCE), "enhanced_evidence": {}},
            "evidence_details": {
                "due_by": int(due.timestamp()),
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "payment_method_details": {
                "type": kind,
                "card": {
                    "brand": brand,
                    "case_type": "chargeback",
                    "network": brand,
                    "network_reason_code": "10.4",
                },
            },
            "reason": reason,
            "status": "needs_response",
        }

    def operations(self) -> list[Operation]:
        one = BASE + "/{id}"
        return [
            Operation("GET", BASE, "disputes.list", self._list, DisputeListParams),
            Operation("GET", one, "disputes.retrieve", self._retrieve),
            Operation("POST", one, "disputes.update", self._update, DisputeUpdateParams),
            Operation("POST", f"{one}/close", "disputes.close", self._close),
        ]

    def _retrieve(self, call: Call) -> Document:
        return show(self.books, fetch(self.books, KIND, call.path["id"], "id"), call.params)

    def _list(self, call: Call) -> Document:
        filters = {name: call.params.get(name) for name in ("charge", "payment_intent")}
        return show_list(self.books, KIND, BASE, call.params, **filters)

    def _update(self, call: Call) -> Document:
        """Take evidence; it goes to the bank at once unless `submit` is false."""
        dispute = self._open_one(call)
        if "intended_submission_method" in call.params:
            raise not_simulated("submission methods", "intended_submission_method")
        dispute["metadata"] = merged(dispute["metadata"], call.params.get("metadata", {}))
        evidence = call.params.get("evidence")
        if evidence:
            dispute["evidence"] |= evidence
            if call.params.get("submit", True):
                self.review(dispute)
        self.books.update(KIND, dispute)
        return show(self.books, dispute, call.params)

    def _close(self, call: Call) -> Document:
        """Give a dispute up: it is lost."""
        dispute = self._open_one(call)
        self.decide(dispute, "lost")
        return show(self.books, dispute, call.params)

    def _open_one(self, call: Call) -> Document:
        dispute = fetch(self.books, KIND, call.path["id"], "id")
        if dispute["status"] not in OPEN:
            raise RefusalError("This dispute is already closed", param="dispute")
        return dispute
