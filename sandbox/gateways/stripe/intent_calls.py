"""The API of payment intents: charging saved methods, capturing, canceling, looking up."""

from typing import Any

from stripe.params._payment_intent_cancel_params import PaymentIntentCancelParams
from stripe.params._payment_intent_capture_params import PaymentIntentCaptureParams
from stripe.params._payment_intent_create_params import PaymentIntentCreateParams
from stripe.params._payment_intent_list_params import PaymentIntentListParams

from sandbox.gateways.server.state import Books, Document, public
from sandbox.gateways.stripe import money
from sandbox.gateways.stripe import payment_shapes as shapes
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.errors import (
    DeclinedError,
    RefusalError,
    invalid,
    missing,
    no_such_given,
    not_simulated,
)
from sandbox.gateways.stripe.intents import KIND, Intents
from sandbox.gateways.stripe.methods import away, special
from sandbox.gateways.stripe.objects import fetch, show, show_list

BASE = "/v1/payment_intents"
# What has an effect here. Everything else that Stripe knows is refused, not ignored.
SIMULATED = frozenset(
    {
        *("amount", "currency", "customer", "payment_method", "confirm", "off_session"),
        *("error_on_requires_action", "capture_method", "metadata", "description", "expand"),
        *("receipt_email", "shipping", "statement_descriptor", "statement_descriptor_suffix"),
        *("transfer_group", "return_url", "automatic_payment_methods"),
    }
)
CANCELABLE = (
    *("requires_payment_method", "requires_capture", "requires_confirmation"),
    *("requires_action", "processing"),
)


class IntentCalls:
    def __init__(self, books: Books, intents: Intents) -> None:
        self.books = books
        self.intents = intents

    def operations(self) -> list[Operation]:
        one, name = BASE + "/{id}", "payment_intents"
        create, capture = PaymentIntentCreateParams, PaymentIntentCaptureParams
        cancel = PaymentIntentCancelParams
        return [
            Operation("POST", BASE, f"{name}.create", self._create, create),
            Operation("GET", BASE, f"{name}.list", self._list, PaymentIntentListParams),
            Operation("GET", one, f"{name}.retrieve", self._retrieve),
            Operation("POST", f"{one}/capture", f"{name}.capture", self._capture, capture),
            Operation("POST", f"{one}/cancel", f"{name}.cancel", self._cancel, cancel),
        ]

    def _create(self, call: Call) -> Document:
        params = call.params
        _check(params)
        method = self._saved_method(params)
        kinds = [method["type"]]
        intent = shapes.new_intent(
            params["amount"], params["currency"], kinds, params, self.books.store.now()
        )
        self.intents.open(intent)
        self._confirm(intent, method)
        return show(self.books, intent, params)

    def _confirm(self, intent: Document, method: Document) -> None:
        """Charge a saved method while the payer is away. Raises DeclinedError, which is kept."""
        error = away(method)
        if method["type"] != "card":
            self.intents.begin_delayed(intent, method, error)
            return
        if self.intents.charge_card(intent, method, error):
            self.intents.settle(intent)
            return
        raise DeclinedError(intent, method)

    def _saved_method(self, params: dict[str, Any]) -> Document:
        """Find the method, which must be the customer's, as Stripe insists."""
        customer, identifier = params["customer"], params["payment_method"]
        if self.books.find("customer", customer) is None:
            raise no_such_given("customer", customer, "customer")
        method = self.books.find("payment_method", identifier)
        if method is None:
            raise no_such_given("PaymentMethod", identifier, "payment_method")
        if method["customer"] is None:
            raise invalid(
                "The provided PaymentMethod was previously used with a PaymentIntent without"
                " Customer attachment, shared with a connected account without Customer"
                " attachment, or was detached from a Customer. It may not be used again. To use a"
                " PaymentMethod multiple times, you must attach it to a Customer first.",
                "payment_method",
            )
        if method["customer"] != customer:
            raise invalid(
                f"The customer does not have a payment method with the ID {identifier}. The"
                " payment method must be attached to the customer.",
                "payment_method",
            )
        if special(method).challenge_always and not _payer_is_away(params):
            raise not_simulated("3-D Secure over the API", "payment_method")
        return method

    def _retrieve(self, call: Call) -> Document:
        return show(self.books, fetch(self.books, KIND, call.path["id"], "intent"), call.params)

    def _list(self, call: Call) -> Document:
        customer = call.params.get("customer")
        return show_list(self.books, KIND, BASE, call.params, customer=customer)

    def _capture(self, call: Call) -> Document:
        intent = fetch(self.books, KIND, call.path["id"], "intent")
        unknown = set(call.params) - {"amount_to_capture", "final_capture", "expand"}
        for name in sorted(unknown):
            raise not_simulated(f"`{name}` of a capture", name)
        if intent["status"] != "requires_capture":
            raise _unexpected(
                intent,
                f"This PaymentIntent could not be captured because it has a status of"
                f" {intent['status']}. Only a PaymentIntent with one of the following statuses"
                " may be captured: requires_capture.",
            )
        if not call.params.get("final_capture", True):
            raise not_simulated("several captures", "final_capture")
        asked: int | None = call.params.get("amount_to_capture")
        amount: int = intent["amount_capturable"] if asked is None else asked
        if not 0 < amount <= intent["amount_capturable"]:
            raise _over_capture(amount, intent)
        self.intents.capture(intent, amount)
        return show(self.books, intent, call.params)

    def _cancel(self, call: Call) -> Document:
        intent = fetch(self.books, KIND, call.path["id"], "intent")
        if intent["status"] not in CANCELABLE:
            raise _unexpected(
                intent,
                f"You cannot cancel this PaymentIntent because it has a status of"
                f" {intent['status']}. Only a PaymentIntent with one of the following statuses"
                f" may be canceled: {', '.join(CANCELABLE)}.",
            )
        if self._on_open_page(intent):
            raise RefusalError(
                "You cannot cancel the PaymentIntent of an open Checkout Session. Expire the"
                " Checkout Session instead.",
                code="payment_intent_unexpected_state",
            )
        self.intents.cancel(intent, call.params.get("cancellation_reason"))
        return show(self.books, intent, call.params)

    def _on_open_page(self, intent: Document) -> bool:
        page: str | None = intent["_session"]
        return page is not None and self.books.get("checkout.session", page)["status"] == "open"


def _payer_is_away(params: dict[str, Any]) -> bool:
    return bool(params.get("off_session") or params.get("error_on_requires_action"))


def _check(params: dict[str, Any]) -> None:
    for name in params:
        if name not in SIMULATED:
            raise not_simulated(f"`{name}` of a payment intent", name)
    if not params.get("confirm"):
        raise not_simulated("payment intents that are not confirmed at once", "confirm")
    for name in ("payment_method", "customer"):
        if name not in params:
            raise missing(name)
    _check_amount(params["amount"], params["currency"])


def _check_amount(amount: int, currency: str) -> None:
    if currency not in money.SUPPORTED:
        raise invalid(f"Invalid currency: {currency}.", "currency")
    least = money.MINIMUM.get(currency, 1)
    if amount < least:
        shown = money.display(least, currency)
        raise invalid(f"Amount must be at least {shown} {currency}", "amount", "amount_too_small")
    if amount > money.LARGEST:
        shown = money.display(money.LARGEST, currency)
        raise invalid(f"Amount must be no more than {shown}", "amount", "amount_too_large")


def _unexpected(intent: Document, message: str) -> RefusalError:
    return RefusalError(
        message,
        code="payment_intent_unexpected_state",
        payment_intent=public(intent),
    )


def _over_capture(amount: int, intent: Document) -> RefusalError:
    currency = intent["currency"]
    return invalid(
        f"The amount to capture ({money.display(amount, currency)}) is not between"
        f" {money.display(1, currency)} and the amount capturable"
        f" ({money.display(intent['amount_capturable'], currency)}).",
        "amount_to_capture",
        "amount_too_large" if amount > 0 else "parameter_invalid_integer",
    )
