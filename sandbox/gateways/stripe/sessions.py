"""Checkout Sessions: opened by the merchant, complete when paid, expired when not in time."""

from typing import Any

from stripe.params.checkout._session_create_params import SessionCreateParams
from stripe.params.checkout._session_list_params import SessionListParams

from sandbox.gateways.server.state import Books, Document
from sandbox.gateways.stripe import line_items
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.errors import RefusalError, no_such_given, not_simulated
from sandbox.gateways.stripe.events import Events
from sandbox.gateways.stripe.intents import Intents
from sandbox.gateways.stripe.objects import fetch, new_id, show, show_list
from sandbox.gateways.stripe.session_checks import check_params, offered
from sandbox.gateways.stripe.session_shapes import new_session
from sandbox.gateways.stripe.setups import Setups

KIND = "checkout.session"
BASE = "/v1/checkout/sessions"


class Sessions:
    def __init__(self, events: Events, intents: Intents, setups: Setups, origin: str) -> None:
        self.books: Books = intents.books
        self.events = events
        self.intents = intents
        self.setups = setups
        self.origin = origin

    def operations(self) -> list[Operation]:
        one, name = BASE + "/{id}", "checkout.sessions"
        return [
            Operation("POST", BASE, f"{name}.create", self._create, SessionCreateParams),
            Operation("GET", BASE, f"{name}.list", self._list, SessionListParams),
            Operation("GET", one, f"{name}.retrieve", self._retrieve),
            Operation("POST", f"{one}/expire", f"{name}.expire", self._expire),
            Operation("GET", f"{one}/line_items", f"{name}.list_line_items", self._line_items),
        ]

    def _create(self, call: Call) -> Document:
        params, now = call.params, self.books.store.now()
        check_params(params, now)
        customer = params.get("customer")
        if customer and self.books.find("customer", customer) is None:
            raise no_such_given("customer", customer, "customer")
        identifier = new_id("cs_test_a1", 56).replace("a1_", "a1", 1)
        items = self._items(identifier, params, now)
        currency = items["data"][0]["currency"] if items else params["currency"]
        session = new_session(identifier, params, items, offered(params, currency), now)
        session["url"] = f"{self.origin}/stripe/c/pay/{identifier}"
        if session["mode"] == "setup":
            given = params.get("setup_intent_data", {})
            session["setup_intent"] = self.setups.open(session, given)["id"]
        self.books.insert(KIND, session)
        self.books.set_timer("expire", identifier, session["expires_at"])
        return show(self.books, session, params)

    def _items(self, identifier: str, params: dict[str, Any], now: int) -> Document | None:
        if params.get("mode") == "setup":
            return None
        items = line_items.build(identifier, params.get("line_items", []), now)
        line_items.check_total(line_items.total(items), items["data"][0]["currency"])
        return items

    def _retrieve(self, call: Call) -> Document:
        return show(self.books, fetch(self.books, KIND, call.path["id"], "session"), call.params)

    def _list(self, call: Call) -> Document:
        params = call.params
        for name in ("customer_account", "payment_link", "subscription"):
            if name in params:
                raise not_simulated(f"filtering by `{name}`", name)
        filters = {name: params.get(name) for name in ("payment_intent", "status", "customer")}
        if "customer_details" in params:
            filters["customer_details.email"] = params["customer_details"]["email"]
        return show_list(self.books, KIND, BASE, params, **filters)

    def _line_items(self, call: Call) -> Document:
        session = fetch(self.books, KIND, call.path["id"], "session")
        items: Document = session["_line_items"]
        return items

    def _expire(self, call: Call) -> Document:
        session = fetch(self.books, KIND, call.path["id"], "session")
        if session["status"] != "open":
            raise RefusalError(
                'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout'
                f" Session has a status of `{session['status']}`."
            )
        self.expire(session)
        return show(self.books, session, call.params)

    def expire(self, session: Document) -> None:
        """Close an open session unpaid, and cancel its payment intent if it has one."""
        session |= {"status": "expired", "url": None}
        self.books.update(KIND, session)
        self.books.drop_timer("expire", session["id"])
        if session["payment_intent"]:
            intent = self.books.get("payment_intent", session["payment_intent"])
            self.intents.cancel(intent, "expired")
        if session["setup_intent"]:
            self.setups.cancel(self.books.get("setup_intent", session["setup_intent"]))
        self.events.emit("checkout.session.expired", session)

    def expire_if_due(self, identifier: str) -> None:
        """Expire a session whose time has come; harmless for any other."""
        session = self.books.get(KIND, identifier)
        if session["status"] == "open" and session["expires_at"] <= self.books.store.now():
            self.expire(session)
