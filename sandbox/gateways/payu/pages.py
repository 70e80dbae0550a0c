"""What a payer sees: PayU's page, their bank's, and the way back to the merchant.

A browser comes with a signed form, and is sent back with one; neither page needs a script.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.payu import hashes, intents, payers
from sandbox.gateways.payu.api import played, read_form
from sandbox.gateways.payu.payers import OTP, Ending, Failure, Means
from sandbox.gateways.payu.transactions import told
from sandbox.gateways.payu.units import paise, shown
from sandbox.gateways.server.pages import Pages
from sandbox.gateways.server.state import Document, Slice

if TYPE_CHECKING:
    from sandbox.gateways.payu import Simulator

REQUIRED = (
    *("key", "txnid", "amount", "productinfo", "firstname", "email", "phone"),
    *("surl", "furl", "hash"),
)
LENGTHS = {"txnid": 25, "productinfo": 100, "firstname": 60, "email": 50, "phone": 50, "udf1": 255}
OPEN = ("initiated", "in progress")
METHODS = {"upi": ("upi",), "card": ("creditcard", "debitcard"), "bank": ("netbanking",)}


class HostedPages:
    def __init__(self, payu: Simulator, pages: Pages) -> None:
        self.payu = payu
        self.books = payu.books
        self.transactions = payu.transactions
        self.pages = pages

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/_payment", self._arrive, methods=["POST"]),
            Route("/_payment_options", self._show, methods=["GET"]),
            Route("/_payment_options", self._pay, methods=["POST"]),
            Route("/_bank", self._show_bank, methods=["GET"]),
            Route("/_bank", self._answer_bank, methods=["POST"]),
            Route("/_response", self._show_result, methods=["GET"]),
            Route("/transactions", self._list, methods=["GET"]),
        ]

    async def _arrive(self, request: Request) -> Response:
        form = await read_form(request)
        if form.get("txn_s2s_flow") == intents.FLOW:
            fault = self.payu.house.faults.take(self.books.gateway, intents.OPERATION)
            return await played(fault, lambda: self.payu.intents.begin(form))
        transaction, error = self.arrive(form)
        if transaction is None:
            return self.pages.show(
                "closed.html", 400, title="This payment cannot be made", why=error
            )
        return self._lead(transaction)

    def arrive(self, form: Mapping[str, str]) -> tuple[Document | None, str]:
        """Take a payer's form, once for each txnid; or say what is wrong with it."""
        wrong = self._wrong(form)
        if wrong:
            return None, wrong
        known = self.transactions.find(form["txnid"])
        amount = paise(form["amount"]) or 0
        if known is None:
            with self.books.store.transaction():
                return self.transactions.begin(form, amount), ""
        if known["amount"] != amount or known["unmappedstatus"] not in OPEN:
            return None, "Duplicate transaction: this txnid has been used"
        return known, ""

    def _wrong(self, form: Mapping[str, str]) -> str:
        missing = [name for name in REQUIRED if not form.get(name)]
        if missing:
            return f"Mandatory parameters missing: {', '.join(missing)}"
        if form["key"] not in self.payu.keys:
            return "Invalid merchant key"
        if form["hash"] not in {hashes.of_page(form, salt) for salt in self.payu.salts}:
            return "Transaction failed due to incorrectly calculated hash parameter"
        if not paise(form["amount"]):
            return "Invalid amount"
        long = [name for name, most in LENGTHS.items() if len(form.get(name, "")) > most]
        if long:
            return f"Too long: {', '.join(long)}"
        away = [form[name] for name in ("surl", "furl")]
        return "" if all(urlsplit(url).scheme in {"http", "https"} for url in away) else "Bad URL"

    async def _show(self, request: Request) -> Response:
        transaction = self._of(request.query_params)
        if transaction is None or transaction["unmappedstatus"] != "initiated":
            return self._lead(transaction)
        return self._checkout(transaction)

    async def _pay(self, request: Request) -> Response:
        form = await read_form(request)
        transaction = self._of(form)
        if transaction is None or transaction["unmappedstatus"] != "initiated":
            return self._lead(transaction)
        if form.get("action") == "cancel":
            self.cancel(transaction)
            return self._lead(transaction)
        means = means_of(form)
        if means is None:
            return self._checkout(transaction, "Choose how you want to pay, and fill it in.", 422)
        self.pay(transaction, means)
        return self._lead(transaction)

    def pay(self, transaction: Document, means: Means) -> None:
        """Send the payer to the bank; where the bank asks nothing, it decides at once."""
        with self.books.store.transaction():
            self.transactions.choose(transaction, means)
            if not means.needs_otp:
                self.transactions.end(transaction, means)

    def prove(self, transaction: Document, otp: str) -> None:
        """Answer the bank: a wrong password fails the try."""
        means = payers.card(transaction["_value"])
        if otp != OTP:
            means = replace(means, ending=Ending.FAILED, failure=payers.UNAUTHENTICATED)
        with self.books.store.transaction():
            self.transactions.end(transaction, means)

    def cancel(self, transaction: Document, why: Failure = payers.CANCELLED) -> None:
        with self.books.store.transaction():
            self.books.drop_timer("leave", transaction["id"])
            self.transactions.fail(transaction, "userCancelled", why)

    async def _show_bank(self, request: Request) -> Response:
        transaction = self._of(request.query_params)
        if transaction is None or transaction["unmappedstatus"] != "in progress":
            return self._lead(transaction)
        return self.pages.show("bank.html", otp=OTP, **_order(transaction))

    async def _answer_bank(self, request: Request) -> Response:
        form = await read_form(request)
        transaction = self._of(form)
        if transaction is not None and transaction["unmappedstatus"] == "in progress":
            self.prove(transaction, form.get("otp", ""))
        return self._lead(transaction)

    async def _show_result(self, request: Request) -> Response:
        transaction = self._of(request.query_params)
        if transaction is None:
            return self._lead(None)
        url, fields = self.result(transaction)
        return self.pages.show("result.html", url=url, fields=fields, **_order(transaction))

    def result(self, transaction: Document) -> tuple[str, dict[str, str]]:
        """Give what a browser posts to the merchant, and where."""
        fields = told(transaction)
        url = transaction["furl" if transaction["status"] == "failure" else "surl"]
        return url, {**fields, "hash": hashes.of_answer(fields, self.payu.salts[0])}

    async def _list(self, _: Request) -> Response:
        found = self.books.page("transaction", Slice(limit=50))[0]
        return self.pages.show("transactions.html", transactions=found, shown=shown)

    def _of(self, named: Mapping[str, str]) -> Document | None:
        return self.transactions.by_id(named.get("mihpayid", ""))

    def _lead(self, transaction: Document | None) -> Response:
        """Lead a payer to where their payment stands."""
        if transaction is None:
            why = "There is no such payment."
            return self.pages.show("closed.html", 404, title="Nothing here", why=why)
        places = {"initiated": "_payment_options", "in progress": "_bank"}
        place = places.get(transaction["unmappedstatus"], "_response")
        url = f"{self.payu.origin}/payu/{place}?mihpayid={transaction['mihpayid']}"
        return RedirectResponse(url, 303)

    def _checkout(self, transaction: Document, error: str = "", status: int = 200) -> Response:
        wanted = transaction["offered"].split("|") if transaction["offered"] else []
        methods = [
            name for name, words in METHODS.items() if not wanted or set(words) & set(wanted)
        ]
        return self.pages.show(
            "checkout.html",
            status,
            methods=methods or list(METHODS),
            banks=payers.BANKS,
            cards=payers.CARDS,
            addresses=payers.ADDRESSES,
            error=error,
            **_order(transaction),
        )


def means_of(form: Mapping[str, str]) -> Means | None:
    """Read what a payer filled in; None where that is nothing."""
    method = form.get("method", "")
    if method == "card" and form.get("card"):
        return payers.card(form["card"])
    if method == "upi" and "@" in form.get("vpa", ""):
        return payers.address(form["vpa"])
    if method == "bank" and form.get("bank") in payers.BANKS:
        return payers.bank(form["bank"])
    return None


def _order(transaction: Document) -> Document:
    return {
        "transaction": transaction,
        "amount": shown(transaction["amount"]),
        "title": transaction["form"]["productinfo"],
    }
