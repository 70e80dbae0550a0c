"""Refunds: taken once under each token, and decided at once or later."""

from typing import Any

from sandbox.gateways.payu.messages import Messages
from sandbox.gateways.payu.transactions import Transactions
from sandbox.gateways.payu.units import local, number, paise, rupees
from sandbox.gateways.server.state import Books, Document, Slice

KIND = "refund"
TOKEN_LENGTH_MAX = 23
DASHBOARD_TOKEN_LENGTH = 16
EQUAL_SECONDS_MIN = 300  # between two refunds of the same amount
DECIDED_SECONDS = 300
ARN_SECONDS = 86400
EVERY_ONE = 10**6
WAYS = ("succeed", "arn_later", "wait_then_succeed", "wait_then_fail")

# https://docs.payu.in/reference/error-codes-for-refund-initiation
SAID = {
    100: "Refund Successful",
    102: "Refund Request Queued",
    105: "Invalid amount",
    106: "Token already used or request pending",
    111: "Invalid transaction status",
    116: "Transaction Not Found",
    124: "Input Data missing",
    214: "Two refunds of the same amount for the same transaction are not allowed in 5 minutes",
    227: "Transactions with same amount and same token not allowed",
    255: "Token length exceeded for refund",
    266: "Chargeback is pending against this transaction",
}


class Refunds:
    def __init__(self, transactions: Transactions, messages: Messages) -> None:
        self.books: Books = transactions.books
        self.transactions = transactions
        self.messages = messages

    def ask(self, form: dict[str, str]) -> Document:
        """Answer `cancel_refund_transaction`."""
        token, mihpayid = form.get("var2", ""), form.get("var1", "")
        amount = paise(form.get("var3", "")) or 0
        transaction = self.transactions.by_id(mihpayid)
        code = self._refusal(transaction, token, amount)
        if code is not None or transaction is None:
            return {"status": 0, "msg": SAID[code or 116], "error_code": code, "mihpayid": mihpayid}
        refund = self._open(transaction, token, amount)
        code = 100 if refund["status"] == "success" else 102
        return {
            "status": 1,
            "msg": SAID[code],
            "request_id": refund["request_id"],
            "bank_ref_num": refund["bank_ref_num"],
            "mihpayid": mihpayid,
            "error_code": code,
        }

    def make(self, transaction: Document, amount: int) -> Document | None:
        """Refund as in the dashboard, which makes up the token. None: it cannot go back."""
        token = number(DASHBOARD_TOKEN_LENGTH)
        is_refused = self._refusal(transaction, token, amount) is not None
        return None if is_refused else self._open(transaction, token, amount)

    def _refusal(self, transaction: Document | None, token: str, amount: int) -> int | None:
        if not token or len(token) > TOKEN_LENGTH_MAX:
            return 255 if token else 124
        known = self.books.find(KIND, token)
        if known is not None:
            return 227 if known["amount"] == amount else 106
        if transaction is None:
            return 116
        if transaction["status"] != "success":
            return 111
        if transaction.get("_disputed"):
            return 266
        return self._too_much(transaction, amount)

    def _too_much(self, transaction: Document, amount: int) -> int | None:
        alive = [one for one in self.of(transaction["id"]) if one["status"] != "failure"]
        left = transaction["amount"] - sum(one["amount"] for one in alive)
        if not 0 < amount <= left:
            return 105
        since = self.books.store.now() - EQUAL_SECONDS_MIN
        if any(one["amount"] == amount and one["created"] > since for one in alive):
            return 214
        return None

    def _open(self, transaction: Document, token: str, amount: int) -> Document:
        way, now = transaction["_refunds"], self.books.store.now()
        refund: Document = {
            "id": token,
            "created": now,
            "request_id": number(10),
            "mihpayid": transaction["mihpayid"],
            "txnid": transaction["id"],
            "amount": amount,
            "status": "queued",
            "bank_ref_num": number(12),
            "bank_arn": None,
            "success_at": None,
            "_way": way,
            "_settled": False,
        }
        self.books.insert(KIND, refund)
        if way in {"succeed", "arn_later"}:
            self.decide(refund, "success")
        else:
            self.books.set_timer("refund", token, now + DECIDED_SECONDS)
        return refund

    def on_timer(self, token: str) -> None:
        refund = self.books.get(KIND, token)
        if refund["status"] == "success":
            refund["bank_arn"] = number(23)
            self.books.update(KIND, refund)
            self._tell(refund)
        elif refund["status"] == "queued":
            self.decide(refund, "failure" if refund["_way"] == "wait_then_fail" else "success")

    def decide(self, refund: Document, outcome: str) -> None:
        now = self.books.store.now()
        refund["status"] = outcome
        if outcome == "success":
            refund["success_at"] = now
            if refund["_way"] == "arn_later":
                self.books.set_timer("refund", refund["id"], now + ARN_SECONDS)
            else:
                refund["bank_arn"] = number(23)
        self.books.update(KIND, refund)
        self._tell(refund)

    def _tell(self, refund: Document) -> None:
        fields: dict[str, Any] = {
            "action": "refund",
            "status": refund["status"],
            "key": self.books.get("transaction", refund["txnid"])["form"]["key"],
            "mihpayid": refund["mihpayid"],
            "merchantTxnId": refund["txnid"],
            "request_id": refund["request_id"],
            "token": refund["id"],
            "bank_ref_num": refund["bank_ref_num"],
            "bank_arn": refund["bank_arn"],
            "refund_mode": "Back to Source",
            "remark": None,
            "additionalValue1": None,
            "additionalValue2": None,
        }
        self.messages.of_refund(fields, refund["amount"])

    def of(self, txnid: str) -> list[Document]:
        """List a payment's refunds, oldest first."""
        part = Slice(limit=EVERY_ONE, equals={"txnid": txnid})
        return self.books.page(KIND, part)[0][::-1]

    def by_request(self, request_id: str) -> Document | None:
        part = Slice(limit=1, equals={"request_id": request_id})
        found = self.books.page(KIND, part)[0]
        return found[0] if found else None

    def listed(self, txnid: str) -> Document:
        """Answer `getAllRefundsFromTxnIds`."""
        refunds = self.of(txnid)
        if not refunds:
            return {"status": 1, "msg": "No Refunds Found for the transaction."}
        found = [
            {
                "PayuID": one["mihpayid"],
                "RequestID": one["request_id"],
                "RefundToken": one["id"],
                "PaymentGateway": "TESTPG",
                "Amount": rupees(one["amount"]),
                "Status": one["status"],
                "RefundCreationDate": local(one["created"]),
                "bank_ref_no": one["bank_ref_num"],
                "bank_arn": one["bank_arn"],
                "success_at": one["success_at"] and local(one["success_at"]),
            }
            for one in refunds
        ]
        said = "Refunds fetched successfully."
        return {"status": 1, "msg": said, "Refund Details": {refunds[0]["mihpayid"]: found}}

    def action(self, refund: Document, mode: str) -> Document:
        """Write a refund as `check_action_status` does."""
        return {
            "mihpayid": refund["mihpayid"],
            "bank_ref_num": refund["bank_ref_num"],
            "request_id": refund["request_id"],
            "amt": rupees(refund["amount"]),
            "mode": mode,
            "action": "refund",
            "token": refund["id"],
            "status": refund["status"],
            "bank_arn": refund["bank_arn"],
            "settlement_id": None,
            "amount_settled": None,
            "UTR_no": None,
            "value_date": None,
            "refund_mode": "Back to Source",
        }
