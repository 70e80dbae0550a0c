"""Saved payment methods: listed, shown, taken away from their customer."""

from stripe.params._customer_payment_method_list_params import CustomerPaymentMethodListParams
from stripe.params._payment_method_detach_params import PaymentMethodDetachParams
from stripe.params._payment_method_list_params import PaymentMethodListParams

from sandbox.gateways.server.state import Books, Document
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.errors import RefusalError, missing, not_simulated
from sandbox.gateways.stripe.events import Events
from sandbox.gateways.stripe.objects import fetch, show, show_list
from sandbox.gateways.stripe.payer import Payer

KIND = "payment_method"
BASE = "/v1/payment_methods"


class SavedMethods:
    def __init__(self, books: Books, events: Events) -> None:
        self.books = books
        self.events = events

    def operations(self) -> list[Operation]:
        one, name, owned = BASE + "/{id}", "payment_methods", "/v1/customers/{id}/payment_methods"
        owned_list = CustomerPaymentMethodListParams
        return [
            Operation("GET", BASE, f"{name}.list", self._list, PaymentMethodListParams),
            Operation("GET", one, f"{name}.retrieve", self._retrieve),
            Operation(
                "POST", f"{one}/detach", f"{name}.detach", self._detach, PaymentMethodDetachParams
            ),
            Operation("GET", owned, "customers.payment_methods.list", self._owned, owned_list),
        ]

    def save(self, customer: str, payer: Payer) -> Document:
        """Give a customer a method without a page; a card that cannot be saved is saved, too."""
        method = payer.as_method(self.books.store.now())
        method["customer"] = customer
        self.books.insert(KIND, method)
        self.events.emit("payment_method.attached", method)
        return method

    def behave(self, method: Document, number: str) -> None:
        """Have a saved method behave as a certain test card from now on."""
        method["_number"] = number
        self.books.update(KIND, method)

    def _retrieve(self, call: Call) -> Document:
        found = fetch(self.books, KIND, call.path["id"], "payment_method")
        return show(self.books, found, call.params)

    def _list(self, call: Call) -> Document:
        if "customer" not in call.params:
            raise missing("customer")
        fetch(self.books, "customer", call.params["customer"], "customer")
        return self._of(call.params["customer"], BASE, call)

    def _owned(self, call: Call) -> Document:
        customer = fetch(self.books, "customer", call.path["id"], "customer")
        return self._of(customer["id"], f"/v1/customers/{customer['id']}/payment_methods", call)

    def _of(self, customer: str, url: str, call: Call) -> Document:
        for name in ("allow_redisplay", "customer_account"):
            if name in call.params:
                raise not_simulated(f"filtering by `{name}`", name)
        kind = call.params.get("type")
        return show_list(self.books, KIND, url, call.params, customer=customer, type=kind)

    def _detach(self, call: Call) -> Document:
        method = fetch(self.books, KIND, call.path["id"], "payment_method")
        if method["customer"] is None:
            raise RefusalError(
                "The payment method you provided is not attached to a customer so detachment is"
                " impossible."
            )
        before = {"customer": method["customer"]}
        method["customer"] = None
        self.books.update(KIND, method)
        self.events.emit("payment_method.detached", method, before)
        return show(self.books, method, call.params)
