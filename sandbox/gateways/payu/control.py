"""Control calls of this simulator, below `/_sandbox/payu`: what payers and their banks do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.payu.disputes import DECISIONS
from sandbox.gateways.payu.pages import means_of
from sandbox.gateways.payu.payers import OTP, Means
from sandbox.gateways.payu.refunds import WAYS
from sandbox.gateways.server.control import read_object
from sandbox.gateways.server.state import Document, public

if TYPE_CHECKING:
    from sandbox.gateways.payu import Simulator

GOOD_CARD = "5123456789012346"
OUTCOMES = ("success", "failure")


class Control:
    def __init__(self, payu: Simulator) -> None:
        self.payu = payu
        self.books = payu.books

    def routes(self) -> list[BaseRoute]:
        def post(path: str, act: Any) -> BaseRoute:
            return Route(path, act, methods=["POST"])

        return [
            post("/pay", self.pay),
            post("/transactions/{id}/cancel", self.cancel),
            post("/transactions/{id}/decide", self.decide),
            post("/transactions/{id}/dispute", self.dispute),
            post("/transactions/{id}/refund", self.refund),
            post("/refunds/{id}/decide", self.decide_refund),
            post("/disputes/{id}/decide", self.decide_dispute),
            post("/settle", self.settle),
        ]

    async def pay(self, request: Request) -> Response:
        """Bring a payer's form and pay: by `card`, `vpa` or `bank`, with an `otp` for a card.

        `leave` only looks at the page, or stops at the bank's. `refunds` says what becomes of them.
        """
        order = await read_object(request)
        form = order.get("form")
        if not isinstance(form, dict):
            return _refuse("form must be the fields that a browser posts")
        transaction, error = self.payu.hosted.arrive({name: str(form[name]) for name in form})
        means = _means(order)
        if transaction is None or means is None:
            return _refuse(error or "unknown refunds, or nothing to pay with", 409)
        if order.get("leave") != "page":
            self._pay(transaction, means, order)
        return self._told(transaction["id"])

    def _pay(self, transaction: Document, means: Means, order: dict[str, Any]) -> None:
        if transaction["unmappedstatus"] == "initiated":
            self.payu.hosted.pay(transaction, means)
        if transaction["unmappedstatus"] == "in progress" and order.get("leave") != "bank":
            self.payu.hosted.prove(transaction, str(order.get("otp", OTP)))

    async def cancel(self, request: Request) -> Response:
        """Have a payer cancel on PayU's page."""
        transaction = self._of(request)
        if transaction is None or transaction["status"] != "pending":
            return _refuse("there is nothing to cancel", 409)
        self.payu.hosted.cancel(transaction)
        return self._told(transaction["id"])

    async def decide(self, request: Request) -> Response:
        """Have the bank say what became of a try: `outcome` is `success` or `failure`."""
        outcome = (await read_object(request)).get("outcome")
        transaction = self._of(request)
        if transaction is None or outcome not in OUTCOMES:
            return _refuse("no such transaction, or no such outcome")
        with self.books.store.transaction():
            self.payu.transactions.decide(transaction["id"], str(outcome))
        return self._told(transaction["id"])

    async def dispute(self, request: Request) -> Response:
        order = await read_object(request)
        transaction = self._of(request)
        if transaction is None or transaction["status"] != "success":
            return _refuse("there is nothing to dispute", 409)
        reason = str(order.get("reason", "Fraud - Card Absent Environment"))
        with self.books.store.transaction():
            return JSONResponse(public(self.payu.disputes.open(transaction, reason)), 201)

    async def refund(self, request: Request) -> Response:
        """Refund in PayU's dashboard, past the merchant's service: an `amount` of paise, or all."""
        order = await read_object(request)
        transaction = self._of(request)
        if transaction is None:
            return _refuse("no such transaction", 404)
        with self.books.store.transaction():
            amount = order["amount"] if "amount" in order else transaction["amount"]
            refund = self.payu.refunds.make(transaction, int(amount))
        return JSONResponse(public(refund), 201) if refund else _refuse("it cannot go back", 409)

    async def decide_refund(self, request: Request) -> Response:
        """Decide a refund, named by its token or its request id."""
        outcome = (await read_object(request)).get("outcome")
        name = request.path_params["id"]
        refund = self.books.find("refund", name) or self.payu.refunds.by_request(name)
        if refund is None or outcome not in OUTCOMES:
            return _refuse("no such refund, or no such outcome")
        with self.books.store.transaction():
            self.payu.refunds.decide(refund, str(outcome))
        return JSONResponse(public(refund))

    async def decide_dispute(self, request: Request) -> Response:
        """Go on with a dispute: `outcome` is `under_review`, `won` or `lost`."""
        outcome = str((await read_object(request)).get("outcome"))
        dispute = self.books.find("dispute", request.path_params["id"])
        if dispute is None or outcome not in DECISIONS:
            return _refuse(f"no such dispute, or outcome is none of {', '.join(DECISIONS)}")
        with self.books.store.transaction():
            self.payu.disputes.decide(dispute, outcome)
        return JSONResponse(public(dispute))

    async def settle(self, _: Request) -> Response:
        """Settle all that is due, as of the simulated time."""
        with self.books.store.transaction():
            settlement = self.payu.api.settlements.settle()
        return JSONResponse(settlement and public(settlement))

    def _of(self, request: Request) -> Document | None:
        return self.payu.transactions.find(request.path_params["id"])

    def _told(self, txnid: str) -> Response:
        transaction = self.books.get("transaction", txnid)
        url, fields = self.payu.hosted.result(transaction)
        body = {"transaction": public(transaction), "return": {"url": url, "fields": fields}}
        return JSONResponse(body)


def _means(order: dict[str, Any]) -> Means | None:
    """Read what is paid with, a good card if nothing is said."""
    refunds = str(order.get("refunds", ""))
    given = {name: str(order[name]) for name in ("card", "vpa", "bank") if order.get(name)}
    chosen = next(iter(given), "card")
    method = "upi" if chosen == "vpa" else chosen
    means = means_of({"method": method, "card": GOOD_CARD, **given})
    if means is None or refunds not in {"", *WAYS}:
        return None
    return replace(means, refunds=refunds) if refunds else means


def _refuse(why: str, status: int = 400) -> Response:
    return JSONResponse({"error": why}, status)
