"""Money is a whole number of minor units and a currency, never one without the other."""

from dataclasses import dataclass


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
