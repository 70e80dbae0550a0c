"""Ways to pay, and what the test values among them do.

https://razorpay.com/docs/payments/payments/test-card-details/
https://razorpay.com/docs/payments/payments/test-upi-details/
"""

import re
from dataclasses import dataclass, field
from typing import Any

from sandbox.gateways.razorpay.objects import new_id
from sandbox.gateways.server.state import Document

BANK_SAID_NO = "Your bank declined the payment. Try another way to pay, or ask your bank."
TROUBLE = "There was a temporary problem. What was debited comes back within a week."

# What a payer reads, where the failure came from, and under which code.
FAILURES = {
    "authentication_failed": (
        *("The OTP, or another detail, was not correct. Try another way to pay.", "customer"),
        "GATEWAY_ERROR",
    ),
    "card_declined": (BANK_SAID_NO, "issuer_bank", "BAD_REQUEST_ERROR"),
    "card_disabled_for_online_payments": (
        *("Your card is disabled for online payments. Ask your bank.", "customer"),
        "BAD_REQUEST_ERROR",
    ),
    "card_number_invalid": (
        *("The number of the card is not correct. Try again.", "customer", "BAD_REQUEST_ERROR"),
    ),
    "gateway_technical_error": (TROUBLE, "gateway", "GATEWAY_ERROR"),
    "insufficient_fund": (
        *("The balance of your account is too low. Try another way to pay.", "customer"),
        "BAD_REQUEST_ERROR",
    ),
    "payment_cancelled": (
        *("The payment was cancelled. Try again, or pay later.", "customer", "BAD_REQUEST_ERROR"),
    ),
    "payment_failed": (TROUBLE, "gateway", "BAD_REQUEST_ERROR"),
    "payment_risk_check_failed": (
        *("A security check stopped the payment. Try another way to pay.", "internal"),
        "BAD_REQUEST_ERROR",
    ),
    "payment_timed_out": (
        *("The payment was not completed in time. Try again.", "customer", "BAD_REQUEST_ERROR"),
    ),
}

CARDS = {
    "4100280000090000": "payment_timed_out",
    "5305620000060000": "payment_timed_out",
    "4100280000080001": "insufficient_fund",
    "5305620000050001": "insufficient_fund",
    "4100280000070002": "payment_cancelled",
    "5305620000040002": "payment_cancelled",
    "4100280000060003": "card_declined",
    "5305620000030003": "card_declined",
    "4100280000050004": "card_declined",
    "4100280000040005": "card_declined",
    "4100280000030006": "card_disabled_for_online_payments",
    "5305620000000006": "card_disabled_for_online_payments",
    "4100280000010008": "card_number_invalid",
    "5305620000080008": "card_number_invalid",
    "4100280000020007": "gateway_technical_error",
    "5305620000090007": "gateway_technical_error",
    "4100280000000009": "authentication_failed",
    "5305620000070009": "authentication_failed",
}
GOOD_CARD = "4100280000001007"
GOOD_VPA = "success@razorpay"
BANKS = {"HDFC": "HDFC Bank", "ICIC": "ICICI Bank", "SBIN": "State Bank of India", "UTIB": "Axis"}
WALLETS = {"olamoney": "Ola Money", "phonepe": "PhonePe", "airtelmoney": "Airtel Money"}
LATERS = {"lazypay": "LazyPay", "simpl": "Simpl"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What the payer's bank does: at once, and where `then` says so a while later."""

    first: str = "success"  # success, failure or pending
    reason: str = "payment_failed"
    then: str | None = None  # success or failure

    def as_json(self) -> Document:
        return {"first": self.first, "reason": self.reason, "then": self.then}


# The first two are Razorpay's, the others this simulator's own.
VPAS = {
    GOOD_VPA: Plan(),
    "failure@razorpay": Plan("failure"),
    "risk@razorpay": Plan("failure", "payment_risk_check_failed"),
    "pending@razorpay": Plan("pending", then="success"),
    "pendingfailure@razorpay": Plan("pending", then="failure"),
    "late@razorpay": Plan("failure", then="success"),
}

VPA_MEANINGS = {
    GOOD_VPA: "pays",
    "failure@razorpay": "is refused",
    "risk@razorpay": "is refused as a risk",
    "pending@razorpay": "pending, paid five minutes later",
    "pendingfailure@razorpay": "pending, refused five minutes later",
    "late@razorpay": "fails, and turns out paid an hour later",
}


@dataclass(frozen=True, slots=True)
class Means:
    """What a payer pays with: the fields it adds to a payment, and how it behaves."""

    method: str
    fields: Document = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)


def read_means(given: dict[str, Any]) -> Means | str:
    """Read what a form or a control call says; a text says what is wrong with it."""
    method = str(given.get("method") or _method_of(given))
    if method == "card":
        return _card(re.sub(r"[ -]", "", str(given.get("card") or "")))
    if method == "upi":
        return _upi(str(given.get("vpa") or "").strip().lower())
    known = {"netbanking": BANKS, "wallet": WALLETS, "paylater": LATERS}.get(method)
    if known is None:
        return "Choose how to pay."
    name = {"netbanking": "bank", "wallet": "wallet", "paylater": "wallet"}[method]
    chosen = str(given.get(method) or given.get(name) or next(iter(known)))
    if chosen not in known:
        return "Choose one of the list."
    return Means(method, {name: chosen})


def _method_of(given: dict[str, Any]) -> str:
    names = {"vpa": "upi", "bank": "netbanking", "wallet": "wallet", "card": "card"}
    return next((method for name, method in names.items() if given.get(name)), "")


def _card(number: str) -> Means | str:
    if not (re.fullmatch("[0-9]{12,19}", number) and _luhn_or_test(number)):
        return "This is not the number of a card."
    reason = CARDS.get(number)
    card = {
        "id": new_id("card_"),
        "entity": "card",
        "name": "",
        "last4": number[-4:],
        "network": _network(number),
        "type": "credit",
        "issuer": None,
        "international": False,
        "emi": False,
        "sub_type": "consumer",
        "token_iin": None,
    }
    plan = Plan("failure", reason) if reason else Plan()
    return Means("card", {"card_id": card["id"], "card": card}, plan)


def _luhn_or_test(number: str) -> bool:
    digits = [int(one) for one in reversed(number)]
    doubled = [sum(divmod(2 * one, 10)) for one in digits[1::2]]
    return number in CARDS or number == GOOD_CARD or (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _network(number: str) -> str:
    heads = {"4": "Visa", "5": "MasterCard", "6": "RuPay", "34": "American Express", "36": "Diners"}
    return next((name for head, name in heads.items() if number.startswith(head)), "Unknown")


def _upi(vpa: str) -> Means | str:
    if not re.fullmatch(r"[a-z0-9._-]{2,200}@[a-z]{2,60}", vpa):
        return "This is not a UPI ID, such as name@bank."
    upi = {"payer_account_type": "bank_account", "vpa": vpa, "flow": "collect"}
    return Means("upi", {"vpa": vpa, "upi": upi}, VPAS.get(vpa, Plan()))
