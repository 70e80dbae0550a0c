"""What happens when a payer pays: intents, attempts, charges, the books, and their events.

A session allows any number of failed tries and exactly one that succeeds. Each try names how
many went before it, so that a form sent twice is one try.
"""

from dataclasses import dataclass
from enum import StrEnum

from sandbox.gateways.server.state import Books, Document
from sandbox.gateways.stripe import payment_shapes as shapes
from sandbox.gateways.stripe.charges import Charges
from sandbox.gateways.stripe.customers import Customers
from sandbox.gateways.stripe.events import Events
from sandbox.gateways.stripe.methods import UNAUTHENTICATED, Decline
from sandbox.gateways.stripe.payer import Payer
from sandbox.gateways.stripe.session_shapes import payer_details
from sandbox.gateways.stripe.sessions import Sessions

SETTLES_AFTER = 2.0  # seconds until a delayed payment is known


class Outcome(StrEnum):
    DONE = "done"  # paid, or the delayed payment is on its way
    DECLINED = "declined"
    CHALLENGED = "challenged"
    REPEATED = "repeated"  # this try was already made; look at the session
    CLOSED = "closed"  # the session is not open any more


@dataclass(frozen=True, slots=True)
class Result:
    outcome: Outcome
    session: Document
    message: str | None = None


class Payments:
    def __init__(
        self, books: Books, events: Events, sessions: Sessions, customers: Customers
    ) -> None:
        self.books = books
        self.events = events
        self.sessions = sessions
        self.customers = customers
        self.charges = Charges(books, events, sessions.origin)

    def pay(self, identifier: str, payer: Payer | None, tried: int | None = None) -> Result:
        """Try to pay a session, at most once for each number of tries before it.

        The payer is None when there is nothing to pay.
        """
        with self.books.store.transaction():
            self.sessions.expire_if_due(identifier)
            session = self.books.get("checkout.session", identifier)
            if tried is not None and tried != session["_tries"]:
                return Result(Outcome.REPEATED, session, self.last_message(session))
            if session["status"] != "open":
                return Result(Outcome.CLOSED, session)
            session["_tries"] += 1
            if not session["amount_total"] or payer is None:
                return self._complete(session, "no_payment_required")
            return self._try(session, payer)

    def last_message(self, session: Document) -> str | None:
        """Give the reason why the last try failed, if it did."""
        if session["payment_intent"] is None:
            return None
        error = self.books.get("payment_intent", session["payment_intent"])["last_payment_error"]
        return error and str(error["message"])

    def _try(self, session: Document, payer: Payer) -> Result:
        now = self.books.store.now()
        intent = self._intent(session)
        session["customer_details"] = payer_details(payer.email, payer.name, payer.country)
        billing = shapes.billing_details(payer.email, payer.name, payer.country)
        method = shapes.new_method(payer.kind, payer.details, billing, now)
        self.books.insert("payment_method", method)
        if payer.challenged:
            return self._challenge(session, intent, method, payer.decline)
        return self._charge(session, intent, method, payer.decline)

    def _intent(self, session: Document) -> Document:
        """Find the session's intent, or make it at the first try."""
        if session["payment_intent"]:
            return self.books.get("payment_intent", session["payment_intent"])
        intent = shapes.new_intent(session, self.books.store.now())
        session["payment_intent"] = intent["id"]
        self.books.insert("payment_intent", intent)
        self.events.emit("payment_intent.created", intent)
        return intent

    def _challenge(
        self, session: Document, intent: Document, method: Document, decline: Decline | None
    ) -> Result:
        url = f"{session['url']}/challenge"
        intent |= {
            "status": "requires_action",
            "payment_method": method["id"],
            "next_action": {
                "type": "redirect_to_url",
                "redirect_to_url": {"url": url, "return_url": session["url"]},
            },
            "_decline": decline and decline.as_error(),
        }
        self._save(session, intent)
        self.events.emit("payment_intent.requires_action", intent)
        return Result(Outcome.CHALLENGED, session)

    def answer_challenge(self, identifier: str, *, passed: bool) -> Result:
        """Go on after the payer proved, or failed to prove, who they are."""
        with self.books.store.transaction():
            self.sessions.expire_if_due(identifier)
            session = self.books.get("checkout.session", identifier)
            if session["status"] != "open":
                return Result(Outcome.CLOSED, session)
            intent = self.awaited(session)
            if intent is None:
                return Result(Outcome.REPEATED, session, self.last_message(session))
            method = self.books.get("payment_method", intent["payment_method"])
            error = intent.pop("_decline", None)
            if not passed:
                return self._fail(session, intent, UNAUTHENTICATED.as_error(), method)
            return self._settle(session, intent, method, error)

    def awaited(self, session: Document) -> Document | None:
        """Give the intent that waits for the payer to prove who they are."""
        if not session["payment_intent"]:
            return None
        intent = self.books.get("payment_intent", session["payment_intent"])
        return intent if intent["status"] == "requires_action" else None

    def _charge(
        self, session: Document, intent: Document, method: Document, decline: Decline | None
    ) -> Result:
        error = decline.as_error() if decline else None
        if method["type"] != "card":
            return self._begin_delayed(session, intent, method, error)
        return self._settle(session, intent, method, error)

    def _settle(
        self, session: Document, intent: Document, method: Document, error: Document | None
    ) -> Result:
        """Charge a card: at once it is known how it went."""
        charge = shapes.new_charge(intent, method, self.books.store.now())
        self.books.insert("charge", charge)
        intent["latest_charge"] = charge["id"]
        if error:
            self.charges.fail(charge, error)
            return self._fail(session, intent, error | {"charge": charge["id"]}, method)
        self._keep_payer(session, intent, method)
        charge["customer"] = intent["customer"]
        self.charges.succeed(charge)
        self._succeed(intent, method)
        result = self._complete(session, "paid")
        self.charges.book(charge)
        return result

    def _begin_delayed(
        self, session: Document, intent: Document, method: Document, error: Document | None
    ) -> Result:
        """Start a bank debit: the session is complete, the money is not there yet."""
        self._keep_payer(session, intent, method)
        charge = shapes.new_charge(intent, method, self.books.store.now())
        charge["_error"] = error
        self.books.insert("charge", charge)
        intent |= {
            "status": "processing",
            "payment_method": method["id"],
            "latest_charge": charge["id"],
            "last_payment_error": None,
            "next_action": None,
        }
        self.books.update("payment_intent", intent)
        self.events.emit("charge.pending", charge)
        self.events.emit("payment_intent.processing", intent)
        self.books.set_timer("settle", session["id"], self.books.store.exact_now() + SETTLES_AFTER)
        return self._complete(session, "unpaid")

    def finish_delayed(self, identifier: str) -> None:
        """Say how a delayed payment went."""
        session = self.books.get("checkout.session", identifier)
        intent = self.books.get("payment_intent", session["payment_intent"])
        charge = self.books.get("charge", intent["latest_charge"])
        method = self.books.get("payment_method", intent["payment_method"])
        error = charge.pop("_error", None)
        if error:
            self.charges.fail(charge, error)
            self._fail(session, intent, error | {"charge": charge["id"]}, method)
            self.events.emit("checkout.session.async_payment_failed", session)
            return
        self.charges.succeed(charge)
        self._succeed(intent, method)
        session["payment_status"] = "paid"
        self.books.update("checkout.session", session)
        self.events.emit("checkout.session.async_payment_succeeded", session)
        self.charges.book(charge)

    def _succeed(self, intent: Document, method: Document) -> None:
        intent |= {
            "status": "succeeded",
            "amount_received": intent["amount"],
            "payment_method": method["id"],
            "last_payment_error": None,
            "next_action": None,
        }
        self.books.update("payment_intent", intent)
        self.events.emit("payment_intent.succeeded", intent)

    def _fail(
        self, session: Document, intent: Document, error: Document, method: Document
    ) -> Result:
        intent |= {
            "status": "requires_payment_method",
            "payment_method": None,
            "next_action": None,
            "last_payment_error": error | {"payment_method": method},
        }
        self._save(session, intent)
        self.events.emit("payment_intent.payment_failed", intent)
        return Result(Outcome.DECLINED, session, error["message"])

    def _complete(self, session: Document, status: str) -> Result:
        session |= {"status": "complete", "payment_status": status, "url": None}
        session["_paid_by_try"] = session["_tries"]
        self.books.update("checkout.session", session)
        self.books.drop_timer("expire", session["id"])
        self.events.emit("checkout.session.completed", session)
        return Result(Outcome.DONE, session)

    def _keep_payer(self, session: Document, intent: Document, method: Document) -> None:
        """Make or complete the customer, and attach a method that is to be used again."""
        payer = session["customer_details"]
        if session["customer"]:
            customer = self.books.get("customer", session["customer"])
            if customer["email"] is None:
                self.customers.change(customer, {"email": payer["email"]})
        elif session["customer_creation"] == "always":
            customer = self.customers.create({"email": payer["email"], "name": payer["name"]})
            session["customer"] = customer["id"]
        intent["customer"] = session["customer"]
        if intent["setup_future_usage"]:
            method["customer"] = session["customer"]
            self.books.update("payment_method", method)
            self.events.emit("payment_method.attached", method)

    def _save(self, session: Document, intent: Document) -> None:
        self.books.update("checkout.session", session)
        self.books.update("payment_intent", intent)
