"""Checkout Sessions: opened by the merchant, complete when paid, expired when not in time."""

from typing import Any
from urllib.parse import urlsplit

from stripe.params.checkout._session_create_params import SessionCreateParams
from stripe.params.checkout._session_list_params import SessionListParams

from sandbox.gateways.server.state import Books, Document
from sandbox.gateways.stripe import line_items
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.customers import check_email
from sandbox.gateways.stripe.errors import (
    RefusalError,
    invalid,
    missing,
    no_such_given,
    not_simulated,
)
from sandbox.gateways.stripe.events import Events
from sandbox.gateways.stripe.methods import BANKS
from sandbox.gateways.stripe.objects import fetch, new_id, show, show_list
from sandbox.gateways.stripe.session_shapes import new_session

KIND = "checkout.session"
BASE = "/v1/checkout/sessions"
SHORTEST, LONGEST = 30 * 60, 24 * 3600

# What has an effect here. Everything else that Stripe knows is refused, not ignored.
SIMULATED = frozenset(
    {
        *("mode", "line_items", "success_url", "cancel_url", "client_reference_id", "currency"),
        *("customer", "customer_email", "customer_creation", "metadata", "payment_intent_data"),
        *("expires_at", "expand", "ui_mode", "submit_type", "locale", "origin_context"),
        *("allowed_payment_method_types", "excluded_payment_method_types", "branding_settings"),
        *("billing_address_collection", "integration_identifier", "allow_promotion_codes"),
    }
)
# Settings that are off by default and may be said to be off.
MAY_BE_OFF = frozenset(
    {
        *("automatic_tax", "invoice_creation", "adaptive_pricing", "managed_payments"),
        *("phone_number_collection", "tax_id_collection"),
    }
)
SIMULATED_INTENT_DATA = frozenset(
    {
        *("metadata", "description", "receipt_email", "setup_future_usage", "capture_method"),
        *("statement_descriptor", "statement_descriptor_suffix", "transfer_group", "shipping"),
    }
)


class Sessions:
    def __init__(self, books: Books, events: Events, origin: str) -> None:
        self.books = books
        self.events = events
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
        _check_params(params, now)
        identifier = new_id("cs_test_a1", 56).replace("a1_", "a1", 1)
        items = line_items.build(identifier, params.get("line_items", []), now)
        currency = items["data"][0]["currency"]
        line_items.check_total(line_items.total(items), currency)
        customer = params.get("customer")
        if customer and self.books.find("customer", customer) is None:
            raise no_such_given("customer", customer, "customer")
        methods = _methods(params, currency)
        session = new_session(identifier, params, items, methods, now)
        session["url"] = f"{self.origin}/stripe/c/pay/{identifier}"
        self.books.insert(KIND, session)
        self.books.set_timer("expire", identifier, session["expires_at"])
        return show(self.books, session, params)

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
            self._cancel(self.books.get("payment_intent", session["payment_intent"]))
        self.events.emit("checkout.session.expired", session)

    def expire_if_due(self, identifier: str) -> None:
        """Expire a session whose time has come; harmless for any other."""
        session = self.books.get(KIND, identifier)
        if session["status"] == "open" and session["expires_at"] <= self.books.store.now():
            self.expire(session)

    def _cancel(self, intent: Document) -> None:
        intent |= {
            "status": "canceled",
            "canceled_at": self.books.store.now(),
            "cancellation_reason": "expired",
            "next_action": None,
        }
        self.books.update("payment_intent", intent)
        self.events.emit("payment_intent.canceled", intent)


def _check_params(params: dict[str, Any], now: int) -> None:
    _check_simulated(params)
    if "success_url" not in params:
        raise missing("success_url")
    for name in ("success_url", "cancel_url"):
        if name in params:
            _check_url(params[name], name)
    if "customer" in params and "customer_email" in params:
        raise RefusalError(
            "You may only specify one of these parameters: customer, customer_email."
        )
    if "customer" in params and "customer_creation" in params:
        raise RefusalError(
            "You may only specify one of these parameters: customer, customer_creation."
        )
    if "customer_email" in params:
        check_email(params["customer_email"], "customer_email")
    if len(params.get("client_reference_id", "")) > 200:
        raise invalid("Invalid string: must be at most 200 characters", "client_reference_id")
    _check_expiry(params.get("expires_at"), now)


def _check_simulated(params: dict[str, Any]) -> None:
    mode = params.get("mode", "payment")
    if mode != "payment":
        raise not_simulated(f"Checkout Sessions in `{mode}` mode", "mode")
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise not_simulated(f"`ui_mode` {params['ui_mode']}", "ui_mode")
    if params.get("allow_promotion_codes"):
        raise not_simulated("promotion codes", "allow_promotion_codes")
    for name, value in params.items():
        off = name in MAY_BE_OFF and not value.get("enabled")
        if name not in SIMULATED and not off:
            raise not_simulated(f"`{name}`", name)
    _check_intent_data(params.get("payment_intent_data", {}))


def _check_intent_data(intent: dict[str, Any]) -> None:
    for name in intent:
        if name not in SIMULATED_INTENT_DATA:
            raise not_simulated(f"`{name}`", f"payment_intent_data[{name}]")
    if intent.get("capture_method") == "manual":
        raise not_simulated("manual capture", "payment_intent_data[capture_method]")


def _check_url(url: str, name: str) -> None:
    try:
        parts = urlsplit(url.replace("{CHECKOUT_SESSION_ID}", "cs"))
    except ValueError:
        raise invalid("Not a valid URL", name, "url_invalid") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or " " in url:
        raise invalid("Not a valid URL", name, "url_invalid")


def _check_expiry(expires_at: int | None, now: int) -> None:
    if expires_at is None:
        return
    if expires_at < now + SHORTEST:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session"
            " creation.",
            "expires_at",
        )
    if expires_at > now + LONGEST:
        raise invalid(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            "expires_at",
        )


def _methods(params: dict[str, Any], currency: str) -> list[str]:
    """Compute the payment methods on offer: cards, and the delayed method of the currency."""
    offered = ["card", *([BANKS[currency].type] if currency in BANKS else [])]
    allowed = params.get("allowed_payment_method_types", offered)
    excluded = params.get("excluded_payment_method_types", [])
    left = [method for method in offered if method in allowed and method not in excluded]
    if not left:
        raise invalid(
            f"No payment methods are available for {currency} with these filters.",
            "allowed_payment_method_types",
        )
    return left
