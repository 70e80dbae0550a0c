"""Settlements: what was captured, less fees with GST, less what went back, sent to the bank."""

from itertools import count

from sandbox.gateways.payu.disputes import DECISIONS
from sandbox.gateways.payu.units import day, local, number, rupees
from sandbox.gateways.server.state import Books, Document, Slice

KIND = "settlement"
EVERY_ONE = 10**6
FEE_PERCENT, GST_PERCENT = 2, 18
FREE = {"UPI"}  # by law


class Settlements:
    def __init__(self, books: Books) -> None:
        self.books = books

    def settle(self) -> Document | None:
        """Settle all that is due; None when nothing is. Needs a transaction of the store."""
        now = self.books.store.now()
        lines = [
            *(self._captured(one) for one in self._due("transaction", "success")),
            *(self._back("refund", one) for one in self._due("refund", "success")),
            *(self._back("chargeback", one) for one in self._due("dispute", DECISIONS["lost"])),
        ]
        if not lines:
            return None
        settlement: Document = {
            "id": f"85999{local(now)[:10].replace('-', '')}{number(6)}",
            "created": now,
            "utr": f"AXISCN{number(10)}",
            "amount": sum(line["_net"] for line in lines),
            "transactions": lines,
        }
        self.books.insert(KIND, settlement)
        return settlement

    def _due(self, kind: str, status: str) -> list[Document]:
        """Take what is not settled yet, oldest first, and note that it is now."""
        part = Slice(limit=EVERY_ONE, equals={"status": status, "_settled": False})
        found = self.books.page(kind, part)[0][::-1]
        for one in found:
            self.books.update(kind, one | {"_settled": True})
        return found

    def _captured(self, transaction: Document) -> Document:
        amount, percent = transaction["amount"], FEE_PERCENT
        fee = 0 if transaction["mode"] in FREE else (amount * percent + 50) // 100
        tax = (fee * GST_PERCENT + 50) // 100
        return self._line("capture", transaction, amount, fee, tax) | {"requestId": number(10)}

    def _back(self, action: str, one: Document) -> Document:
        transaction = self.books.get("transaction", one["txnid"])
        line = self._line(action, transaction, -one["amount"], 0, 0)
        request = one["request_id"] if action == "refund" else one["id"]
        token = one["id"] if action == "refund" else None
        return line | {"requestId": request, "token": token}

    def _line(self, action: str, transaction: Document, gross: int, fee: int, tax: int) -> Document:
        return {
            "action": action,
            "payuId": transaction["mihpayid"],
            "transactionAmount": rupees(abs(gross)),
            "requestedAmount": rupees(abs(gross)),
            "merchantServiceFee": f"{rupees(fee)}000",
            "merchantServiceTax": f"{rupees(tax)}000",
            "totalProcessingFee": f"{rupees(fee)}000",
            "totalServiceTax": f"{rupees(tax)}000",
            "merchantNetAmount": rupees(gross - fee - tax),
            "igst": f"{rupees(tax)}000",
            "cgst": "0.00000",
            "sgst": "0.00000",
            "merchantTransactionId": transaction["id"],
            "mode": transaction["mode"],
            "paymentStatus": "captured",
            "transactionDate": local(transaction["created"]),
            "transactionCurrency": "INR",
            "settlementCurrency": "INR",
            "_net": gross - fee - tax,
        }

    def report(self, first: str, last: str, page: int, size: int) -> Document:
        """Answer one page of so many lines of the settlements of some days."""
        found = [
            one
            for one in self.books.page(KIND, Slice(limit=EVERY_ONE))[0][::-1]
            if first <= day(one["created"]) <= last
        ]
        places = count()
        shown = []
        for one in found:
            part = [
                {name: line[name] for name in line if not name.startswith("_")}
                for line in one["transactions"]
                if (page - 1) * size <= next(places) < page * size
            ]
            if part:
                shown.append(_settlement(one, part))
        return {
            "rows": len(shown),
            "message": f"{len(shown)} Settlements found for the {first}T00:00 and {last}T23:59:59",
            "status": 1,
            "result": shown,
        }


def _settlement(one: Document, lines: list[Document]) -> Document:
    return {
        "settlementId": one["id"],
        "settlementCompletedDate": local(one["created"]),
        "settlementAmount": rupees(one["amount"]),
        "merchantId": 2,
        "utrNumber": one["utr"],
        "transaction": lines,
    }
