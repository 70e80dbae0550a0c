"""Customers: create, read, change."""

import re
from typing import Any

from stripe.params._customer_create_params import CustomerCreateParams
from stripe.params._customer_list_params import CustomerListParams
from stripe.params._customer_update_params import CustomerUpdateParams

from sandbox.gateways.server.state import Books, Document
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.endpoints import merged
from sandbox.gateways.stripe.errors import invalid, not_simulated
from sandbox.gateways.stripe.events import Events
from sandbox.gateways.stripe.objects import fetch, new_id, show, show_list

KIND = "customer"
ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
# What a request may set. Everything else that Stripe knows is refused, not ignored.
PLAIN = ("description", "email", "name", "phone", "preferred_locales", "tax_exempt")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Customers:
    def __init__(self, books: Books, events: Events) -> None:
        self.books = books
        self.events = events

    def operations(self) -> list[Operation]:
        base = "/v1/customers"
        return [
            Operation("POST", base, "customers.create", self._create, CustomerCreateParams),
            Operation("GET", base, "customers.list", self._list, CustomerListParams),
            Operation("GET", base + "/{id}", "customers.retrieve", self._retrieve),
            Operation(
                "POST", base + "/{id}", "customers.update", self._update, CustomerUpdateParams
            ),
        ]

    def create(self, params: dict[str, Any]) -> Document:
        """Open a customer and report it; params are those of the API."""
        customer = _blank(self.books.store.now())
        _apply(customer, params)
        self.books.insert(KIND, customer)
        self.events.emit("customer.created", customer)
        return customer

    def change(self, customer: Document, params: dict[str, Any]) -> None:
        """Change a customer, and report what was there before."""
        before = dict(customer)
        _apply(customer, params)
        previous = {name: before[name] for name in before if before[name] != customer[name]}
        if not previous:
            return
        self.books.update(KIND, customer)
        self.events.emit("customer.updated", customer, previous)

    def _create(self, call: Call) -> Document:
        return show(self.books, self.create(call.params), call.params)

    def _retrieve(self, call: Call) -> Document:
        return show(self.books, fetch(self.books, KIND, call.path["id"], "id"), call.params)

    def _list(self, call: Call) -> Document:
        email = call.params.get("email")
        return show_list(self.books, KIND, "/v1/customers", call.params, email=email)

    def _update(self, call: Call) -> Document:
        customer = fetch(self.books, KIND, call.path["id"], "id")
        self.change(customer, call.params)
        return show(self.books, customer, call.params)


def _blank(now: int) -> Document:
    return {
        "id": new_id("cus", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": new_id("x", 8)[2:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def _apply(customer: Document, params: dict[str, Any]) -> None:
    if params.get("email"):
        check_email(params["email"], "email")
    for name, value in params.items():
        if name in PLAIN:
            customer[name] = value or None
        elif name == "metadata":
            customer[name] = merged(customer[name], value)
        elif name in {"address", "shipping"}:
            customer[name] = _address_in(name, value)
        elif name == "invoice_settings":
            customer[name] = customer[name] | value
        elif name != "expand":
            raise not_simulated(f"`{name}` of a customer", name)


def _address_in(name: str, value: Any) -> Document | None:
    if not value:
        return None
    if name == "address":
        return full_address(value)
    return {"phone": None, **value, "address": full_address(value["address"])}


def full_address(given: dict[str, Any]) -> Document:
    """Fill in the parts of an address that were not given."""
    return {part: given.get(part) or None for part in ADDRESS}


def check_email(address: str, param: str) -> None:
    if not EMAIL.fullmatch(address):
        raise invalid(f"Invalid email address: {address}", param, "email_invalid")
