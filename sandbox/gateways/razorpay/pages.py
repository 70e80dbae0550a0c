"""What a payer sees: the hosted page, the bank's, and the way back to the merchant.

The pages need no script and no foreign file. Where Razorpay's own script would send the payer on,
a button does. A form names how many tries went before it, so that sending it twice is one try.
"""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.razorpay.errors import RefusalError
from sandbox.gateways.razorpay.methods import BANKS, LATERS, VPAS, WALLETS, read_means
from sandbox.gateways.razorpay.objects import every, new_id, rupees
from sandbox.gateways.razorpay.payments import Payments
from sandbox.gateways.razorpay.returns import fields_of
from sandbox.gateways.server.pages import Pages
from sandbox.gateways.server.state import Books, Document, Slice

KIND = "checkout"
METHODS = ("card", "upi", "netbanking", "wallet", "paylater")
CHOICES = {"banks": BANKS, "wallets": WALLETS, "laters": LATERS}
TAKEN = {"authorized", "captured", "refunded"}
Form = dict[str, str]


class HostedPages:
    def __init__(self, payments: Payments, pages: Pages, keys: dict[str, str]) -> None:
        self.books: Books = payments.books
        self.payments = payments
        self.pages = pages
        self.keys = keys

    def routes(self) -> list[BaseRoute]:
        page, payment = "/checkout/{id}", "/checkout/{id}/payments/{payment}"
        return [
            Route("/v1/checkout/embedded", self._open, methods=["POST"]),
            Route(page, self._show, methods=["GET"]),
            Route(page, self._pay, methods=["POST"]),
            Route(payment, self._show_payment, methods=["GET"]),
            Route(payment, self._decide, methods=["POST"]),
            Route("/orders", self._orders, methods=["GET"]),
        ]

    async def _open(self, request: Request) -> Response:
        """Take what a merchant's form says, and lead the payer to a page that can be reloaded."""
        form = await _read_form(request)
        wrong = self._wrong_with(form)
        if wrong:
            return self._dead_end(400, wrong, form.get("cancel_url"))
        fields = {name: form.get(name, "") for name in ("name", "description", "method")}
        now = self.books.store.now()
        checkout: Document = {
            "id": new_id("checkout_"),
            "created": now,
            "order_id": form["order_id"],
            "key_id": form["key_id"],
            "callback_url": form["callback_url"],
            "cancel_url": form.get("cancel_url") or form["callback_url"],
            "payer": {
                "description": form.get("description"),
                "email": form.get("prefill[email]", ""),
                "contact": form.get("prefill[contact]", ""),
                "notes": {
                    name[6:-1]: value for name, value in form.items() if name.startswith("notes[")
                },
            },
            **fields,
        }
        with self.books.store.transaction():
            self.books.insert(KIND, checkout)
        return RedirectResponse(_address(request, checkout), 303)

    def _wrong_with(self, form: Form) -> str | None:
        order = self.books.find("order", form.get("order_id", ""))
        if form.get("key_id") not in self.keys:
            return "The merchant's key is not valid"
        if order is None:
            return "This order does not exist"
        if form.get("amount") != str(order["amount"]) or form.get("currency") != order["currency"]:
            return "The amount is not that of the order"
        if not form.get("name") or not _is_web(form.get("callback_url", "")):
            return "The merchant's page left something out"
        if form.get("cancel_url") and not _is_web(form["cancel_url"]):
            return "The merchant's page left something out"
        return None

    async def _show(self, request: Request) -> Response:
        checkout = self._checkout(request)
        if checkout is None:
            return self._dead_end(404, "This payment page does not exist", None)
        if self._order(checkout)["status"] == "paid":
            return self._dead_end(200, "You have already paid", checkout["cancel_url"])
        return self._form(checkout, {})

    async def _pay(self, request: Request) -> Response:
        checkout = self._checkout(request)
        if checkout is None:
            return self._dead_end(404, "This payment page does not exist", None)
        form = await _read_form(request)
        order = self._order(checkout)
        latest = every(self.books, "payment", order_id=order["id"])[-1:]
        if latest and form.get("tried") != str(order["attempts"]):
            return RedirectResponse(_address(request, checkout, latest[0]), 303)
        means = read_means(form)
        if isinstance(means, str):
            return self._form(checkout, form, status=422, message=means)
        try:
            with self.books.store.transaction():
                payment = self.payments.begin(order, means, checkout["payer"])
                if payment["vpa"] in VPAS:  # a test value needs no asking
                    self.payments.decide(payment, means.plan.first)
        except RefusalError as refusal:
            return self._form(checkout, form, status=409, message=str(refusal))
        return RedirectResponse(_address(request, checkout, payment), 303)

    async def _show_payment(self, request: Request) -> Response:
        checkout, payment = self._checkout(request), self._payment(request)
        if checkout is None or payment is None or payment["order_id"] != checkout["order_id"]:
            return self._dead_end(404, "There is no such payment", None)
        if payment["status"] == "created" and not payment["_plan"]["then"]:
            return self.pages.show("bank.html", **self._facts(checkout), payment=payment)
        secret = self.keys[checkout["key_id"]]
        return self.pages.show(
            "outcome.html",
            **self._facts(checkout),
            payment=payment,
            taken=payment["status"] in TAKEN,
            fields=fields_of(payment, secret),
        )

    async def _decide(self, request: Request) -> Response:
        checkout, payment = self._checkout(request), self._payment(request)
        if checkout is None or payment is None or payment["order_id"] != checkout["order_id"]:
            return self._dead_end(404, "There is no such payment", None)
        outcome = (await _read_form(request)).get("outcome", "")
        if outcome in {"success", "failure", "pending"}:
            with self.books.store.transaction():
                self.payments.decide(payment, outcome)
        return RedirectResponse(_address(request, checkout, payment), 303)

    async def _orders(self, _: Request) -> Response:
        orders = self.books.page("order", Slice(limit=50))[0]
        return self.pages.show("orders.html", orders=orders, money=rupees)

    def _checkout(self, request: Request) -> Document | None:
        return self.books.find(KIND, request.path_params["id"])

    def _payment(self, request: Request) -> Document | None:
        return self.books.find("payment", request.path_params["payment"])

    def _order(self, checkout: Document) -> Document:
        return self.books.get("order", checkout["order_id"])

    def _facts(self, checkout: Document) -> dict[str, Any]:
        return {
            "checkout": checkout,
            "order": self._order(checkout),
            "merchant": checkout["name"],
            "money": rupees,
        }

    def _form(
        self, checkout: Document, form: Form, status: int = 200, message: str | None = None
    ) -> Response:
        only = checkout["method"]
        return self.pages.show(
            "checkout.html",
            status,
            **self._facts(checkout),
            **CHOICES,
            methods=[only] if only in METHODS else list(METHODS),
            form={"method": only or "card", "card": "", "vpa": "", **form},
            message=message,
        )

    def _dead_end(self, status: int, title: str, back: str | None) -> Response:
        back = back if back and _is_web(back) else None
        return self.pages.show("closed.html", status, title=title, back=back)


async def _read_form(request: Request) -> Form:
    body = (await request.body()).decode("utf-8", errors="replace")
    return dict(parse_qsl(body, keep_blank_values=True))


def _is_web(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


def _address(request: Request, checkout: Document, payment: Document | None = None) -> str:
    root = request.scope["root_path"]
    page = f"{root}/checkout/{checkout['id']}"
    return f"{page}/payments/{payment['id']}" if payment else page
