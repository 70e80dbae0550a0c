"""Control calls of this simulator, below `/_sandbox/stripe`: paying without the page."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.server.control import read_object
from sandbox.gateways.server.state import Books, public
from sandbox.gateways.stripe.endpoints import Endpoints
from sandbox.gateways.stripe.methods import BANKS
from sandbox.gateways.stripe.payer import Payer, bank_payer, card_payer
from sandbox.gateways.stripe.payments import Outcome, Payments, Result

EXPIRY = (12, 2099)
EMAIL = "payer@example.com"
DAY = 24 * 3600


class Control:
    def __init__(self, books: Books, payments: Payments, endpoints: Endpoints) -> None:
        self.books = books
        self.payments = payments
        self.endpoints = endpoints

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/sessions/{id}/pay", self.pay, methods=["POST"]),
            Route("/webhook_endpoints/{id}/roll", self.roll, methods=["POST"]),
        ]

    async def pay(self, request: Request) -> Response:
        """Pay a session: `card` is a number, or `bank` true or an account number.

        A 3-D Secure challenge is passed, unless `challenge` is `fail`.
        """
        order = await read_object(request)
        session = self.books.find("checkout.session", request.path_params["id"])
        if session is None:
            return JSONResponse({"error": "no such session"}, 404)
        payer = _payer(order, session["currency"], session["customer_email"] or EMAIL)
        if payer is None:
            return JSONResponse({"error": "this currency has no delayed method"}, 400)
        result = self.payments.pay(session["id"], payer)
        if result.outcome is Outcome.CHALLENGED:
            passed = order.get("challenge") != "fail"
            result = self.payments.answer_challenge(session["id"], passed=passed)
        return _told(result)

    async def roll(self, request: Request) -> Response:
        """Give an endpoint a new secret; the old one also signs for `keep_old_seconds`."""
        order = await read_object(request)
        if self.books.find("webhook_endpoint", request.path_params["id"]) is None:
            return JSONResponse({"error": "no such endpoint"}, 404)
        keep = order.get("keep_old_seconds", DAY)
        if isinstance(keep, bool) or not isinstance(keep, int):
            return JSONResponse({"error": "keep_old_seconds must be a whole number"}, 400)
        with self.books.store.transaction():
            secret = self.endpoints.roll(request.path_params["id"], keep)
        return JSONResponse({"secret": secret})


def _payer(order: dict[str, object], currency: str, email: str) -> Payer | None:
    email = str(order.get("email", email))
    name = str(order.get("name", "Test Payer"))
    chosen = order.get("bank")
    if not chosen:
        number = str(order.get("card", "4242424242424242")).replace(" ", "")
        return card_payer(number, EXPIRY, email=email, name=name)
    bank = BANKS.get(currency)
    if bank is None:
        return None
    account = bank.good if chosen is True else str(chosen)
    return bank_payer(bank, account, email=email, name=name)


def _told(result: Result) -> Response:
    status = {Outcome.DONE: 200, Outcome.DECLINED: 402}.get(result.outcome, 409)
    body = {
        "outcome": result.outcome,
        "message": result.message,
        "session": public(result.session),
    }
    return JSONResponse(body, status)
