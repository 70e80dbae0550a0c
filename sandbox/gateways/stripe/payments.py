"""What happens when a payer pays, or saves a method, on a page.

A session allows any number of failed tries and exactly one that succeeds. Each try names how
many went before it, so that a form sent twice is one try.
"""

from dataclasses import dataclass
from enum import StrEnum

from sandbox.gateways.server.state import Books, Document, Slice
from sandbox.gateways.stripe import payment_shapes as shapes
from sandbox.gateways.stripe.customers import Customers
from sandbox.gateways.stripe.events import Events
from sandbox.gateways.stripe.intents import Intents
from sandbox.gateways.stripe.methods import UNAUTHENTICATED, UNAUTHENTICATED_SETUP, Decline
from sandbox.gateways.stripe.payer import Payer
from sandbox.gateways.stripe.session_shapes import payer_details
from sandbox.gateways.stripe.sessions import Sessions


class Outcome(StrEnum):
    DONE = "done"  # paid, saved, or the delayed payment is on its way
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
        self, events: Events, sessions: Sessions, intents: Intents, customers: Customers
    ) -> None:
        self.books: Books = sessions.books
        self.events = events
        self.sessions = sessions
        self.setups = sessions.setups
        self.intents = intents
        self.customers = customers

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
            if payer is None or not wants_payer(session):
                return self._complete(session, "no_payment_required")
            return self._try(session, payer)

    def last_message(self, session: Document) -> str | None:
        """Give the reason why the last try failed, if it did."""
        intent = self._intent_of(session)
        if intent is None:
            return None
        error = intent.get("last_payment_error") or intent.get("last_setup_error")
        return error and str(error["message"])

    def awaited(self, session: Document) -> Document | None:
        """Give the intent that waits for the payer to prove who they are."""
        intent = self._intent_of(session)
        return intent if intent and intent["status"] == "requires_action" else None

    def _intent_of(self, session: Document) -> Document | None:
        kind = "setup_intent" if session["mode"] == "setup" else "payment_intent"
        return self.books.get(kind, session[kind]) if session[kind] else None

    def _try(self, session: Document, payer: Payer) -> Result:
        intent = self._intent_of(session) or self._open_intent(session)
        session["customer_details"] = payer_details(payer.email, payer.name, payer.country)
        method = payer.saved or payer.as_method(self.books.store.now())
        if not payer.saved:
            self.books.insert("payment_method", method)
        decline = payer.at_setup if session["mode"] == "setup" else payer.decline
        if payer.challenged:
            return self._challenge(session, intent, method, decline)
        return self._go_on(session, intent, method, decline.as_error() if decline else None)

    def _open_intent(self, session: Document) -> Document:
        """Make the session's payment intent, at the first try."""
        given = session["_intent_data"] | {"customer": session["customer"]}
        intent = shapes.new_intent(
            session["amount_total"],
            session["currency"],
            session["payment_method_types"],
            given,
            self.books.store.now(),
        )
        intent["_session"] = session["id"]
        session["payment_intent"] = intent["id"]
        self.intents.open(intent)
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
        self.books.update("checkout.session", session)
        self.books.update(intent["object"], intent)
        self.events.emit(f"{intent['object']}.requires_action", intent)
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
            if passed:
                return self._go_on(session, intent, method, error)
            failed = UNAUTHENTICATED_SETUP if session["mode"] == "setup" else UNAUTHENTICATED
            return self._fail(session, intent, failed.as_error(), method)

    def _go_on(
        self, session: Document, intent: Document, method: Document, error: Document | None
    ) -> Result:
        """Charge or save the method, now that nothing stands between."""
        if session["mode"] == "setup":
            return self._save(session, intent, method, error)
        if method["type"] != "card":
            self._keep_payer(session, intent, method)
            self.intents.begin_delayed(intent, method, error)
            return self._complete(session, "unpaid")
        if not error:
            self._keep_payer(session, intent, method)
        if not self.intents.charge_card(intent, method, error):
            return self._declined(session, intent["last_payment_error"])
        manual = intent["capture_method"] == "manual"
        result = self._complete(session, "unpaid" if manual else "paid")
        self.intents.settle(intent)
        return result

    def _save(
        self, session: Document, intent: Document, method: Document, error: Document | None
    ) -> Result:
        if error:
            return self._fail(session, intent, error, method)
        self._keep_payer(session, intent, method)
        self.setups.succeed(intent, method)
        return self._complete(session, "no_payment_required")

    def _fail(
        self, session: Document, intent: Document, error: Document, method: Document
    ) -> Result:
        (self.setups if session["mode"] == "setup" else self.intents).fail(intent, error, method)
        return self._declined(session, error)

    def _declined(self, session: Document, error: Document) -> Result:
        self.books.update("checkout.session", session)
        return Result(Outcome.DECLINED, session, error["message"])

    def finish_delayed(self, identifier: str) -> None:
        """Say how a delayed payment went, on its page too when it has one."""
        intent = self.books.get("payment_intent", identifier)
        good = self.intents.finish_delayed(intent)
        if intent["_session"]:
            session = self.books.get("checkout.session", intent["_session"])
            self._tell_page(session, "paid" if good else "unpaid", good=good)
        if good:
            self.intents.settle(intent)

    def _tell_page(self, session: Document, status: str, *, good: bool) -> None:
        session["payment_status"] = status
        self.books.update("checkout.session", session)
        word = "succeeded" if good else "failed"
        self.events.emit(f"checkout.session.async_payment_{word}", session)

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
        is_new = method["customer"] is None
        if intent.get("setup_future_usage") or (is_new and method["allow_redisplay"] == "always"):
            method["customer"] = session["customer"]
            self.books.update("payment_method", method)
            self.events.emit("payment_method.attached", method)


def wants_payer(session: Document) -> bool:
    """Tell whether somebody has to give a method: not for an order that costs nothing."""
    return bool(session["mode"] == "setup" or session["amount_total"])


def newest_of_intent(books: Books, intent: str) -> Document | None:
    """Find the page of an intent; a charge of a saved method has none."""
    found = books.page("checkout.session", Slice(limit=1, equals={"payment_intent": intent}))[0]
    return found[0] if found else None
