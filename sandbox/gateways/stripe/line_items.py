"""What a session sells: line items, their prices and products, and the total."""

from decimal import Decimal
from typing import Any

from sandbox.gateways.server.state import Document
from sandbox.gateways.stripe import money
from sandbox.gateways.stripe.errors import (
    RefusalError,
    invalid,
    missing,
    no_such_given,
    not_simulated,
)
from sandbox.gateways.stripe.objects import list_of, new_id

MOST = 100


def build(session: str, given: list[dict[str, Any]], now: int) -> Document:
    """Build the list of a session's line items. Raises RefusalError as Stripe does."""
    if not given:
        raise missing("line_items")
    if len(given) > MOST:
        raise invalid(f"You may only specify up to {MOST} line items.", "line_items")
    items = [_item(item, f"line_items[{index}]", now) for index, item in enumerate(given)]
    currencies = {item["currency"] for item in items}
    if len(currencies) > 1:
        raise invalid("You cannot combine currencies on a single session.", "line_items")
    return list_of(f"/v1/checkout/sessions/{session}/line_items", items)


def total(items: Document) -> int:
    return sum(item["amount_total"] for item in items["data"])


def check_total(amount: int, currency: str) -> None:
    """Hold a total against the limits; nothing to pay is allowed."""
    least = money.MINIMUM.get(currency, 1)
    if 0 < amount < least:
        shown = money.display(least, currency)
        raise RefusalError(
            f"The Checkout Session's total amount must convert to at least {shown}."
            f" {money.display(amount, currency)} is too little.",
            code="amount_too_small",
        )
    if amount > money.LARGEST:
        raise RefusalError(
            "The Checkout Session's total amount due must be no more than"
            f" {money.display(money.LARGEST, currency)}.",
            code="amount_too_large",
        )


def _item(item: dict[str, Any], path: str, now: int) -> Document:
    for name in ("adjustable_quantity", "tax_rates"):
        if name in item:
            raise not_simulated(f"`{name}`", f"{path}[{name}]")
    if "price" in item:
        raise no_such_given("price", item["price"], f"{path}[price]")
    if "price_data" not in item:
        raise missing(f"{path}[price_data]")
    quantity = item.get("quantity")
    if quantity is None:
        raise invalid("Quantity is required. Add `quantity` to the line item.", f"{path}[quantity]")
    if quantity < 1:
        raise invalid("Invalid quantity: must be greater than or equal to 1.", f"{path}[quantity]")
    price, product = _price(item["price_data"], f"{path}[price_data]", now)
    amount = price["unit_amount"] * quantity
    return {
        "id": new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": product["name"],
        "metadata": item.get("metadata", {}),
        "price": price,
        "quantity": quantity,
    }


def _price(data: dict[str, Any], path: str, now: int) -> tuple[Document, dict[str, Any]]:
    if "recurring" in data:
        raise invalid(
            "You specified `payment` mode but passed a recurring price. Either switch to"
            " `subscription` mode or use only one-time prices.",
            path,
        )
    if "product" in data:
        raise no_such_given("product", data["product"], f"{path}[product]")
    if "product_data" not in data:
        raise missing(f"{path}[product_data]")
    currency = data["currency"].lower()
    if currency not in money.SUPPORTED:
        listed = ", ".join(sorted(money.SUPPORTED))
        raise invalid(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: {listed}",
            f"{path}[currency]",
        )
    amount = _unit_amount(data, currency, path)
    behaviour = data.get("tax_behavior", "unspecified")
    return _new_price(amount, currency, behaviour, now), data["product_data"]


def _new_price(amount: int, currency: str, tax_behavior: str, now: int) -> Document:
    """Make the price of a line item; it is used once, so it is not active."""
    unset = ("custom_unit_amount", "lookup_key", "nickname", "recurring")
    return {
        **dict.fromkeys((*unset, "tiers_mode", "transform_quantity")),
        "id": new_id("price"),
        "object": "price",
        "active": False,
        "billing_scheme": "per_unit",
        "created": now,
        "currency": currency,
        "livemode": False,
        "metadata": {},
        "product": new_id("prod", 14),
        "tax_behavior": tax_behavior,
        "type": "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }


def _unit_amount(data: dict[str, Any], currency: str, path: str) -> int:
    """Read the price of one; exactly one of the two fields gives it."""
    if ("unit_amount" in data) == ("unit_amount_decimal" in data):
        raise invalid(
            "You must specify one of `unit_amount` or `unit_amount_decimal`.",
            f"{path}[unit_amount]",
        )
    amount: int | Decimal = data.get("unit_amount", data.get("unit_amount_decimal", 0))
    place = f"{path}[unit_amount]"
    if amount != int(amount):
        raise not_simulated("fractions of a minor unit", f"{path}[unit_amount_decimal]")
    if amount < 0:
        raise invalid("Invalid non-negative integer", place, "parameter_invalid_integer")
    if currency in money.THREE_DECIMAL and amount % 10:
        raise invalid("The last digit of amounts in this currency must be 0.", place)
    if currency in money.WHOLE_UNITS and amount % 100:
        raise invalid("Amounts in this currency must be whole units.", place)
    return int(amount)
