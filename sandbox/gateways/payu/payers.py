"""What a payer pays with, and what comes of it: the magic values of this simulator."""

from dataclasses import dataclass
from enum import StrEnum

OTP = "123456"


class Ending(StrEnum):
    """How a try ends."""

    PAID = "paid"
    FAILED = "failed"
    PENDING_PAID = "pending_paid"  # pending, and paid ten minutes later
    PENDING_FAILED = "pending_failed"
    DROPPED_PAID = "dropped_paid"  # failed for want of an answer; the bank did pay, known later


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try failed, in PayU's words."""

    code: str
    message: str
    bank: str = ""  # the bank's own code


@dataclass(frozen=True, slots=True)
class Means:
    """A card, a UPI address or a bank, with what comes of paying by it."""

    mode: str
    bankcode: str
    value: str  # what the payer entered
    shown: str  # as PayU shows it: a masked card, an address, a bank
    ending: Ending = Ending.PAID
    failure: Failure | None = None
    refunds: str = "succeed"

    @property
    def needs_otp(self) -> bool:
        return self.mode in {"CC", "DC"}


DO_NOT_HONOUR = Failure("E307", "Transaction declined with do not honor", "05")
NO_FUNDS = Failure(
    "E706", "The account against which the payment was made has insufficient funds.", "51"
)
EXPIRED = Failure(
    "E311", "Transaction declined due to invalid expiry details or the card is expired", "54"
)
FRAUD = Failure(
    "E324",
    "Transaction was declined by the issuing bank due to suspected fraudulent activities",
    "34",
)
BANK_TROUBLE = Failure("E1629", "Transaction declined due to technical failure at bank end", "91")
UNAUTHENTICATED = Failure("E317", "Payer could not be authenticated")
DECLINED_BY_PAYER = Failure("E4168", "Transaction declined by the customer", "ZA")
NO_ANSWER = Failure("E231", "Transaction was marked as dropped")
LEFT = Failure("E408", "Transaction failed. Page expired due to no user input.")
CANCELLED = Failure("E000", "Cancelled by user")
UNKNOWN_CARD = Failure("E305", "The transaction failed due to invalid or absent card number.", "15")

# Number: the kind of card, how it ends, why it fails, and what becomes of its refunds.
CARDS: dict[str, tuple[str, Ending, Failure | None, str]] = {
    "5123456789012346": ("CC", Ending.PAID, None, "succeed"),
    "4012001037141112": ("CC", Ending.PAID, None, "succeed"),
    "6082015309577308": ("DC", Ending.PAID, None, "succeed"),
    "4000000000000002": ("CC", Ending.FAILED, DO_NOT_HONOUR, "succeed"),
    "4000000000009995": ("DC", Ending.FAILED, NO_FUNDS, "succeed"),
    "4000000000000069": ("CC", Ending.FAILED, EXPIRED, "succeed"),
    "4000000000009979": ("CC", Ending.FAILED, FRAUD, "succeed"),
    "4000000000000119": ("CC", Ending.FAILED, BANK_TROUBLE, "succeed"),
    "4000000000003220": ("CC", Ending.FAILED, UNAUTHENTICATED, "succeed"),
    "4000000000007726": ("CC", Ending.PAID, None, "wait_then_succeed"),
    "4000000000005126": ("CC", Ending.PAID, None, "wait_then_fail"),
    "4000000000009987": ("CC", Ending.DROPPED_PAID, NO_ANSWER, "succeed"),
}
ADDRESSES: dict[str, tuple[Ending, Failure | None]] = {
    "success@payu": (Ending.PAID, None),
    "failure@payu": (Ending.FAILED, DECLINED_BY_PAYER),
    "pending@payu": (Ending.PENDING_PAID, None),
    "pendingfailure@payu": (Ending.PENDING_FAILED, BANK_TROUBLE),
    "late@payu": (Ending.DROPPED_PAID, NO_ANSWER),
}
ADDRESS_MEANINGS = {
    "success@payu": "pays",
    "failure@payu": "is declined",
    "pending@payu": "pending, paid ten minutes later",
    "pendingfailure@payu": "pending, refused ten minutes later",
    "late@payu": "fails for want of an answer, and turns out paid an hour later",
}
BANKS: dict[str, tuple[str, Ending, Failure | None]] = {
    "TESTPGNB": ("Test Bank", Ending.PAID, None),
    "FAILPGNB": ("Bank that refuses", Ending.FAILED, NO_FUNDS),
}


def card(number: str) -> Means:
    digits = "".join(sign for sign in number if sign.isdigit())
    kind, ending, failure, refunds = CARDS.get(
        digits, ("CC", Ending.FAILED, UNKNOWN_CARD, "succeed")
    )
    return Means(kind, kind, digits, f"XXXXXXXXXXXX{digits[-4:]}", ending, failure, refunds)


def address(text: str) -> Means:
    ending, failure = ADDRESSES.get(text.strip().lower(), (Ending.FAILED, DECLINED_BY_PAYER))
    return Means("UPI", "UPI", text, text.strip()[:60], ending, failure)


def bank(code: str) -> Means:
    name, ending, failure = BANKS.get(code, ("Unknown bank", Ending.FAILED, BANK_TROUBLE))
    return Means("NB", code[:10], code, name, ending, failure)
