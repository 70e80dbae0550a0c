"""What gateways say of money, in the one set of words that the database takes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Self

from app.jsonb import UNKEEPABLE
from app.money import Money


class Subject(StrEnum):
    """What a gateway's word is about."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    SETUP = "setup"  # saving a payment method for later
    NONE = "none"  # nothing of ours


class Outcome(StrEnum):
    """What a gateway reports, in our words. One word may serve several subjects."""

    # of payments
    PAID = "paid"
    AUTHORIZED = "authorized"  # the money is reserved until it is captured or canceled
    PROCESSING = "processing"  # the payer has done their part, the money is still on its way
    REQUIRES_ACTION = "requires_action"  # the next step is the payer's: an open page, 3-D Secure
    EXPIRED = "expired"
    # of refunds
    PENDING = "pending"
    # of disputes
    OPENED = "opened"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    UNREADABLE = "unreadable"  # an entry of a list that is not as documented: a person looks
    # of several
    SUCCEEDED = "succeeded"  # a refund, a setup
    FAILED = "failed"  # a payment, a refund (even after it succeeded), a setup
    CANCELED = "canceled"  # a payment, a refund
    UNKNOWN = "unknown"  # stored and acknowledged, never acted on
    HINT = "hint"  # proves nothing: the gateway is asked, and its answer counts


class Method(StrEnum):
    """How a payer pays."""

    CARD = "card"
    UPI = "upi"
    NETBANKING = "netbanking"
    WALLET = "wallet"
    EMI = "emi"
    PAY_LATER = "pay_later"
    BANK_DEBIT = "bank_debit"  # the gateway draws on a bank account
    BANK_TRANSFER = "bank_transfer"  # the payer sends the money: NEFT, RTGS
    OTHER = "other"


# What stands for a gateway where there is none: payers transfer to the organisation's own account,
# and people read its statement. Nobody can be asked about it, and no adapter may be called so.
BY_HAND = "bank_transfer"


class DeclineClass(StrEnum):
    """What a failed payment means for the next try with the same method."""

    SOFT = "soft"  # may pass another day
    HARD = "hard"  # never passes again: the payer must give another method
    AUTHENTICATION = "authentication"  # passes only with the payer present
    FRAUD = "fraud"  # never again, and somebody looks at it
    GATEWAY = "gateway"  # says nothing about the method: the gateway or our request was at fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a gateway knows, in the one set of words that the database takes.

    An answer, a webhook and a look-up say the same, so that all end in the same SQL function.
    """

    subject: Subject
    outcome: Outcome
    payment_attempt_id: str | None = None  # ours, from the gateway's metadata
    refund_id: str | None = None
    autopay_mandate_id: str | None = None
    gateway_session_id: str | None = None
    gateway_payment_id: str | None = None
    gateway_refund_id: str | None = None
    gateway_dispute_id: str | None = None
    gateway_customer_id: str | None = None
    gateway_payment_method_id: str | None = None
    method: Method | None = None  # of a payment or a setup
    card_brand: str | None = None  # of a setup; no number of a card but its last four digits
    card_last4: str | None = None
    card_expires_on: date | None = None
    amount: Money | None = None  # of the subject: the payment's, the refund's, the dispute's
    captured_amount: Money | None = None  # what has been taken of a payment
    receipt_url: str | None = None  # of a payment, where the gateway said it without being asked
    reason: str | None = None  # of a refund, a dispute or a cancellation, in the gateway's words
    failure_code: str | None = None
    failure_message: str | None = None
    decline_class: DeclineClass | None = None  # of a payment that failed, or of a try at it
    declined_at: datetime | None = None  # when that was tried, where the gateway dates it
    fee: Money | None = None  # what the gateway charges for a dispute, won or lost
    evidence_due_at: datetime | None = None  # of a dispute
    opened_at: datetime | None = None  # the same

    def words(self) -> dict[str, object]:
        """Write them for the database: `amount` beside `currency`, everything a plain value."""
        plain = {name: _plain(getattr(self, name)) for name in FINDING}
        plain["currency"] = self.amount and self.amount.currency
        plain["fee_currency"] = self.fee and self.fee.currency
        plain["fee_amount"] = plain.pop("fee")
        return plain


FINDING = tuple(each.name for each in fields(Finding))
NONSENSE = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, OSError)
EXCERPT_LENGTH_MAX = 300


def dispute_in(
    entry: Any,
    translate: Callable[[Any], Finding],
    named: Callable[[Any], tuple[object, object]],
) -> Finding:
    """Translate an entry of a list of disputes; one that cannot be read is told to be so.

    The others of the list need not wait for it. `named` answers the gateway's names of the dispute
    and of its payment, by which the same entry is the same finding whatever else it says; one
    without a name is told by its words.
    """
    try:
        return translate(entry)
    except NONSENSE:
        dispute, payment = _names(entry, named)
        said = json.dumps(entry, sort_keys=True, default=str)[:EXCERPT_LENGTH_MAX]
        return Finding(
            subject=Subject.DISPUTE,
            outcome=Outcome.UNREADABLE,
            gateway_dispute_id=dispute,
            gateway_payment_id=payment,
            failure_message=None if dispute else said,
        )


def refund_in(entry: Any, translate: Callable[[Any], Finding]) -> Finding:
    """Translate an entry of a list of refunds; one that cannot be read keeps no other waiting."""
    try:
        return translate(entry)
    except NONSENSE:
        return Finding(subject=Subject.REFUND, outcome=Outcome.UNREADABLE)


def _names(
    entry: Any, named: Callable[[Any], tuple[object, object]]
) -> tuple[str | None, str | None]:
    try:
        dispute, payment = named(entry)
    except NONSENSE:
        return None, None
    return _name(dispute), _name(payment)


def _name(value: object) -> str | None:
    is_name = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value)[:EXCERPT_LENGTH_MAX] or None if is_name else None


def _plain(value: object) -> object:
    if isinstance(value, Money | date):
        return value.amount if isinstance(value, Money) else value.isoformat()
    return value and UNKEEPABLE.sub("\N{REPLACEMENT CHARACTER}", str(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Finding):
    """A genuine webhook: a finding that came by itself, with the message beside it."""

    event_id: str
    account: str  # the gateway's account it belongs to; empty for our own
    livemode: bool
    type: str
    occurred_at: datetime
    raw: Mapping[str, Any]
    # False: anybody may have sent it. It is a hint at a refund or a dispute, and is not kept.
    is_signed: bool = True

    def as_hint(self) -> Self:
        """Take it for a hint, whatever it says; what is about nothing of ours hints at nothing."""
        is_about_us = self.subject is not Subject.NONE
        return replace(self, outcome=Outcome.HINT) if is_about_us else self


class Settled(StrEnum):
    """What a line of a settlement report is about."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    ADJUSTMENT = "adjustment"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementLine:
    """One line of a gateway's settlement report. Amounts have the sign of our bank account's.

    `net` = `gross` - `fee` - `tax`: a payment of 100 with a fee of 2 and 0.36 GST nets 97.64, its
    refund -100.
    """

    settlement_id: str
    line_id: str  # unique at the gateway: a report read twice is booked once
    kind: Settled
    gross: Money
    fee: Money  # without the tax on it
    tax: Money
    net: Money
    settled_at: datetime
    utr: str | None = None  # the bank's reference of the transfer
    payment_attempt_id: str | None = None
    refund_id: str | None = None
    gateway_payment_id: str | None = None
    gateway_refund_id: str | None = None
    gateway_dispute_id: str | None = None
