"""Money is a whole number of minor units and a currency, never one without the other."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from marshmallow import ValidationError, fields

BIGINT_MAX = 2**63 - 1

# Digits of the minor unit where they are not two (ISO 4217, as in the table `currencies`).
EXPONENTS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW", "XCR"), 4),
}
DECIMAL = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?", re.ASCII)
DIGITS_MAX = 30  # written out, 1e999999999 would fill the memory


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the minor unit of an ISO 4217 currency: Money(2500, "USD") is 25 dollars."""

    amount: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.amount) is not int:  # bool is an int to isinstance, and no amount
            message = f"an amount is a whole number of minor units, not {self.amount!r}"
            raise TypeError(message)
        if not (len(self.currency) == 3 and self.currency.isascii() and self.currency.isupper()):
            message = f"a currency is three capitals, not {self.currency!r}"
            raise ValueError(message)

    @classmethod
    def parse(cls, written: object, currency: str) -> Self:
        """Read an amount of major units: "2450.00" INR is Money(245000, "INR").

        Its text decides, whatever it is. Raises ValueError for what is no plain decimal, negative,
        or finer than the minor unit: nothing is ever rounded on the way in.
        """
        is_long = isinstance(written, Decimal) and abs(written.adjusted()) > DIGITS_MAX
        is_plain = not is_long and isinstance(written, Decimal)
        text = format(written, "f") if is_plain else str(written)
        if not DECIMAL.fullmatch(text):
            raise ValueError(f"{text[:40]!r} is no amount")
        minor = Decimal(text).scaleb(EXPONENTS.get(currency, 2))
        if minor != int(minor) or minor > BIGINT_MAX:
            raise ValueError(f"{currency} has no amount of {text}")
        return cls(int(minor), currency)

    @property
    def decimal(self) -> Decimal:
        """The amount in major units, with every digit of the minor unit: Decimal("2450.00")."""
        return Decimal(self.amount).scaleb(-EXPONENTS.get(self.currency, 2))


class MinorUnits(fields.Field[int]):
    """A whole number of minor units that a bigint holds: a JSON integer, or its digits as a string.

    Hasura sends a bigint as a string when the client did. 25.0 is refused: who computes amounts
    in floating point should hear of it early.
    """

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value, re.ASCII):
            value = int(value)
        if type(value) is not int or abs(value) > BIGINT_MAX:
            message = "Not a whole number of minor units."
            raise ValidationError(message)
        return value
