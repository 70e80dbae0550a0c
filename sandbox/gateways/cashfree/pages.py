"""What a payer sees: the hosted page, and the test bank where net banking leads.

The pages need no script and no foreign file. A form names how many tries went before it, so that
sending it twice is one try.
"""

import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.cashfree import means, rupees
from sandbox.gateways.cashfree.means import How, Means
from sandbox.gateways.cashfree.orders import HOLD_NOTE
from sandbox.gateways.cashfree.payments import Payments
from sandbox.gateways.server.pages import Pages
from sandbox.gateways.server.state import Document, Slice

MERCHANT = "Munim Sandbox Store"
SESSION = "/view/sessions/checkout"
PAGE = f"{SESSION}/web/{{session}}"
Form = dict[str, str]

# What is offered under which of `order_meta.payment_methods`.
OFFERS = {
    "upi": {"upi"},
    "card": {"cc", "dc", "ccc", "ppc"},
    "netbanking": {"nb"},
    "wallet": {"app"},
}
BANK_CHOICES = {
    "success": (How.PAYS,),
    "failure": (How.DECLINES_SOFT,),
    "pending": (How.PENDING_THEN_PAID,),
    "late": (How.FAILS_THEN_PAYS_LATE,),
    "twice": (How.PAYS, How.PAYS),
}
EMPTY = {"method": "upi", "vpa": "", "card_number": "", "card_expiry": "", "card_cvv": ""}
CLOSED = {
    "PAID": (200, "You have already paid"),
    "EXPIRED": (410, "This payment page has expired"),
}


class HostedPages:
    def __init__(self, payments: Payments, pages: Pages) -> None:
        self.payments = payments
        self.books = payments.books
        self.pages = pages

    def routes(self) -> list[BaseRoute]:
        return [
            Route(SESSION, self._enter, methods=["POST"]),
            Route(PAGE, self._show, methods=["GET"]),
            Route(PAGE, self._pay, methods=["POST"]),
            Route(f"{PAGE}/bank", self._show_bank, methods=["GET"]),
            Route(f"{PAGE}/bank", self._decide_bank, methods=["POST"]),
            Route("/view/orders", self._orders, methods=["GET"]),
        ]

    async def _enter(self, request: Request) -> Response:
        """Take a payer in: the merchant's page posts the session here, as cashfree.js does."""
        session = (await _read_form(request)).get("payment_session_id", "")
        order = self._order(session)
        if order is None:
            return self._closed(None)
        return RedirectResponse(_address(request, order), 303)

    async def _show(self, request: Request) -> Response:
        order = self._order(request.path_params["session"])
        if order is None or order["status"] != "ACTIVE":
            return self._closed(order)
        return self._checkout(order, {})

    async def _pay(self, request: Request) -> Response:
        order, form = self._order(request.path_params["session"]), await _read_form(request)
        if order is None or order["status"] != "ACTIVE":
            return self._closed(order)
        if "leave" in form:
            return self._try(order, form, (How.DROPS,), means.upi())
        if form.get("method") == "netbanking":
            return RedirectResponse(f"{_address(request, order)}/bank", 303)
        errors = _faults(form, datetime.fromtimestamp(self.books.store.now(), UTC))
        if errors:
            return self._checkout(order, form, status=422, errors=errors)
        how, chosen = _chosen(form)
        return self._try(order, form, (how,), chosen)

    async def _show_bank(self, request: Request) -> Response:
        order = self._order(request.path_params["session"])
        if order is None or order["status"] != "ACTIVE":
            return self._closed(order)
        return self.pages.show("bank.html", **self._about(order))

    async def _decide_bank(self, request: Request) -> Response:
        order, form = self._order(request.path_params["session"]), await _read_form(request)
        tries = BANK_CHOICES.get(form.get("choice", ""))
        if order is None or order["status"] != "ACTIVE" or tries is None:
            return self._closed(order)
        return self._try(order, {**form, "method": "netbanking"}, tries, means.netbanking())

    async def _orders(self, _: Request) -> Response:
        orders = self.books.page("order", Slice(limit=50))[0]
        return self.pages.show("orders.html", orders=orders, money=rupees.display)

    def _try(self, order: Document, form: Form, hows: tuple[How, ...], chosen: Means) -> Response:
        """Have the payer try, once for each number of tries that a form came with."""
        if form.get("tried") == str(len(self.payments.of_order(order["id"]))):
            with self.books.store.transaction():
                for how in hows:
                    self.payments.attempt(order, how, chosen, "")
        newest = self.payments.of_order(order["id"])[:1]
        if newest and newest[0]["status"] == "FAILED":
            return self._checkout(order, form, status=402, message=newest[0]["message"])
        return RedirectResponse(_return_url(order) or "/", 303)

    def _order(self, session: str) -> Document | None:
        with self.books.store.transaction():
            return self.payments.orders.of_session(session)

    def _checkout(
        self,
        order: Document,
        form: Form,
        status: int = 200,
        errors: Form | None = None,
        message: str | None = None,
    ) -> Response:
        wanted = order["meta"].get("payment_methods")
        offered = [
            name for name, codes in OFFERS.items() if not wanted or codes & set(wanted.split(","))
        ]
        first = {"method": offered[0] if offered else ""}
        return self.pages.show(
            "checkout.html",
            status,
            **self._about(order),
            form={**EMPTY, **first, **form, "card_cvv": ""},
            errors=dict.fromkeys(EMPTY, "") | (errors or {}),
            message=message,
            offered=offered,
        )

    def _about(self, order: Document) -> Document:
        return {
            "order": order,
            "holds": order["note"] == HOLD_NOTE,
            "amount": rupees.display(order["amount"]),
            "merchant": MERCHANT,
            "action": f"/cashfree/pg{PAGE.format(session=order['session'])}",
            "tried": len(self.payments.of_order(order["id"])),
        }

    def _closed(self, order: Document | None) -> Response:
        """Say why nothing can be paid here."""
        if order is None:
            status, title = 404, "This payment page does not exist"
        else:
            status, title = CLOSED.get(order["status"], (410, "This payment page is closed"))
        back = order and _return_url(order)
        return self.pages.show("closed.html", status, title=title, back=back)


async def _read_form(request: Request) -> Form:
    body = (await request.body()).decode("utf-8", errors="replace")
    return dict(parse_qsl(body, keep_blank_values=True))


def _address(request: Request, order: Document) -> str:
    return f"{request.scope['root_path']}{PAGE.format(session=order['session'])}"


def _return_url(order: Document) -> str | None:
    """Give where the payer goes back to; only `{order_id}` is filled in, and nothing is signed."""
    address: str | None = order["meta"].get("return_url")
    return address and address.replace("{order_id}", order["id"])


def _faults(form: Form, now: datetime) -> Form:
    """Say what a payer must correct."""
    if form.get("method") == "upi" and not re.fullmatch(r"[\w.-]+@\w+", form.get("vpa", "")):
        return {"vpa": "Enter a UPI id such as testsuccess@gocash"}
    if form.get("method") != "card":
        return {} if form.get("method") in OFFERS else {"method": "Choose how to pay"}
    faults = {}
    if not re.fullmatch(r"\d{12,19}", form.get("card_number", "").replace(" ", "")):
        faults["card_number"] = "Enter the number of the card"
    expiry = re.fullmatch(r"(0?[1-9]|1[0-2]) ?/ ?(?:20)?(\d\d)", form.get("card_expiry", ""))
    if not expiry or (2000 + int(expiry[2]), int(expiry[1])) < (now.year, now.month):
        faults["card_expiry"] = "Enter a date that is still to come, as MM / YY"
    if not re.fullmatch(r"\d{3,4}", form.get("card_cvv", "")):
        faults["card_cvv"] = "Enter the 3 digits on the back"
    return faults


def _chosen(form: Form) -> tuple[How, Means]:
    if form["method"] == "upi":
        return means.VPAS.get(form["vpa"].lower(), How.PAYS), means.upi(form["vpa"])
    if form["method"] == "wallet":
        return How.PAYS, means.wallet()
    number = form["card_number"].replace(" ", "")
    return means.CARDS.get(number, How.PAYS), means.card(number)
