"""The test cards and bank accounts, and what becomes of a payment with each."""

from dataclasses import dataclass
from typing import Any

from sandbox.gateways.server.state import Document


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a payment failed, in the API's words and in those for the payer."""

    code: str
    message: str
    decline_code: str | None = None
    advice: str | None = None
    type: str = "card_error"

    def as_error(self) -> dict[str, Any]:
        """Give what stands in `last_payment_error`, less the objects involved."""
        error: dict[str, Any] = {
            "type": self.type,
            "code": self.code,
            "message": self.message,
            "doc_url": f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}",
        }
        if self.decline_code:
            error["decline_code"] = self.decline_code
        if self.advice:
            error["advice_code"] = self.advice
        return error


def _declined(decline_code: str, message: str = "Your card was declined.") -> Decline:
    advice = "do_not_try_again" if decline_code in FINAL else "try_again_later"
    return Decline("card_declined", message, decline_code, advice)


FINAL = {"lost_card", "stolen_card", "fraudulent"}
GENERIC = _declined("generic_decline")
NO_FUNDS = _declined("insufficient_funds", "Your card has insufficient funds.")
UNAUTHENTICATED = Decline(
    "payment_intent_authentication_failure",
    "We are unable to authenticate your payment method. Please choose a different payment method"
    " and try again.",
)
UNAUTHENTICATED_SETUP = Decline("setup_intent_authentication_failure", UNAUTHENTICATED.message)
LIVE_CARD = _declined(
    "test_mode_live_card",
    "Your card was declined. Your request was in test mode, but used a non test card.",
)


AWAY = Decline(
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "authentication_required",
)


@dataclass(frozen=True, slots=True)
class Card:
    brand: str = "visa"
    funding: str = "credit"
    country: str = "US"
    decline: Decline | None = None
    challenge: bool = False  # whether the payer must prove who they are
    challenge_always: bool = False  # even when it was proved as the card was saved
    saves_anyway: bool = False  # a card that declines is declined as it is saved, too
    disputed: bool = False
    refund: str = "succeeded"  # or pending at first, or failed after it succeeded

    @property
    def at_setup(self) -> Decline | None:
        """Say what comes of saving it."""
        return None if self.saves_anyway else self.decline

    @property
    def away(self) -> Decline | None:
        """Say what comes of charging it, once saved, while the payer is away."""
        return AWAY if self.challenge_always else self.decline


CARDS = {
    "4242424242424242": Card(),
    "4000056655665556": Card(funding="debit"),
    "4000003560000008": Card(country="IN"),
    "5555555555554444": Card("mastercard"),
    "2223003122003222": Card("mastercard"),
    "5200828282828210": Card("mastercard", "debit"),
    "378282246310005": Card("amex"),
    "6011111111111117": Card("discover"),
    "4000002500003155": Card(challenge=True),
    "4000002760003184": Card(challenge=True, challenge_always=True),
    "4000003560000123": Card(country="IN", challenge=True),
    "4000008260003178": Card(challenge=True, decline=NO_FUNDS, saves_anyway=True),
    "4000000000000002": Card(decline=GENERIC),
    "4000000000000341": Card(decline=GENERIC, saves_anyway=True),
    "4000000000009995": Card(decline=NO_FUNDS),
    "4000000000009987": Card(decline=_declined("lost_card")),
    "4000000000009979": Card(decline=_declined("stolen_card")),
    "4100000000000019": Card(decline=_declined("fraudulent")),
    "4000000000000069": Card(
        decline=Decline("expired_card", "Your card has expired.", None, "confirm_card_data"),
    ),
    "4000000000000127": Card(
        decline=Decline(
            "incorrect_cvc",
            "Your card's security code is incorrect.",
            None,
            "confirm_card_data",
        ),
    ),
    "4000000000000119": Card(
        decline=Decline(
            "processing_error",
            "An error occurred while processing your card. Try again in a little bit.",
            None,
            "try_again_later",
        ),
    ),
    # These pay; what is special about them comes later.
    "4000000000000259": Card(disputed=True),
    "4000000000005126": Card(refund="failed"),
    "4000000000007726": Card(refund="pending"),
}


def card_for(number: str) -> Card:
    """Look a card up; a valid number that is no test card is declined as a live card."""
    return CARDS.get(number) or Card(decline=LIVE_CARD)


def special(method: Document) -> Card:
    """Look up what is special about a saved method: about a bank account, that refunds wait."""
    if method["type"] != "card":
        return Card(refund="pending")
    return card_for(method.get("_number") or "")


def away(method: Document) -> Document | None:
    """Give the error that comes of charging a saved method while the payer is away."""
    if method["type"] == "card":
        decline = special(method).away
    else:
        bank = next(bank for bank in BANKS.values() if bank.type == method["type"])
        decline = bank.failing.get(method.get("_number") or "")
    return decline.as_error() if decline else None


def passes_luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


@dataclass(frozen=True, slots=True)
class Bank:
    """A delayed method: the payer is done at once, the money is known later."""

    type: str
    title: str
    country: str
    label: str  # of the one field the payer fills in
    good: str  # what to enter for a payment that arrives
    failing: dict[str, Decline]


def _returned(message: str, code: str = "payment_intent_payment_attempt_failed") -> Decline:
    return Decline(code, message, type="invalid_request_error")


BANKS = {
    "usd": Bank(
        "us_bank_account",
        "US bank account",
        "US",
        "Account number",
        "000123456789",
        {
            "000222222227": _returned("The bank account has insufficient funds."),
            "000111111113": _returned("The bank account is closed."),
        },
    ),
    "eur": Bank(
        "sepa_debit",
        "SEPA Direct Debit",
        "DE",
        "IBAN",
        "AT611904300234573201",
        {"AT861904300235473202": _returned("The bank rejected the debit.")},
    ),
    "gbp": Bank(
        "bacs_debit",
        "Bacs Direct Debit",
        "GB",
        "Account number",
        "00012345",
        {"33333335": _returned("The debit was not authorised.")},
    ),
    "inr": Bank(
        "upi",
        "UPI",
        "IN",
        "UPI ID",
        "success@upi",
        {"failure@upi": _returned("The payment was not approved in the UPI app.")},
    ),
}
