"""Orders: opened once under the merchant's id, paid at most as often as payers manage, closed."""

import re
from collections.abc import Callable, Mapping
from secrets import randbelow, token_urlsafe
from typing import Any

from sandbox.gateways.cashfree import errors, times
from sandbox.gateways.cashfree.calls import Call, Operation
from sandbox.gateways.cashfree.errors import RefusalError, invalid, missing, not_simulated
from sandbox.gateways.cashfree.rupees import paise
from sandbox.gateways.cashfree.shapes import order_entity
from sandbox.gateways.server.state import Books, Document, Slice

EXPIRY_SECONDS_MIN, EXPIRY_SECONDS_MAX = 15 * times.MINUTE, 30 * times.DAY
AMOUNT_MIN, AMOUNT_MAX = 100, 10**12
HOLD_NOTE = "preauth_transaction"
OPEN = {"ACTIVE", "TERMINATION_REQUESTED"}

KNOWN = {
    "": {"order_id", "order_amount", "order_currency", "customer_details", "order_meta"}
    | {"order_expiry_time", "order_note", "order_tags"},
    "customer_details": {"customer_id", "customer_phone", "customer_email", "customer_name"},
    "order_meta": {"return_url", "payment_methods"},
}
OFFERS = {"cc", "dc", "ccc", "ppc", "nb", "upi", "paypal", "app", "paylater", "cardlessemi"}
OFFERS |= {"dcemi", "ccemi", "banktransfer"}

Check = Callable[[Any], bool]


def _matches(pattern: str) -> Check:
    whole = re.compile(pattern)
    return lambda value: isinstance(value, str) and bool(whole.fullmatch(value))


def _offers(value: object) -> bool:
    return isinstance(value, str) and set(value.split(",")) <= OFFERS


def _tags(value: object) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= 10
        and all(isinstance(one, str) for one in value.values())
    )


# What each parameter must be, and what Cashfree says otherwise.
CHECKS: dict[str, tuple[Check, str]] = {
    "order_id": (
        _matches("[A-Za-z0-9_-]{3,45}"),
        "should be between 3 and 45 letters, digits, - and _",
    ),
    "order_currency": (_matches("INR"), "should be INR"),
    "order_note": (_matches("(?s).{3,200}"), "should be between 3 and 200 characters"),
    "order_tags": (_tags, "should be at most 10 pairs of texts"),
    "customer_details.customer_id": (
        _matches("[A-Za-z0-9_-]{3,50}"),
        "should be between 3 and 50 letters and digits",
    ),
    "customer_details.customer_phone": (
        _matches(r"[6-9]\d{9}|\+\d{8,15}"),
        "should be a valid phone number of 10 digits",
    ),
    "customer_details.customer_email": (
        _matches(r"[^@\s]{1,64}@[^@\s]{1,100}"),
        "should be a valid e-mail address",
    ),
    "customer_details.customer_name": (
        _matches("(?s).{3,100}"),
        "should be between 3 and 100 characters",
    ),
    "order_meta.return_url": (
        _matches(r"https?://\S{1,242}"),
        "should be a URL of at most 250 characters",
    ),
    "order_meta.payment_methods": (_offers, f"should be combination of {','.join(sorted(OFFERS))}"),
}
NEEDED = ("order_amount", "order_currency", "customer_details")
NEEDED_OF_CUSTOMER = ("customer_details.customer_id", "customer_details.customer_phone")


class Orders:
    def __init__(self, books: Books) -> None:
        self.books = books

    def operations(self) -> list[Operation]:
        return [
            Operation("POST", "/orders", "orders.create", self._create),
            Operation("GET", "/orders/{id}", "orders.get", self._get),
            Operation("PATCH", "/orders/{id}", "orders.terminate", self._terminate),
        ]

    def find(self, identifier: str) -> Document:
        order = self.books.find("order", identifier)
        if order is None:
            raise errors.no_such_order()
        self.expire_if_due(identifier)
        return self.books.get("order", identifier)

    def of_session(self, session: str) -> Document | None:
        found = self.books.page("order", Slice(limit=1, equals={"session": session}))[0]
        return self.find(found[0]["id"]) if found else None

    def move(self, order: Document, status: str) -> None:
        order["status"] = status
        self.books.update("order", order)

    def expire_if_due(self, identifier: str) -> None:
        order = self.books.get("order", identifier)
        if order["status"] == "ACTIVE" and order["expires"] <= self.books.store.now():
            self.move(order, "EXPIRED")

    def _create(self, call: Call) -> dict[str, Any]:
        wanted = _checked(call.body)
        now = self.books.store.now()
        identifier = wanted.get("order_id") or f"order_{token_urlsafe(12).replace('-', 'A')}"
        if self.books.find("order", identifier):
            raise RefusalError(
                "order with same id is already present", "order_already_exists", status=409
            )
        order = {
            "id": identifier,
            "created": now,
            "cf_order_id": str(10**9 + randbelow(9 * 10**9)),
            "session": f"session_{token_urlsafe(72)}payment",
            "amount": paise(wanted["order_amount"]),
            "currency": wanted["order_currency"],
            "status": "ACTIVE",
            "expires": self._expiry(wanted, now),
            "customer": wanted["customer_details"],
            "meta": wanted.get("order_meta") or {},
            "note": wanted.get("order_note"),
            "tags": wanted.get("order_tags"),
        }
        self.books.insert("order", order)
        self.books.set_timer("expire", identifier, order["expires"])
        return order_entity(order)

    def _expiry(self, wanted: Mapping[str, Any], now: int) -> float:
        if wanted.get("order_expiry_time") is None:
            return now + EXPIRY_SECONDS_MAX
        found = times.instant(wanted["order_expiry_time"])
        if found is None or not EXPIRY_SECONDS_MIN < found - now < EXPIRY_SECONDS_MAX:
            raise invalid(
                "order_expiry_time",
                "Expiry time should be more than 15 min and less than 30 days",
            )
        return found

    def _get(self, call: Call) -> dict[str, Any]:
        return order_entity(self.find(call.path["id"]))

    def _terminate(self, call: Call) -> dict[str, Any]:
        """Close an order. While a payer is at their bank it is only requested."""
        order = self.find(call.path["id"])
        if call.body.get("order_status") != "TERMINATED":
            raise invalid("order_status", "should be TERMINATED")
        if order["status"] not in OPEN | {"TERMINATED"}:
            raise errors.inactive()
        if order["status"] == "ACTIVE":
            about = {"order": order["id"], "status": "PENDING"}
            pending = self.books.page("payment", Slice(limit=1, equals=about))[0]
            self.move(order, "TERMINATION_REQUESTED" if pending else "TERMINATED")
        return order_entity(order)


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    """Check every parameter. Raises RefusalError for the first that Cashfree would not take."""
    flat = {name: value for name, value in body.items() if value is not None}
    for part in ("customer_details", "order_meta"):
        inner = flat.get(part, {})
        if not isinstance(inner, dict):
            raise invalid(part, "should be an object")
        flat |= {f"{part}.{name}": value for name, value in inner.items() if value is not None}
    for name in (*NEEDED, *NEEDED_OF_CUSTOMER):
        if name not in flat:
            raise missing(name)
    for name, value in flat.items():
        _check(name, value)
    return body


def _check(name: str, value: Any) -> None:
    part, _, last = name.rpartition(".")
    if last not in KNOWN[part]:
        raise not_simulated(name)
    if name == "order_amount":
        amount = paise(value)
        if amount is None or not AMOUNT_MIN <= amount <= AMOUNT_MAX:
            raise invalid(name, "should be at least 1, with at most two decimals")
    elif name in CHECKS and not CHECKS[name][0](value):
        raise invalid(name, CHECKS[name][1])
