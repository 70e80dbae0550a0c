"""Disputes: the payer's bank asks for money back, and somebody decides who is right."""

from sandbox.gateways.razorpay.calls import Call, Operation
from sandbox.gateways.razorpay.errors import RefusalError
from sandbox.gateways.razorpay.events import Events
from sandbox.gateways.razorpay.objects import fetch, listed, new_id, shown
from sandbox.gateways.razorpay.settlements import Settlements
from sandbox.gateways.server.state import Books, Document

KIND = "dispute"
ANSWER_SECONDS = 7 * 24 * 3600
OPEN = frozenset({"open", "under_review"})
PHASES = frozenset({"fraud", "retrieval", "chargeback", "pre_arbitration", "arbitration"})
EVIDENCE = (
    *("summary", "shipping_proof", "billing_proof", "cancellation_proof"),
    *("customer_communication", "proof_of_service", "explanation_letter", "refund_confirmation"),
    *("access_activity_log", "refund_cancellation_policy", "term_and_conditions", "others"),
    "submitted_at",
)


class Disputes:
    def __init__(self, books: Books, events: Events, settlements: Settlements) -> None:
        self.books = books
        self.events = events
        self.settlements = settlements

    def operations(self) -> list[Operation]:
        one = "/disputes/{id}"
        return [
            Operation("GET", "/disputes", "disputes.list", self._list),
            Operation("GET", one, "disputes.retrieve", self._retrieve),
            Operation("POST", f"{one}/accept", "disputes.accept", self._accept),
            Operation("PATCH", f"{one}/contest", "disputes.contest", self._contest),
        ]

    def open(self, payment: Document, reason: str, phase: str, *, deduct: bool) -> Document:
        """Dispute a payment. With `deduct` its money is taken at once, not when it is lost."""
        now = self.books.store.now()
        amount = payment["amount"] - payment["amount_refunded"]
        dispute: Document = {
            "id": new_id("disp_"),
            "entity": KIND,
            "payment_id": payment["id"],
            "amount": amount,
            "currency": payment["currency"],
            "amount_deducted": 0,
            "reason_code": reason,
            "respond_by": now + ANSWER_SECONDS,
            "status": "open",
            "phase": phase,
            "evidence": {"amount": amount, **dict.fromkeys(EVIDENCE)},
            "created_at": now,
            "created": now,
        }
        self.books.insert(KIND, dispute)
        if deduct:
            self._deduct(dispute, payment)
        self._tell("created", dispute)
        return dispute

    def decide(self, dispute: Document, outcome: str) -> None:
        """Go on with a dispute: under_review, won, lost or closed."""
        payment = self.books.get("payment", dispute["payment_id"])
        dispute["status"] = outcome
        if outcome == "lost" and not dispute["amount_deducted"]:
            self._deduct(dispute, payment)
        if outcome == "won" and dispute["amount_deducted"]:
            self.settlements.enter_dispute(dispute, payment, dispute["amount_deducted"])
            dispute["amount_deducted"] = 0
        self.books.update(KIND, dispute)
        self._tell(outcome, dispute)

    def _deduct(self, dispute: Document, payment: Document) -> None:
        dispute["amount_deducted"] = dispute["amount"]
        self.books.update(KIND, dispute)
        self.settlements.enter_dispute(dispute, payment, -dispute["amount"])

    def _tell(self, name: str, dispute: Document) -> None:
        payment = self.books.get("payment", dispute["payment_id"])
        self.events.emit(f"payment.dispute.{name}", payment=payment, dispute=dispute)

    def _list(self, call: Call) -> Document:
        return listed(self.books, KIND, call.params)

    def _retrieve(self, call: Call) -> Document:
        return shown(fetch(self.books, KIND, call.path["id"]))

    def _accept(self, call: Call) -> Document:
        dispute = self._open_one(call)
        self.decide(dispute, "lost")
        return shown(dispute)

    def _contest(self, call: Call) -> Document:
        """Take evidence; it goes to the bank with `action` set to submit."""
        dispute = self._open_one(call)
        evidence = {name: call.params[name] for name in EVIDENCE if name in call.params}
        dispute["evidence"] |= evidence
        self.books.update(KIND, dispute)
        if call.params.get("action") == "submit":
            dispute["evidence"]["submitted_at"] = self.books.store.now()
            self.decide(dispute, "under_review")
        return shown(dispute)

    def _open_one(self, call: Call) -> Document:
        dispute = fetch(self.books, KIND, call.path["id"])
        if dispute["status"] != "open":
            raise RefusalError("Action not allowed when dispute is not in open status")
        return dispute
