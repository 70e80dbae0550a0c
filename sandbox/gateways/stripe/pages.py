"""What a payer sees: the hosted payment page, the bank's challenge, and the receipt.

The pages need no script and no foreign file. A form names how many tries went before it, so
that sending it twice is one try.
"""

import re
from datetime import UTC, datetime
from functools import partial
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.server.pages import Pages
from sandbox.gateways.server.state import Books, Document, Slice
from sandbox.gateways.stripe import money
from sandbox.gateways.stripe.methods import BANKS
from sandbox.gateways.stripe.payer import read_payer, saved_payer
from sandbox.gateways.stripe.payments import (
    Outcome,
    Payments,
    Result,
    newest_of_intent,
    wants_payer,
)

MERCHANT = "Munim Sandbox Store"
SUBMIT_WORDS = {"book": "Book", "donate": "Donate", "subscribe": "Subscribe"}
Form = dict[str, str]


class HostedPages:
    def __init__(self, books: Books, payments: Payments, pages: Pages) -> None:
        self.books = books
        self.payments = payments
        self.pages = pages

    def routes(self) -> list[BaseRoute]:
        session = "/c/pay/{id}"
        return [
            Route(session, self._show, methods=["GET"]),
            Route(session, self._pay, methods=["POST"]),
            Route(f"{session}/challenge", self._show_challenge, methods=["GET"]),
            Route(f"{session}/challenge", self._answer_challenge, methods=["POST"]),
            Route("/receipts/{id}", self._receipt, methods=["GET"]),
            Route("/sessions", self._sessions, methods=["GET"]),
            Route("/events", self._events, methods=["GET"]),
        ]

    async def _show(self, request: Request) -> Response:
        session = self._session(request)
        if session is None or session["status"] != "open":
            return self._closed(session)
        return self._checkout(session, self._untouched(session))

    async def _pay(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return self._closed(None)
        form = await _read_form(request)
        tried = form.get("tried", "")
        payer = None
        if session["status"] == "open" and wants_payer(session):
            chosen = self._saved_cards(session).get(form.get("payment_method", ""))
            payer, errors = (
                (saved_payer(chosen), {}) if chosen else read_payer(form, session, self._month())
            )
            if errors:
                return self._checkout(session, form, status=422, errors=errors)
        number = int(tried) if re.fullmatch("[0-9]{1,6}", tried) else None
        result = self.payments.pay(session["id"], payer, number)
        return self._after(result, form)

    async def _show_challenge(self, request: Request) -> Response:
        session = self._session(request)
        if session is None or session["status"] != "open":
            return self._closed(session)
        if self.payments.awaited(session) is None:
            return RedirectResponse(session["url"], 303)
        return self.pages.show("challenge.html", **_order(session))

    async def _answer_challenge(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return self._closed(None)
        form = await _read_form(request)
        result = self.payments.answer_challenge(
            session["id"], passed=form.get("challenge") == "complete"
        )
        return self._after(result, {"tried": form.get("tried", "")})

    async def _receipt(self, request: Request) -> Response:
        charge = self.books.find("charge", request.path_params["id"])
        if charge is None or not charge["paid"]:
            return self._dead_end(404, "There is no such receipt", None)
        session = newest_of_intent(self.books, charge["payment_intent"])
        order = _order(session) if session else _bare_order(charge)
        paid_at = datetime.fromtimestamp(charge["created"], UTC)
        return self.pages.show(
            "receipt.html", charge=charge, paid_at=paid_at, means=_means(charge), **order
        )

    async def _sessions(self, _: Request) -> Response:
        sessions = self.books.page("checkout.session", Slice(limit=50))[0]
        return self.pages.show("sessions.html", sessions=sessions, money=money.display)

    async def _events(self, _: Request) -> Response:
        events = self.books.page("event", Slice(limit=100))[0]
        return self.pages.show("events.html", events=events)

    def _session(self, request: Request) -> Document | None:
        """Find the session of a page, expired if its time has come."""
        identifier = request.path_params["id"]
        if self.books.find("checkout.session", identifier) is None:
            return None
        with self.books.store.transaction():
            self.payments.sessions.expire_if_due(identifier)
        return self.books.get("checkout.session", identifier)

    def _saved_cards(self, session: Document) -> dict[str, Document]:
        """List the cards that its customer saved and the page may show, by id, newest first."""
        options = session["saved_payment_method_options"]
        if not options or "card" not in session["payment_method_types"]:
            return {}
        equals = {"customer": session["customer"], "type": "card"}
        found = self.books.page("payment_method", Slice(limit=10, equals=equals))[0]
        shown = options["allow_redisplay_filters"]
        return {each["id"]: each for each in found if each["allow_redisplay"] in shown}

    def _untouched(self, session: Document) -> Form:
        """Give the fields of a page that nobody touched: a saved card comes before any other."""
        form = _prefilled(session)
        if session["customer"]:
            customer = self.books.get("customer", session["customer"])
            form["email"] = form["email"] or customer["email"] or ""
        return {
            **form,
            "payment_method": next(iter(self._saved_cards(session)), form["payment_method"]),
        }

    def _month(self) -> tuple[int, int]:
        today = datetime.fromtimestamp(self.books.store.now(), UTC)
        return today.year, today.month

    def _after(self, result: Result, form: Form) -> Response:
        """Lead the payer on after a try; a repeated try is led where the first one was."""
        session = result.session
        if result.outcome is Outcome.CHALLENGED:
            return RedirectResponse(f"{session['url']}/challenge", 303)
        if result.outcome is Outcome.DONE:
            return _to_merchant(session)
        if result.outcome is Outcome.DECLINED:
            return self._checkout(session, form, status=402, message=result.message)
        return self._after_repeat(result, form)

    def _after_repeat(self, result: Result, form: Form) -> Response:
        session = result.session
        if session["status"] == "open":
            if self.payments.awaited(session):
                return RedirectResponse(f"{session['url']}/challenge", 303)
            return self._checkout(session, form, status=402, message=result.message)
        if form.get("tried") == str((session["_paid_by_try"] or 0) - 1):
            return _to_merchant(session)
        return self._closed(session)

    def _checkout(
        self,
        session: Document,
        form: Form,
        status: int = 200,
        errors: Form | None = None,
        message: str | None = None,
    ) -> Response:
        bank = BANKS.get(session["currency"])
        offered = session["payment_method_types"]
        return self.pages.show(
            "checkout.html",
            status,
            **_order(session),
            form={**_prefilled(session), **form, "card_cvc": ""},
            errors=dict.fromkeys(_prefilled(session), "") | (errors or {}),
            spoiled=bool(errors),
            message=message,
            bank=bank if bank and bank.type in offered else None,
            card="card" in offered,
            saved=list(self._saved_cards(session).values()),
            may_save=bool(
                (session["saved_payment_method_options"] or {}).get("payment_method_save")
            ),
            verb=SUBMIT_WORDS.get(session["submit_type"] or "", "Pay"),
            saving=session["mode"] == "setup",
        )

    def _closed(self, session: Document | None) -> Response:
        """Say why nothing can be paid here."""
        if session is None:
            return self._dead_end(404, "This payment page does not exist", None)
        back = with_id(session["success_url"], session)
        if session["status"] == "expired":
            back = with_id(session["cancel_url"], session)
            return self._dead_end(410, "This payment page has expired", back)
        paid = session["payment_status"] == "paid"
        title = "You have already paid" if paid else "You are all done here"
        return self._dead_end(200, title, back)

    def _dead_end(self, status: int, title: str, back: str | None) -> Response:
        return self.pages.show("closed.html", status, title=title, back=back)


async def _read_form(request: Request) -> Form:
    body = (await request.body()).decode("utf-8", errors="replace")
    return dict(parse_qsl(body, keep_blank_values=True))


def _order(session: Document) -> Document:
    """Give what every page says about an order."""
    branding = session["branding_settings"] or {}
    return {
        "session": session,
        "merchant": branding.get("display_name") or MERCHANT,
        "items": session["_line_items"]["data"],
        "money": partial(money.display, currency=session["currency"]),
        "cancel_url": with_id(session["cancel_url"], session),
    }


def _bare_order(charge: Document) -> Document:
    """Give what a receipt says of a charge that no page was opened for."""
    return {
        "merchant": MERCHANT,
        "items": [
            {
                "description": charge["description"] or "Payment",
                "quantity": 1,
                "amount_total": charge["amount"],
            }
        ],
        "money": partial(money.display, currency=charge["currency"]),
    }


def _prefilled(session: Document) -> Form:
    """Give the fields of an untouched form."""
    payer = session["customer_details"] or {}
    fields = ("card_number", "card_expiry", "card_cvc", "card_name", "bank_account", "bank_name")
    first = session["payment_method_types"][0]
    return {
        **dict.fromkeys(fields, ""),
        "email": session["customer_email"] or payer.get("email") or "",
        "payment_method": "card" if first == "card" else "bank",
    }


def _means(charge: Document) -> str:
    """Say what was paid with, such as `Visa •••• 4242`."""
    kind = charge["payment_method_details"]["type"]
    details = charge["payment_method_details"][kind]
    name = {"amex": "American Express", "upi": "UPI"}.get(
        details.get("brand", kind), details.get("brand", kind).replace("_", " ").capitalize()
    )
    return f"{name} •••• {details['last4']}" if "last4" in details else f"{name} {details['vpa']}"


def with_id(url: str | None, session: Document) -> str | None:
    """Put the session's id where a merchant's URL asks for it."""
    return url and url.replace("{CHECKOUT_SESSION_ID}", session["id"])


def _to_merchant(session: Document) -> Response:
    return RedirectResponse(with_id(session["success_url"], session) or "", 303)
