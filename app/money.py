"""Money is a whole number of minor units and a currency, never one without the other."""

import re
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields

BIGINT_MAX = 2**63 - 1


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
