"""Payment intents: tried, authorized, captured, canceled, whoever asks for it."""

from sandbox.gateways.server.state import Books, Document, public
from sandbox.gateways.stripe import payment_shapes as shapes
from sandbox.gateways.stripe.charges import Charges
from sandbox.gateways.stripe.events import Events

KIND = "payment_intent"
SETTLES_AFTER = 2.0  # seconds until a delayed payment is known
AUTHORIZED_FOR = 7 * 24 * 3600  # seconds until what was not captured is the payer's again


class Intents:
    def __init__(self, books: Books, events: Events, charges: Charges) -> None:
        self.books = books
        self.events = events
        self.charges = charges

    def open(self, intent: Document) -> None:
        self.books.insert(KIND, intent)
        self.events.emit("payment_intent.created", intent)

    def charge_card(self, intent: Document, method: Document, error: Document | None) -> bool:
        """Charge a card: at once it is known how it went. `settle` is called when it went well."""
        charge = self._new_charge(intent, method)
        if error:
            self.charges.fail(charge, error)
            self.fail(intent, error | {"charge": charge["id"]}, method)
            return False
        if intent["capture_method"] == "manual":
            self.charges.succeed(charge, captured=False)
            self._authorize(intent, method)
        else:
            self.charges.succeed(charge)
            self._succeed(intent, method, charge["amount"])
        return True

    def settle(self, intent: Document) -> None:
        """Enter what was captured into the books; nothing for what is only authorized."""
        charge = self.books.get("charge", intent["latest_charge"])
        if charge["captured"]:
            self.charges.book(charge)

    def begin_delayed(self, intent: Document, method: Document, error: Document | None) -> None:
        """Start a bank debit, of which it is known later how it went."""
        charge = self._new_charge(intent, method)
        charge["_error"] = error
        self.books.update("charge", charge)
        intent |= {
            "status": "processing",
            "payment_method": method["id"],
            "last_payment_error": None,
            "next_action": None,
        }
        self.books.update(KIND, intent)
        self.events.emit("charge.pending", charge)
        self.events.emit("payment_intent.processing", intent)
        self.books.set_timer("settle", intent["id"], self.books.store.exact_now() + SETTLES_AFTER)

    def finish_delayed(self, intent: Document) -> bool:
        """Say how a bank debit went. `settle` is called when it went well."""
        charge = self.books.get("charge", intent["latest_charge"])
        method = self.books.get("payment_method", intent["payment_method"])
        error = charge.pop("_error", None)
        if error:
            self.charges.fail(charge, error)
            self.fail(intent, error | {"charge": charge["id"]}, method)
            return False
        self.charges.succeed(charge)
        self._succeed(intent, method, charge["amount"])
        return True

    def _new_charge(self, intent: Document, method: Document) -> Document:
        charge = shapes.new_charge(intent, method, self.books.store.now())
        self.books.insert("charge", charge)
        intent["latest_charge"] = charge["id"]
        return charge

    def _authorize(self, intent: Document, method: Document) -> None:
        intent |= {
            "status": "requires_capture",
            "amount_capturable": intent["amount"],
            "payment_method": method["id"],
            "last_payment_error": None,
            "next_action": None,
        }
        self.books.update(KIND, intent)
        due = self.books.store.exact_now() + AUTHORIZED_FOR
        self.books.set_timer("authorization", intent["id"], due)
        self.events.emit("payment_intent.amount_capturable_updated", intent)

    def capture(self, intent: Document, amount: int) -> None:
        """Take what was authorized, or a part of it, and release the rest."""
        charge = self.books.get("charge", intent["latest_charge"])
        method = self.books.get("payment_method", intent["payment_method"])
        self.books.drop_timer("authorization", intent["id"])
        self.charges.capture(charge, amount)
        intent["amount_capturable"] = 0
        self._succeed(intent, method, amount)
        if intent["_session"]:
            session = self.books.get("checkout.session", intent["_session"])
            self.books.update("checkout.session", session | {"payment_status": "paid"})

    def _succeed(self, intent: Document, method: Document, amount: int) -> None:
        intent |= {
            "status": "succeeded",
            "amount_received": amount,
            "payment_method": method["id"],
            "last_payment_error": None,
            "next_action": None,
        }
        self.books.update(KIND, intent)
        self.events.emit("payment_intent.succeeded", intent)

    def fail(self, intent: Document, error: Document, method: Document) -> None:
        intent |= {
            "status": "requires_payment_method",
            "payment_method": None,
            "next_action": None,
            "last_payment_error": error | {"payment_method": public(method)},
        }
        self.books.update(KIND, intent)
        self.events.emit("payment_intent.payment_failed", intent)

    def cancel(self, intent: Document, reason: str | None, event: str = "charge.refunded") -> None:
        """End an intent unpaid, and release what it had reserved."""
        if intent["status"] == "requires_capture":
            self.books.drop_timer("authorization", intent["id"])
            self.charges.release(self.books.get("charge", intent["latest_charge"]), event)
        self.books.drop_timer("settle", intent["id"])
        intent |= {
            "status": "canceled",
            "amount_capturable": 0,
            "canceled_at": self.books.store.now(),
            "cancellation_reason": reason,
            "next_action": None,
        }
        self.books.update(KIND, intent)
        self.events.emit("payment_intent.canceled", intent)

    def lapse(self, identifier: str) -> None:
        """Let an authorization end that nobody captured; harmless for any other intent."""
        intent = self.books.get(KIND, identifier)
        if intent["status"] == "requires_capture":
            self.cancel(intent, "automatic", event="charge.expired")
