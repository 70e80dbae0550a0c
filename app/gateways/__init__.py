"""Payment gateways: our words for what they say, what each must do, and how one is found.

A gateway is a folder here, and its name is the gateway's name everywhere: in the database, in its
settings' prefix, in its webhook's path. Listing the folders lists the gateways.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, Protocol

from app import config
from app.errors import NotFoundError
from app.money import Money

UNKEEPABLE = re.compile("[\\x00\\ud800-\\udfff]")
ESCAPES = re.compile(rb"\\u|\x00")  # by these alone ASCII can mean something unkeepable


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
    # of several
    SUCCEEDED = "succeeded"  # a refund, a setup
    FAILED = "failed"  # a payment, a refund (even after it succeeded), a setup
    CANCELED = "canceled"  # a payment, a refund
    UNKNOWN = "unknown"  # stored and acknowledged, never acted on


class DeclineClass(StrEnum):
    """What a failed payment means for the next try with the same method."""

    SOFT = "soft"  # may pass another day
    HARD = "hard"  # never passes again: the payer must give another method
    AUTHENTICATION = "authentication"  # passes only with the payer present
    FRAUD = "fraud"  # never again, and somebody looks at it
    GATEWAY = "gateway"  # says nothing about the method: the gateway or our request was at fault


@dataclass(frozen=True, slots=True)
class Charge:
    """What the payer is asked for. Frozen in the database, so that asking twice asks the same."""

    id: str  # the payment attempt: the gateway's idempotency key and its reference to us
    amount: Money
    title: str
    email: str
    success_url: str
    cancel_url: str
    expires_at: datetime
    authorize_only: bool = False  # reserve the money; `capture` takes it


@dataclass(frozen=True, slots=True)
class SavedCharge:
    """What is taken from a saved method while the payer is away."""

    id: str  # the payment attempt, as in Charge
    amount: Money
    title: str
    email: str
    gateway_customer_id: str
    gateway_payment_method_id: str


@dataclass(frozen=True, slots=True)
class Setup:
    """A page on which a payer saves a method for charges to come."""

    id: str  # the autopay mandate: idempotency key and reference
    currency: str  # of the charges to come: it decides which methods are offered
    email: str
    success_url: str
    cancel_url: str
    expires_at: datetime
    gateway_customer_id: str | None = None  # None: the gateway makes a customer


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """A refund that our books have reserved."""

    id: str  # the refund: idempotency key and reference
    gateway_payment_id: str
    amount: Money
    reason: str  # ours; the adapter finds the gateway's nearest word


@dataclass(frozen=True, slots=True)
class Query:
    """A payment to look up: by the gateway's ids where we have one, else by our reference."""

    payment_attempt_id: str
    since: datetime  # when the attempt was made: nothing of it is older
    gateway_session_id: str | None = None
    gateway_payment_id: str | None = None
    gateway_customer_id: str | None = None  # of a SavedCharge


@dataclass(frozen=True, slots=True)
class Checkout:
    """A hosted page that a gateway opened."""

    reference: str
    url: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook as it came: header names in lower case, the body's bytes untouched."""

    headers: Mapping[str, str]
    body: bytes


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
    amount: Money | None = None  # of the subject: the payment's, the refund's, the dispute's
    captured_amount: Money | None = None  # what has been taken of a payment
    reason: str | None = None  # of a refund, a dispute or a cancellation, in the gateway's words
    failure_code: str | None = None
    failure_message: str | None = None
    decline_class: DeclineClass | None = None  # of a payment that failed
    fee: Money | None = None  # what the gateway charges for a dispute, won or lost
    evidence_due_at: datetime | None = None  # of a dispute

    def words(self) -> dict[str, object]:
        """Write them for the database: `amount` beside `currency`, everything a plain value."""
        plain = {each.name: _plain(getattr(self, each.name)) for each in fields(Finding)}
        plain["currency"] = self.amount and self.amount.currency
        plain["fee_currency"] = self.fee and self.fee.currency
        plain["fee_amount"] = plain.pop("fee")
        return plain


def _plain(value: object) -> object:
    if isinstance(value, Money | datetime):
        return value.amount if isinstance(value, Money) else value.isoformat()
    return value and str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Finding):
    """A genuine webhook: a finding that came by itself, with the message beside it."""

    event_id: str
    account: str  # the gateway's account it belongs to; empty for our own
    livemode: bool
    type: str
    occurred_at: datetime
    raw: Mapping[str, Any]


class Gateway(Protocol):
    """One payment gateway. An adapter knows its gateway's API and nothing of the database.

    Whatever asks the gateway raises GatewayRefusedError when it said no for good, and
    GatewayUnavailableError when it is not known what happened. What is safe to repeat is so with
    the same words, for as long as the gateway keeps keys (a day at least); later, look up first.
    """

    name: ClassVar[str]

    def open(self, charge: Charge) -> Checkout:
        """Open a hosted page. Safe to repeat with the same charge: the same page."""

    def open_setup(self, setup: Setup) -> Checkout:
        """Open a hosted page that saves a payment method. Safe to repeat: the same page."""

    def charge(self, charge: SavedCharge) -> Finding:
        """Charge a saved method while the payer is away. Safe to repeat: the same payment.

        A decline is a finding: FAILED, with its class.
        """

    def capture(self, payment_attempt_id: str, gateway_payment_id: str, amount: Money) -> Finding:
        """Take all or part of what is authorized; the rest is released. Safe to repeat."""

    def cancel(self, payment_attempt_id: str, gateway_payment_id: str) -> Finding:
        """Give up a payment that is not captured. One that is over is answered as it is."""

    def expire(self, payment_attempt_id: str, gateway_session_id: str) -> Finding:
        """Close an open page. One that is over is answered as it is."""

    def refund(self, order: RefundOrder) -> Finding:
        """Send money back. Safe to repeat: the same refund. A refusal is a finding: FAILED."""

    def find(self, query: Query) -> Finding | None:
        """Look a payment up. None: the gateway certainly knows nothing of it."""

    def find_refund(self, refund_id: str, gateway_payment_id: str) -> Finding | None:
        """Look a refund up among its payment's. None: the gateway certainly has none such."""

    def find_setup(self, autopay_mandate_id: str, gateway_session_id: str) -> Finding | None:
        """Look a setup up by its page. SUCCEEDED comes with the customer and the method."""

    def read(self, delivery: Delivery, now: datetime) -> Notice:
        """Verify a webhook, then translate it. Raises SignatureInvalidError before parsing."""

    def receipt_url(self, gateway_payment_id: str) -> str | None:
        """Look the payer's receipt of a payment up; None while there is none."""


def parse(body: bytes) -> Any:
    """Parse JSON into what Postgres can keep as jsonb. Raises ValueError.

    U+FFFD stands in for NUL and for half of a surrogate pair, and numbers must be finite.
    """
    try:
        value = json.loads(body, parse_constant=_finite, parse_float=_finite)
        return value if body.isascii() and not ESCAPES.search(body) else _keepable(value)
    except RecursionError as failure:
        raise ValueError("nested too deeply") from failure


def _keepable(value: Any) -> Any:
    if isinstance(value, str):
        return UNKEEPABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [_keepable(item) for item in value]
    if isinstance(value, dict):
        return {_keepable(key): _keepable(item) for key, item in value.items()}
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number of JSON")
    return number


def names() -> list[str]:
    """Every gateway, by the name of its folder."""
    return sorted(module.name for module in iter_modules(__path__) if module.ispkg)


def finder(environ: Mapping[str, str]) -> Callable[[str], Gateway]:
    """Answer a function from a name to its gateway, which is made once, at its first use.

    That function raises NotFoundError for an unknown name, ConfigError for missing settings.
    """

    @cache
    def find(name: str) -> Gateway:
        if name not in names():
            raise NotFoundError(f"there is no gateway called {name}")
        module = import_module(f"{__name__}.{name}")
        settings = config.read(module.Settings, environ, prefix=f"{name}_")
        gateway: Gateway = module.Adapter(settings)
        return gateway

    return find
