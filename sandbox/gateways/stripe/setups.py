"""Setup intents: saving a payment method for charges to come, on a page of its own."""

from typing import Any

from stripe.params._setup_intent_list_params import SetupIntentListParams

from sandbox.gateways.server.state import Books, Document, public
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.errors import not_simulated
from sandbox.gateways.stripe.events import Events
from sandbox.gateways.stripe.objects import fetch, new_id, show, show_list

KIND = "setup_intent"
BASE = "/v1/setup_intents"
EMPTY = (
    *("application", "automatic_payment_methods", "cancellation_reason", "customer_account"),
    *("excluded_payment_method_types", "flow_directions", "last_setup_error", "latest_attempt"),
    *("mandate", "next_action", "on_behalf_of", "payment_method"),
    *("payment_method_configuration_details", "single_use_mandate"),
)


class Setups:
    def __init__(self, books: Books, events: Events) -> None:
        self.books = books
        self.events = events

    def open(self, session: Document, given: dict[str, Any]) -> Document:
        """Make the intent of a page in setup mode, as soon as there is a page."""
        identifier = new_id("seti_1", 23).replace("1_", "1", 1)
        intent: Document = {
            **dict.fromkeys(EMPTY),
            "id": identifier,
            "object": KIND,
            "client_secret": f"{identifier}_secret_{new_id('', 25)[1:]}",
            "created": self.books.store.now(),
            "customer": session["customer"],
            "description": given.get("description"),
            "livemode": False,
            "metadata": given.get("metadata", {}),
            "payment_method_options": {},
            "payment_method_types": session["payment_method_types"],
            "status": "requires_payment_method",
            "usage": "off_session",
        }
        self.books.insert(KIND, intent)
        self.events.emit("setup_intent.created", intent)
        return intent

    def succeed(self, intent: Document, method: Document) -> None:
        """Attach the method to the intent's customer: from now on it may be charged."""
        method["customer"] = intent["customer"]
        self.books.update("payment_method", method)
        self.events.emit("payment_method.attached", method)
        intent |= {
            "status": "succeeded",
            "payment_method": method["id"],
            "latest_attempt": new_id("setatt_1"),
            "last_setup_error": None,
            "next_action": None,
        }
        self.books.update(KIND, intent)
        self.events.emit("setup_intent.succeeded", intent)

    def fail(self, intent: Document, error: Document, method: Document) -> None:
        intent |= {
            "status": "requires_payment_method",
            "payment_method": None,
            "latest_attempt": new_id("setatt_1"),
            "last_setup_error": error | {"payment_method": public(method)},
            "next_action": None,
        }
        self.books.update(KIND, intent)
        self.events.emit("setup_intent.setup_failed", intent)

    def cancel(self, intent: Document) -> None:
        intent |= {
            "status": "canceled",
            "cancellation_reason": "abandoned",
            "next_action": None,
        }
        self.books.update(KIND, intent)
        self.events.emit("setup_intent.canceled", intent)

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", f"{BASE}/{{id}}", "setup_intents.retrieve", self._retrieve),
            Operation("GET", BASE, "setup_intents.list", self._list, SetupIntentListParams),
        ]

    def _retrieve(self, call: Call) -> Document:
        found = fetch(self.books, KIND, call.path["id"], "intent")
        return show(self.books, found, call.params)

    def _list(self, call: Call) -> Document:
        for name in ("attach_to_self", "customer_account"):
            if name in call.params:
                raise not_simulated(f"filtering by `{name}`", name)
        filters = {name: call.params.get(name) for name in ("customer", "payment_method")}
        return show_list(self.books, KIND, BASE, call.params, **filters)
