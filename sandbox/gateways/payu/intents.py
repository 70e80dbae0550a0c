"""UPI without a page: the merchant's server begins a transaction, the payer's app completes it.

https://docs.payu.in/docs/upi-intent-server-to-server
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox.gateways.payu import payers
from sandbox.gateways.payu.payers import Ending, Means
from sandbox.gateways.payu.transactions import KIND
from sandbox.gateways.payu.units import rupees
from sandbox.gateways.server import upi
from sandbox.gateways.server.state import Document, Slice
from sandbox.gateways.server.upi import UnpayableError

if TYPE_CHECKING:
    from sandbox.gateways.payu import Simulator

OPERATION = "s2s.upi"  # as faults call it
FLOW = "4"
LISTED_MAX = 20
NEEDED = ("s2s_client_ip", "s2s_device_info")


class Intents:
    def __init__(self, payu: Simulator) -> None:
        self.payu = payu
        self.books = payu.books

    def begin(self, form: Mapping[str, str]) -> Document:
        """Begin a transaction, or give the link of one that waits for its payer."""
        missing = [name for name in NEEDED if not form.get(name)]
        if missing or (form.get("pg"), form.get("bankcode")) != ("UPI", "INTENT"):
            return _refused(form, f"Mandatory parameters missing: {', '.join(missing) or 'pg'}")
        transaction, error = self.payu.hosted.arrive(form)
        if transaction is None:
            return _refused(form, error)
        if transaction["unmappedstatus"] == "initiated":
            with self.books.store.transaction():
                self.payu.transactions.choose(transaction, _means(None))
        return {
            "metaData": {
                "message": None,
                "referenceId": transaction["id"],
                "statusCode": None,
                "txnId": transaction["id"],
                "txnStatus": "pending",
                "unmappedStatus": "pending",
            },
            "result": {
                "paymentId": transaction["mihpayid"],
                "merchantName": upi.PAYEE_NAME,
                "merchantVpa": f"{upi.PAYEE}@payu",
                "amount": rupees(transaction["amount"]),
                "intentURIData": _link(transaction).partition("?")[2],
            },
        }

    def pay(self, reference: str, address: str | None) -> str:
        """Have the payer pay, or decline, what a link names; once."""
        transaction = self.payu.transactions.by_id(reference)
        if transaction is None:
            raise UnpayableError("Nobody asks for this.")
        if transaction["unmappedstatus"] != "in progress":
            raise UnpayableError("This code is not valid any more.")
        means = _means(address)
        with self.books.store.transaction():
            self.payu.transactions.choose(transaction, means)
            self.payu.transactions.end(transaction, means)
        return str(transaction["unmappedstatus"])

    def links(self) -> list[str]:
        about = {"unmappedstatus": "in progress", "bankcode": "INTENT"}
        found = self.books.page(KIND, Slice(limit=LISTED_MAX, equals=about))[0]
        return [_link(one) for one in found]


def _link(transaction: Document) -> str:
    return upi.link("payu", transaction["mihpayid"], rupees(transaction["amount"]), "UPIIntent")


def _means(address: str | None) -> Means:
    """Give what a payer pays with; without an address they decline."""
    if address is None:
        failed = (Ending.FAILED, payers.DECLINED_BY_PAYER)
        return Means("UPI", "INTENT", "", "", *failed)
    return replace(payers.address(address), bankcode="INTENT")


def _refused(form: Mapping[str, str], why: str) -> Document:
    about = {"message": why, "referenceId": None, "statusCode": None, "txnId": form.get("txnid")}
    return {"metaData": {**about, "txnStatus": "failed", "unmappedStatus": "failed"}, "result": {}}
