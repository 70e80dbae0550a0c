"""What a payer hands over on the hosted page, checked field by field."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sandbox.gateways.server.state import Document
from sandbox.gateways.stripe import payment_shapes
from sandbox.gateways.stripe.customers import EMAIL
from sandbox.gateways.stripe.methods import BANKS, CARDS, Bank, Card, Decline, card_for, passes_luhn
from sandbox.gateways.stripe.objects import new_id

EXPIRY = re.compile(r"(\d{1,2})\s*/?\s*(\d{2}|\d{4})")


@dataclass(frozen=True, slots=True)
class Payer:
    """A person with a card or a bank account, ready to be charged."""

    email: str
    name: str | None
    country: str | None
    kind: str  # card, or the delayed method of the currency
    details: Document  # what stands under `kind` in the payment method
    number: str | None = None  # of the test card or account; a real one is not kept
    decline: Decline | None = None
    at_setup: Decline | None = None  # what comes of saving the method instead
    challenged: bool = False
    saved: Document | None = None  # the method, where the payer chose one that is there already
    saves: bool = False  # the payer wants to find the method here again

    def as_method(self, now: int) -> Document:
        """Make a payment method of what the payer gave."""
        billing = payment_shapes.billing_details(self.email, self.name, self.country)
        return {
            "id": new_id("pm_1", 23).replace("1_", "1", 1),
            "object": "payment_method",
            "allow_redisplay": "always" if self.saves else "unspecified",
            "billing_details": billing,
            "created": now,
            "customer": None,
            "customer_account": None,
            "livemode": False,
            "metadata": {},
            "type": self.kind,
            self.kind: self.details,
            "_number": self.number,  # decides what becomes of charges to come
        }


def read_payer(
    form: Mapping[str, str], session: Document, now_year_month: tuple[int, int]
) -> tuple[Payer | None, dict[str, str]]:
    """Read the form of the page: a payer, or what is wrong by field name."""
    errors = {}
    email = form.get("email", "").strip()
    if not EMAIL.fullmatch(email):
        errors["email"] = "Enter an e-mail address, such as name@example.com."
    if form.get("payment_method", "card") == "card":
        payer = _with_card(form, email, now_year_month, errors)
    else:
        payer = _with_bank(form, email, session, errors)
    if payer and form.get("save") and session["customer"]:
        payer = replace(payer, saves=True)
    return (None if errors else payer), errors


def saved_payer(method: Document) -> Payer:
    """Make a payer of a card that is saved: nothing is asked but whether they agree."""
    card, billing = card_for(method["_number"] or ""), method["billing_details"]
    return Payer(
        email=billing["email"],
        name=billing["name"],
        country=card.country,
        kind="card",
        details=method["card"],
        number=method["_number"],
        decline=card.decline,
        challenged=card.challenge,
        saved=method,
    )


def _with_card(
    form: Mapping[str, str], email: str, today: tuple[int, int], errors: dict[str, str]
) -> Payer | None:
    number = re.sub(r"[\s-]", "", form.get("card_number", ""))
    expiry = _read_expiry(form.get("card_expiry", ""))
    name = form.get("card_name", "").strip()
    checks = {
        "card_number": _number_problem(number),
        "card_expiry": _expiry_problem(expiry, today),
        "card_cvc": _cvc_problem(form.get("card_cvc", ""), card_for(number).brand),
        "card_name": None if name else "Enter the name on the card.",
    }
    errors.update({field: problem for field, problem in checks.items() if problem})
    if expiry is None:
        return None
    return card_payer(number, expiry, email=email, name=name)


def card_payer(number: str, expiry: tuple[int, int], *, email: str, name: str | None) -> Payer:
    card = card_for(number)
    return Payer(
        email=email,
        name=name,
        country=card.country,
        kind="card",
        details=payment_shapes.card_details(number, _as_document(card), expiry),
        number=number if number in CARDS else None,
        decline=card.decline,
        at_setup=card.at_setup,
        challenged=card.challenge,
    )


def _as_document(card: Card) -> Document:
    return {"brand": card.brand, "country": card.country, "funding": card.funding}


def _with_bank(
    form: Mapping[str, str], email: str, session: Document, errors: dict[str, str]
) -> Payer | None:
    bank = BANKS.get(session["currency"])
    if bank is None or bank.type not in session["payment_method_types"]:
        errors["payment_method"] = "Choose one of the payment methods on offer."
        return None
    account = re.sub(r"\s", "", form.get("bank_account", ""))
    name = form.get("bank_name", "").strip()
    if account != bank.good and account not in bank.failing:
        errors["bank_account"] = f"Use a test value: {bank.good} or {', '.join(bank.failing)}."
    if not name:
        errors["bank_name"] = "Enter the name of the account holder."
    return bank_payer(bank, account, email=email, name=name)


def bank_payer(bank: Bank, account: str, *, email: str, name: str | None) -> Payer:
    return Payer(
        email=email,
        name=name,
        country=bank.country,
        kind=bank.type,
        details={"last4": account[-4:]} if bank.type != "upi" else {"vpa": account},
        number=account,
        decline=bank.failing.get(account),
    )


def _read_expiry(text: str) -> tuple[int, int] | None:
    match = EXPIRY.fullmatch(text.strip())
    if match is None:
        return None
    year = int(match[2])
    return int(match[1]), year if year >= 100 else 2000 + year


def _number_problem(number: str) -> str | None:
    if not re.fullmatch(r"[0-9]{12,19}", number):
        return "Your card number is incomplete."
    return None if passes_luhn(number) else "Your card number is invalid."


def _expiry_problem(expiry: tuple[int, int] | None, today: tuple[int, int]) -> str | None:
    if expiry is None or not 1 <= expiry[0] <= 12:
        return "Enter month and year, such as 12 / 34."
    month, year = expiry
    if (year, month) < today:
        return "Your card's expiration date is in the past."
    return None if year < today[0] + 50 else "Your card's expiration year is invalid."


def _cvc_problem(cvc: str, brand: str) -> str | None:
    wanted = 4 if brand == "amex" else 3
    complete = cvc.isascii() and cvc.isdecimal() and len(cvc) == wanted
    return None if complete else f"Enter the {wanted} digits of your card's security code."
