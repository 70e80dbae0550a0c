"""Chargebacks: raised by a payer's bank, then won or lost."""

from datetime import UTC, datetime

from sandbox.gateways.payu.messages import Messages
from sandbox.gateways.payu.transactions import KIND as TRANSACTION
from sandbox.gateways.payu.units import INDIA, day, number
from sandbox.gateways.server.state import Books, Document

KIND = "dispute"
MERCHANT_ID = "2"
ANSWER_SECONDS = 14 * 86400
OPENED = "ME Comm Sent"
# https://docs.payu.in/docs/webhooks-for-chargeback
DECISIONS = {
    "under_review": "Bank Comm Sent",
    "won": "Closed in Merchant favour",
    "lost": "Closed in Customer favour",
}


class Disputes:
    def __init__(self, books: Books, messages: Messages) -> None:
        self.books = books
        self.messages = messages

    def open(self, transaction: Document, reason: str) -> Document:
        now = self.books.store.now()
        dispute: Document = {
            "id": number(7),
            "created": now,
            "updated": now,
            "txnid": transaction["id"],
            "mihpayid": transaction["mihpayid"],
            "amount": transaction["amount"],
            "reason": reason,
            "status": OPENED,
            "_settled": False,
        }
        transaction["_disputed"] = True
        self.books.update(TRANSACTION, transaction)
        self.books.insert(KIND, dispute)
        self._tell(dispute)
        return dispute

    def decide(self, dispute: Document, outcome: str) -> None:
        dispute |= {"status": DECISIONS[outcome], "updated": self.books.store.now()}
        self.books.update(KIND, dispute)
        if outcome == "won":
            transaction = self.books.get(TRANSACTION, dispute["txnid"]) | {"_disputed": False}
            self.books.update(TRANSACTION, transaction)
        self._tell(dispute)

    def _tell(self, dispute: Document) -> None:
        fields = {
            "type": "payments",
            "event": "dispute",
            "reason_code": dispute["reason"],
            "created_at": _moment(dispute["created"]),
            "updated_at": _moment(dispute["updated"]),
            "mid": MERCHANT_ID,
            "cb_id": int(dispute["id"]),
            "txn_id": dispute["txnid"],
            "cb_type": "CHARGEBACK",
            "due_date": day(dispute["created"] + ANSWER_SECONDS),
            "cb_status": dispute["status"],
        }
        self.messages.of_dispute(fields, dispute["amount"])


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone(INDIA).isoformat(timespec="milliseconds")
