"""Transactions: a txnid is one try, from the payer's coming to its end.

What is known of one is its document in the books, under its txnid; `_` begins our own notes.
"""

from collections.abc import Mapping

from sandbox.gateways.payu import payers
from sandbox.gateways.payu.messages import Messages
from sandbox.gateways.payu.payers import Ending, Failure, Means
from sandbox.gateways.payu.units import local, number, rupees
from sandbox.gateways.server.state import Books, Document

KIND, BY_ID = "transaction", "mihpayid"
PAGE_SECONDS = 900  # until a payer who does nothing has left
PENDING_SECONDS = 600  # until the bank has decided
LATE_SECONDS = 3600  # until a bank's lost answer is found
ECHOED = ("key", "txnid", "productinfo", "firstname", "lastname", "email", "phone")
UDF = tuple(f"udf{place}" for place in range(1, 11))
ADDRESS = ("address1", "address2", "city", "state", "country", "zipcode")


class Transactions:
    def __init__(self, books: Books, messages: Messages) -> None:
        self.books = books
        self.messages = messages

    def find(self, txnid: str) -> Document | None:
        return self.books.find(KIND, txnid)

    def by_id(self, mihpayid: str) -> Document | None:
        named = self.books.find(BY_ID, mihpayid)
        return self.books.get(KIND, named["txnid"]) if named else None

    def begin(self, form: Mapping[str, str], amount: int) -> Document:
        """Write down that a payer came. Needs a transaction of the store."""
        now = self.books.store.now()
        found: Document = {
            "id": form["txnid"],
            "created": now,
            "mihpayid": f"4039937155{number(8)}",
            "amount": amount,
            "status": "pending",
            "unmappedstatus": "initiated",
            "mode": "",
            "bankcode": "",
            "shown": "",
            "error": "E000",
            "error_Message": "",
            "bank_ref_num": "",
            "captured_at": None,
            "form": {name: form.get(name, "") for name in (*ECHOED, *UDF, *ADDRESS)},
            "surl": form["surl"],
            "furl": form["furl"],
            "offered": form.get("enforce_paymethod", ""),
            "_then": None,
            "_value": "",
            "_refunds": "succeed",
            "_settled": False,
        }
        self.books.insert(KIND, found)
        named = {"id": found["mihpayid"], "created": now, "txnid": found["id"]}
        self.books.insert(BY_ID, named)
        self.books.set_timer("leave", found["id"], now + PAGE_SECONDS)
        return found

    def choose(self, transaction: Document, means: Means) -> None:
        """Send the payer to their bank."""
        transaction |= {
            "unmappedstatus": "in progress",
            "mode": means.mode,
            "bankcode": means.bankcode,
            "shown": means.shown,
            "_refunds": means.refunds,
            "_value": means.value,
        }
        self.books.update(KIND, transaction)

    def end(self, transaction: Document, means: Means) -> None:
        """Let the payer's bank decide, now or later."""
        self.books.drop_timer("leave", transaction["id"])
        now = self.books.store.now()
        if means.ending is Ending.PAID:
            self.capture(transaction)
        elif means.ending in {Ending.PENDING_PAID, Ending.PENDING_FAILED}:
            paid = means.ending is Ending.PENDING_PAID
            transaction |= {"unmappedstatus": "pending", "_then": "success" if paid else "failure"}
            self.books.update(KIND, transaction)
            self.books.set_timer("decide", transaction["id"], now + PENDING_SECONDS)
        else:
            late = means.ending is Ending.DROPPED_PAID
            state = "dropped" if late else "failed"
            self.fail(transaction, state, means.failure or payers.BANK_TROUBLE)
            if late:
                transaction["_then"] = "success"
                self.books.update(KIND, transaction)
                self.books.set_timer("decide", transaction["id"], now + LATE_SECONDS)

    def capture(self, transaction: Document) -> None:
        transaction |= {
            "status": "success",
            "unmappedstatus": "captured",
            "error": "E000",
            "error_Message": "No Error",
            "bank_ref_num": number(12),
            "captured_at": self.books.store.now(),
            "_then": None,
        }
        self._over(transaction)

    def fail(self, transaction: Document, state: str, why: Failure) -> None:
        transaction |= {
            "status": "failure",
            "unmappedstatus": state,
            "error": why.code,
            "error_Message": why.message,
        }
        self._over(transaction)

    def _over(self, transaction: Document) -> None:
        self.books.update(KIND, transaction)
        self.messages.of_payment(told(transaction), transaction["amount"])

    def leave(self, txnid: str) -> None:
        """Give up waiting for a payer: on our page, or at their bank."""
        transaction = self.books.get(KIND, txnid)
        if transaction["unmappedstatus"] == "initiated":
            self.fail(transaction, "bounced", payers.LEFT)
        elif transaction["unmappedstatus"] == "in progress":
            self.fail(transaction, "dropped", payers.NO_ANSWER)

    def decide(self, txnid: str, outcome: str | None = None) -> None:
        """Hear of the bank what became of a pending try, or of one thought lost."""
        transaction = self.books.get(KIND, txnid)
        wanted = outcome or transaction["_then"]
        self.books.drop_timer("decide", txnid)
        if transaction["status"] == "success" or wanted is None:
            return
        if wanted == "success":
            self.capture(transaction)
        else:
            self.fail(transaction, "failed", payers.BANK_TROUBLE)


def told(transaction: Document) -> dict[str, str]:
    """Write what a return and a webhook say, without the hash."""
    form: dict[str, str] = transaction["form"]
    amount = rupees(transaction["amount"])
    paid = transaction["status"] == "success"
    empty = ("card_token", "field0", "field1", "field2", "field3", "field4", "field5", "field6")
    return {
        "mihpayid": transaction["mihpayid"],
        "mode": transaction["mode"],
        "status": transaction["status"],
        "unmappedstatus": transaction["unmappedstatus"],
        "amount": amount,
        "addedon": local(transaction["created"]),
        **form,
        **dict.fromkeys(empty, ""),
        "card_no": transaction["shown"] if transaction["mode"] in {"CC", "DC"} else "",
        "field7": "AUTHPOSITIVE" if paid else "AUTHNEGATIVE",
        "field8": "",
        "field9": transaction["error_Message"],
        "payment_source": "payu",
        "PG_TYPE": f"{transaction['mode']}-PG" if transaction["mode"] else "",
        "error": transaction["error"],
        "error_Message": transaction["error_Message"],
        "net_amount_debit": amount if paid else "0",
        "discount": "0.00",
        "bank_ref_num": transaction["bank_ref_num"],
        "bank_ref_no": transaction["bank_ref_num"],
        "bankcode": transaction["bankcode"],
        "surl": transaction["surl"],
        "curl": transaction["furl"],
        "furl": transaction["furl"],
    }


def listed(transaction: Document) -> Document:
    """Write what the commands say."""
    said = told(transaction)
    names = ("mihpayid", "txnid", "productinfo", "firstname", "bankcode", "addedon", "mode")
    more = ("bank_ref_num", "field9", "payment_source", "PG_TYPE", "status", "unmappedstatus")
    return {
        **{name: said[name] for name in (*names, *more, *UDF[:5])},
        "request_id": "",
        "amt": said["amount"],
        "transaction_amount": said["amount"],
        "additional_charges": "0.00",
        "error_code": said["error"],
        "error_Message": said["error_Message"] or "NO ERROR",
        "net_amount_debit": said["net_amount_debit"],
        "disc": "0.00",
        "card_no": said["card_no"],
        "Merchant_UTR": None,
        "Settled_At": "0000-00-00 00:00:00",
    }
