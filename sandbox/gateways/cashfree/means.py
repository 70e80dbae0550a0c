"""What payers pay with, and what their banks make of it: the magic values, as data.

The cards and VPAs that pay are those of Cashfree's own test system, which has buttons instead of
values that fail: those are the sandbox's.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class How(StrEnum):
    """What becomes of a payment."""

    PAYS = "pays"
    DECLINES_SOFT = "declines_soft"
    DECLINES_HARD = "declines_hard"
    DECLINES_AUTHENTICATION = "declines_authentication"
    DECLINES_FRAUD = "declines_fraud"
    GATEWAY_FAILS = "gateway_fails"
    PENDING_THEN_PAID = "pending_then_paid"
    PENDING_THEN_FAILED = "pending_then_failed"
    FAILS_THEN_PAYS_LATE = "fails_then_pays_late"
    DROPS = "drops"


@dataclass(frozen=True, slots=True)
class Failure:
    """`error_details` of a payment, and its `payment_message`."""

    reason: str
    source: str
    description: str
    code: str = "TRANSACTION_DECLINED"

    def details(self) -> dict[str, Any]:
        return {
            "error_code": self.code,
            "error_description": self.description,
            "error_reason": self.reason,
            "error_source": self.source,
        }


NO_FUNDS = Failure("insufficient_funds", "bank", "The account has not enough money")
REJECTED = Failure("bank_rejected", "bank", "The bank rejected the payment")
FAILURES = {
    How.DECLINES_SOFT: NO_FUNDS,
    How.DECLINES_HARD: Failure("card_expired", "customer", "The card has expired"),
    How.DECLINES_AUTHENTICATION: Failure("incorrect_otp", "customer", "The code was wrong"),
    How.DECLINES_FRAUD: Failure("suspected_fraud", "bank", "The bank suspects fraud"),
    How.GATEWAY_FAILS: Failure(
        "gateway_error", "cashfree", "The payment could not be processed", "GATEWAY_ERROR"
    ),
    How.PENDING_THEN_FAILED: REJECTED,
    How.FAILS_THEN_PAYS_LATE: Failure("payment_timed_out", "bank", "The bank did not answer"),
}

CARDS = {
    **dict.fromkeys(("4706131211212123", "4576238912771450", "4444333322221111"), How.PAYS),
    **dict.fromkeys(("5409162669381034", "6074825972083818"), How.PAYS),
    "4000000000009995": How.DECLINES_SOFT,
    "4000000000000069": How.DECLINES_HARD,
    "4000000000003220": How.DECLINES_AUTHENTICATION,
    "4100000000000019": How.DECLINES_FRAUD,
    "4000000000000119": How.GATEWAY_FAILS,
}
VPAS = {
    "testsuccess@gocash": How.PAYS,
    "testfailure@gocash": How.DECLINES_SOFT,
    "testpending@gocash": How.PENDING_THEN_PAID,
    "testpendingfailure@gocash": How.PENDING_THEN_FAILED,
    "testlate@gocash": How.FAILS_THEN_PAYS_LATE,
}
VPA_MEANINGS = {
    "testsuccess@gocash": "pays",
    "testfailure@gocash": "is refused for want of money",
    "testpending@gocash": "pending, paid a minute later",
    "testpendingfailure@gocash": "pending, refused a minute later",
    "testlate@gocash": "fails, and turns out paid a minute later",
}
GOOD_CARD, GOOD_VPA = "4706131211212123", "testsuccess@gocash"


@dataclass(frozen=True, slots=True)
class Means:
    """How a payment is made: `payment_group` and `payment_method` of the API."""

    group: str
    method: dict[str, Any]

    @property
    def can_hold(self) -> bool:
        """Say whether money can be held on it: netbanking and wallets take it at once."""
        return self.group in {"debit_card", "credit_card", "upi"}


def card(number: str = GOOD_CARD) -> Means:
    networks = {"4": "visa", "5": "mastercard", "6": "rupay"}
    return Means(
        "credit_card",
        {
            "card": {
                "channel": "link",
                "card_number": f"XXXXXXXXXXXX{number[-4:]}",
                "card_network": networks.get(number[:1], "other"),
                "card_type": "credit_card",
                "card_country": "IN",
                "card_bank_name": "TEST Bank",
            }
        },
    )


def upi(vpa: str = GOOD_VPA) -> Means:
    return Means("upi", {"upi": {"channel": "collect", "upi_id": vpa}})


def upi_link(vpa: str | None = None) -> Means:
    """Give what is known of a link's payment: whose it is only once it is paid."""
    return Means("upi", {"upi": {"channel": "link", "upi_id": vpa}})


def netbanking() -> Means:
    bank = {"netbanking_bank_code": "3333", "netbanking_bank_name": "Test Bank"}
    return Means("net_banking", {"netbanking": {"channel": "link", **bank}})


def wallet() -> Means:
    return Means("wallet", {"app": {"channel": "link", "provider": "phonepe"}})
