"""Control calls of this simulator, below `/_sandbox/stripe`: what payers and their banks do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.server.control import read_object
from sandbox.gateways.server.state import Document, public
from sandbox.gateways.stripe.disputes import OPEN
from sandbox.gateways.stripe.errors import RefusalError
from sandbox.gateways.stripe.methods import BANKS
from sandbox.gateways.stripe.payer import Payer, bank_payer, card_payer
from sandbox.gateways.stripe.payments import Outcome, Result, wants_payer

if TYPE_CHECKING:
    from sandbox.gateways.stripe import Simulator

EXPIRY = (12, 2099)
EMAIL = "payer@example.com"
GOOD_CARD = "4242424242424242"
DAY = 24 * 3600
REFUNDS = {"succeeded", "failed", "pending", "pending_then_failed"}
DECISIONS = {"won", "lost", "under_review"}
MOST_CUSTOMERS = 10_000


class Control:
    def __init__(self, simulator: Simulator) -> None:
        self.stripe = simulator
        self.books = simulator.books

    def routes(self) -> list[BaseRoute]:
        paths = {
            "/sessions/{id}/pay": self.pay,
            "/webhook_endpoints/{id}/roll": self.roll,
            "/customers": self.make_customers,
            "/payment_methods/{id}": self.change_method,
            "/refunds/{id}/decide": self.decide_refund,
            "/charges/{id}/dispute": self.dispute,
            "/charges/{id}/refund": self.refund,
            "/charges/{id}/refunds": self.steer_refunds,
            "/payouts": self.pay_out,
            "/payouts/{id}/fail": self.fail_payout,
            "/disputes/{id}/decide": self.decide_dispute,
        }
        return [Route(path, call, methods=["POST"]) for path, call in paths.items()]

    async def pay(self, request: Request) -> Response:
        """Pay a session: `card` is a number, or `bank` true or an account number.

        A 3-D Secure challenge is passed, unless `challenge` is `fail`.
        """
        order = await read_object(request)
        session = self.books.find("checkout.session", request.path_params["id"])
        if session is None:
            return _refuse("no such session", 404)
        payer = _payer(order, session["currency"], session["customer_email"] or EMAIL)
        if payer is None:
            return _refuse("this currency has no delayed method")
        payments = self.stripe.payments
        result = payments.pay(session["id"], payer if wants_payer(session) else None)
        if result.outcome is Outcome.CHALLENGED:
            passed = order.get("challenge") != "fail"
            result = payments.answer_challenge(session["id"], passed=passed)
        return _told(result)

    async def roll(self, request: Request) -> Response:
        """Give an endpoint a new secret; the old one also signs for `keep_old_seconds`."""
        order = await read_object(request)
        if self.books.find("webhook_endpoint", request.path_params["id"]) is None:
            return _refuse("no such endpoint", 404)
        keep = order.get("keep_old_seconds", DAY)
        if isinstance(keep, bool) or not isinstance(keep, int):
            return _refuse("keep_old_seconds must be a whole number")
        with self.books.store.transaction():
            secret = self.stripe.endpoints.roll(request.path_params["id"], keep)
        return JSONResponse({"secret": secret})

    async def make_customers(self, request: Request) -> Response:
        """Make customers (`count`, else one) with a saved `card`, or `bank` of a `currency`.

        Any test card will do, even one that a page would not save.
        """
        order = await read_object(request)
        payer = _payer(order, str(order.get("currency", "usd")), EMAIL)
        count = order.get("count", 1)
        if payer is None or type(count) is not int or not 1 <= count <= MOST_CUSTOMERS:
            return _refuse(f"give a known currency, and a count up to {MOST_CUSTOMERS}")
        with self.books.store.transaction():
            made = [self._customer(payer) for _ in range(count)]
        return JSONResponse({"customers": made}, 201)

    def _customer(self, payer: Payer) -> dict[str, str]:
        customer = self.stripe.customers.create({"email": payer.email, "name": payer.name})
        method = self.stripe.methods.save(customer["id"], payer)
        return {"customer": customer["id"], "payment_method": method["id"]}

    async def change_method(self, request: Request) -> Response:
        """Have a saved method behave as another test `card` from now on: a bank's new mood."""
        order = await read_object(request)
        method = self.books.find("payment_method", request.path_params["id"])
        if method is None:
            return _refuse("no such payment method", 404)
        with self.books.store.transaction():
            self.stripe.methods.behave(method, _digits(order.get("card", GOOD_CARD)))
        return JSONResponse(public(method))

    async def decide_refund(self, request: Request) -> Response:
        """End a refund: `outcome` is `succeeded` or `failed`, the latter with a `reason`."""
        order = await read_object(request)
        refund = self.books.find("refund", request.path_params["id"])
        if refund is None:
            return _refuse("no such refund", 404)
        allowed = {"pending": {"succeeded", "failed"}, "succeeded": {"failed"}}
        outcome = order.get("outcome")
        if outcome not in allowed.get(refund["status"], set()):
            return _refuse(f"a refund that is {refund['status']} cannot become {outcome}", 409)
        with self.books.store.transaction():
            self.books.drop_timer("refund", refund["id"])
            if outcome == "succeeded":
                self.stripe.refunds.succeed(refund)
            else:
                self.stripe.refunds.fail(refund, str(order.get("reason", "unknown")))
        return JSONResponse(public(refund))

    async def dispute(self, request: Request) -> Response:
        """Dispute a charge, named by its id or its intent's, for a `reason`."""
        order = await read_object(request)
        charge = self._charge(request.path_params["id"])
        if charge is None or not charge["captured"]:
            return _refuse("no such captured charge", 404)
        if charge["disputed"] or charge["refunded"]:
            return _refuse("there is nothing to dispute", 409)
        with self.books.store.transaction():
            found = self.stripe.disputes.open(charge, str(order.get("reason", "fraudulent")))
        return JSONResponse(public(found), 201)

    async def refund(self, request: Request) -> Response:
        """Refund in Stripe's dashboard, past the merchant's service: an `amount`, or all."""
        order = await read_object(request)
        charge = self._charge(request.path_params["id"])
        if charge is None:
            return _refuse("no such charge", 404)
        try:
            with self.books.store.transaction():
                found = self.stripe.refunds.make(charge, order.get("amount"))
        except RefusalError as refusal:
            return _refuse(str(refusal), 409)
        return JSONResponse(public(found), 201)

    async def steer_refunds(self, request: Request) -> Response:
        """Say what becomes of a charge's refunds from now on, whatever its card: an `outcome`.

        `succeeded`; `failed` two seconds later; `pending`, and succeeded, or failed, two seconds
        later.
        """
        outcome = (await read_object(request)).get("outcome")
        charge = self._charge(request.path_params["id"])
        if charge is None:
            return _refuse("no such charge", 404)
        if outcome not in REFUNDS:
            return _refuse(f"outcome must be one of {', '.join(sorted(REFUNDS))}")
        with self.books.store.transaction():
            self.books.update("charge", charge | {"_refunds": outcome})
        return JSONResponse(public(charge))

    async def pay_out(self, request: Request) -> Response:
        """Pay out, now, all that was not paid out yet, of each currency that has something.

        With `debit` also what is below nothing, as Stripe does where it may debit the bank.
        """
        order = await read_object(request)
        with self.books.store.transaction():
            made = self.stripe.payouts.pay_out(debit=order.get("debit") is True)
        return JSONResponse({"payouts": [public(one) for one in made]}, 201)

    async def fail_payout(self, request: Request) -> Response:
        """Have the bank send a payout back, even days after it was paid."""
        payout = self.books.find("payout", request.path_params["id"])
        if payout is None or payout["status"] != "paid":
            return _refuse("no such paid payout", 404)
        with self.books.store.transaction():
            self.stripe.payouts.fail(payout)
        return JSONResponse(public(payout))

    def _charge(self, identifier: str) -> Document | None:
        intent = self.books.find("payment_intent", identifier)
        return self.books.find("charge", intent["latest_charge"] if intent else identifier)

    async def decide_dispute(self, request: Request) -> Response:
        """Go on with a dispute: `outcome` is `won`, `lost` or `under_review`."""
        order = await read_object(request)
        dispute = self.books.find("dispute", request.path_params["id"])
        if dispute is None:
            return _refuse("no such dispute", 404)
        outcome = order.get("outcome")
        if outcome not in DECISIONS:
            return _refuse(f"outcome must be one of {', '.join(sorted(DECISIONS))}")
        if dispute["status"] not in OPEN:
            return _refuse(f"this dispute is {dispute['status']}", 409)
        with self.books.store.transaction():
            if outcome == "under_review":
                self.stripe.disputes.review(dispute)
            else:
                self.stripe.disputes.decide(dispute, outcome)
        return JSONResponse(public(dispute))


def _payer(order: dict[str, object], currency: str, email: str) -> Payer | None:
    email = str(order.get("email", email))
    name = str(order.get("name", "Test Payer"))
    chosen = order.get("bank")
    if not chosen:
        number = _digits(order.get("card", GOOD_CARD))
        return card_payer(number, EXPIRY, email=email, name=name)
    bank = BANKS.get(currency)
    if bank is None:
        return None
    account = bank.good if chosen is True else str(chosen)
    return bank_payer(bank, account, email=email, name=name)


def _digits(card: object) -> str:
    return str(card).replace(" ", "")


def _refuse(why: str, status: int = 400) -> Response:
    return JSONResponse({"error": why}, status)


def _told(result: Result) -> Response:
    status = {Outcome.DONE: 200, Outcome.DECLINED: 402}.get(result.outcome, 409)
    body = {
        "outcome": result.outcome,
        "message": result.message,
        "session": public(result.session),
    }
    return JSONResponse(body, status)
