"""Stripe's units of money, which are not always the minor units of ISO 4217.

https://docs.stripe.com/currencies#special-cases
"""

from fractions import Fraction

from app.errors import GatewayRefusedError
from app.money import Money

# Stripe's units per minor unit, where the two are not the same.
UNITS = {"ISK": Fraction(100), "UGX": Fraction(100), "MGA": Fraction(1, 100)}


def units(amount: Money) -> int:
    """Write an amount as Stripe does. Raises GatewayRefusedError when Stripe cannot."""
    found = amount.amount * UNITS.get(amount.currency, 1)
    if found != int(found):
        message = f"Stripe takes {amount.currency} without its minor unit"
        raise GatewayRefusedError(message)
    return int(found)


def money(amount: int | None, currency: str) -> Money | None:
    """Read what Stripe wrote; None when there is nothing, or no whole number of minor units."""
    if amount is None:
        return None
    given = Money(amount, currency.upper())
    minor = given.amount / Fraction(UNITS.get(given.currency, 1))
    return Money(int(minor), given.currency) if minor == int(minor) else None
