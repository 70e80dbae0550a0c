"""Orders: what is to be paid, and how what is authorized is captured."""

from typing import Any

from sandbox.gateways.razorpay.calls import Call, Operation
from sandbox.gateways.razorpay.errors import RefusalError, not_simulated
from sandbox.gateways.razorpay.objects import (
    AMOUNT_MIN,
    check_names,
    collection,
    every,
    fetch,
    listed,
    new_id,
    read_amount,
    read_notes,
    read_receipt,
    shown,
)
from sandbox.gateways.server.state import Books, Document

KIND = "order"
KNOWN = frozenset(
    {
        *("amount", "currency", "receipt", "notes", "partial_payment", "payment_capture"),
        *("payment", "unique_receipt"),
    }
)
NOT_SIMULATED = {
    "first_payment_min_amount": "partial payments",
    "customer_id": "customers",
    "token": "saved methods",
    "method": "orders of one method",
    "bank_account": "checks of the payer's account",
    "transfers": "Route",
    "offers": "offers",
    "line_items": "line items",
    "checkout_config_id": "configurations of the page",
}
MINUTES_MOST = 5 * 24 * 60
AUTOMATIC: Document = {
    "capture": "automatic",
    "automatic_minutes": MINUTES_MOST,
    "manual_minutes": MINUTES_MOST,
}


class Orders:
    def __init__(self, books: Books) -> None:
        self.books = books

    def operations(self) -> list[Operation]:
        one = "/orders/{id}"
        return [
            Operation("POST", "/orders", "orders.create", self._create),
            Operation("GET", "/orders", "orders.list", self._list),
            Operation("GET", one, "orders.retrieve", self._retrieve),
            Operation("GET", f"{one}/payments", "orders.payments", self._payments),
        ]

    def _create(self, call: Call) -> Document:
        params = call.params
        for name in params:
            if name in NOT_SIMULATED:
                raise not_simulated(NOT_SIMULATED[name], name)
        check_names(params, KNOWN)
        amount, receipt = _amount(params), read_receipt(params)
        known = every(self.books, KIND, receipt=receipt) if receipt else []
        if known and params.get("unique_receipt") is True:
            return shown(known[0])
        now = self.books.store.now()
        order: Document = {
            "id": new_id("order_"),
            "entity": "order",
            "amount": amount,
            "amount_paid": 0,
            "amount_due": amount,
            "currency": "INR",
            "receipt": receipt,
            "offer_id": None,
            "status": "created",
            "attempts": 0,
            "notes": read_notes(params),
            "created_at": now,
            "created": now,
            "_capture": _capture(params),
        }
        self.books.insert(KIND, order)
        return shown(order)

    def _retrieve(self, call: Call) -> Document:
        return shown(fetch(self.books, KIND, call.path["id"]))

    def _list(self, call: Call) -> Document:
        filters = {"receipt": call.params["receipt"]} if "receipt" in call.params else {}
        return listed(self.books, KIND, call.params, **filters)

    def _payments(self, call: Call) -> Document:
        order = fetch(self.books, KIND, call.path["id"])
        return collection(every(self.books, "payment", order_id=order["id"]))


def _amount(params: dict[str, Any]) -> int:
    amount = read_amount(params)
    if amount < AMOUNT_MIN:
        raise RefusalError(
            "Order amount less than minimum amount allowed",
            field="amount",
            step="order_creation",
            reason="amount_less_than_minimum_amount",
        )
    if "currency" not in params:
        raise RefusalError("The currency field is required.", field="currency")
    if params["currency"] != "INR":
        raise RefusalError("Currency is not supported", field="currency", reason="invalid_currency")
    if params.get("partial_payment"):
        raise not_simulated("partial payments", "partial_payment")
    return amount


def _capture(params: dict[str, Any]) -> Document:
    """Read when what is authorized is captured, or given back if nobody captures it.

    https://razorpay.com/docs/payments/payments/capture-settings/api/
    """
    payment = params.get("payment")
    if payment is None:
        by_hand = params.get("payment_capture") in (False, 0, "0")
        return AUTOMATIC | {"capture": "manual" if by_hand else "automatic"}
    options = payment.get("capture_options") or {} if isinstance(payment, dict) else {}
    if not isinstance(payment, dict) or payment.get("capture") not in {"automatic", "manual"}:
        raise RefusalError("The selected payment.capture is invalid.", field="payment.capture")
    manual = options.get("manual_expiry_period", MINUTES_MOST)
    automatic = options.get("automatic_expiry_period", 12)
    if payment["capture"] == "automatic" and "automatic_expiry_period" not in options:
        raise RefusalError("The automatic expiry period field is required.", field="payment")
    if not all(type(one) is int and 12 <= one <= MINUTES_MOST for one in (automatic, manual)):
        raise RefusalError(f"An expiry period is 12 to {MINUTES_MOST} minutes.", field="payment")
    return {
        "capture": payment["capture"],
        "automatic_minutes": automatic,
        "manual_minutes": manual,
    }
