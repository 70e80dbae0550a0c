"""Payment gateways: what each is asked and must do, and how one is found.

A gateway is a module here, or a folder; its name is the gateway's name everywhere: in the database,
in its settings' prefix, in its webhook's path. Listing the modules lists the gateways.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import ClassVar, Protocol

from app import config
from app.capabilities import Capability
from app.errors import NotFoundError
from app.findings import (
    DeclineClass,
    Finding,
    Method,
    Notice,
    Outcome,
    Settled,
    SettlementLine,
    Subject,
)
from app.jsonb import parse
from app.money import Money

__all__ = [
    "Capability",
    "Charge",
    "Checkout",
    "DeclineClass",
    "Delivery",
    "Device",
    "Finding",
    "Gateway",
    "Method",
    "Money",
    "Notice",
    "Outcome",
    "Query",
    "RefundOrder",
    "Return",
    "SavedCharge",
    "Settled",
    "SettlementLine",
    "Setup",
    "Subject",
    "UpiIntent",
    "finder",
    "names",
    "parse",
]


@dataclass(frozen=True, slots=True)
class Device:
    """Where the payer is, as banks' checks for fraud want to know. Passed on, and not kept."""

    address: str
    agent: str


NOBODYS = Device("127.0.0.1", "Mozilla/5.0")  # gateways take no empty ones


@dataclass(frozen=True, slots=True)
class Charge:
    """What the payer is asked for. Frozen in the database: asking twice asks the same."""

    id: str  # the payment attempt: the gateway's idempotency key and its reference to us
    amount: Money
    title: str
    email: str
    success_url: str
    cancel_url: str
    expires_at: datetime
    authorize_only: bool = False  # reserve the money; `capture` takes it
    name: str = ""  # the payer's
    phone: str = ""  # the payer's, as +91XXXXXXXXXX
    method: Method | None = None  # the payer has chosen; None: the gateway's page asks
    gateway_customer_id: str | None = None  # the payer wants what they saved there
    reference: str = ""  # of the page that our books have: of several it is this one
    device: Device = NOBODYS


@dataclass(frozen=True, slots=True)
class SavedCharge:
    """What is taken from a saved method while the payer is away."""

    id: str  # the payment attempt, as in Charge
    amount: Money
    title: str
    email: str
    gateway_customer_id: str
    gateway_payment_method_id: str
    authorize_only: bool = False  # as in Charge; only where AUTHORIZE is declared


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

    def answered(
        self, outcome: Outcome, code: str | None = None, message: str | None = None
    ) -> Finding:
        """Write down what the gateway answered to it: with a code and words where that is no."""
        return Finding(
            subject=Subject.REFUND,
            outcome=outcome,
            refund_id=self.id,
            gateway_payment_id=self.gateway_payment_id,
            amount=self.amount,
            failure_code=code,
            failure_message=message,
        )


@dataclass(frozen=True, slots=True)
class Query:
    """A payment to look up: by the gateway's ids where we have one, else by our reference."""

    payment_attempt_id: str
    since: datetime  # when the attempt was made: nothing of it is older
    gateway_session_id: str | None = None
    gateway_payment_id: str | None = None
    gateway_customer_id: str | None = None  # of a SavedCharge
    is_over: bool = False  # its page has closed: what only we could close has expired


@dataclass(frozen=True, slots=True)
class Checkout:
    """A page of a gateway's, open for a payer."""

    reference: str  # the gateway's name for it, or ours where the gateway takes it
    url: str
    form: Mapping[str, str] = field(default_factory=dict)  # to POST to `url`; empty: to go there
    # Origins that a form is led on to from there: a browser holds it to its page's policy.
    leads_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UpiIntent:
    """What a payer's UPI app is handed, by a tap or from a code, instead of a gateway's page."""

    reference: str  # as Checkout.reference of the same charge
    link: str  # upi://pay?…; unchecked: see app/upi.py
    expires_at: datetime  # when the gateway takes it no more, as far as it says


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook as it came: header names in lower case, the body's bytes untouched."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Return:
    """What a payer's browser brought back from a gateway: query and form as one."""

    fields: Mapping[str, str]
    payment_attempt_id: str  # whose page it came back from
    gateway_session_id: str  # as our books have it, whatever the browser says


class Gateway(Protocol):
    """One payment gateway. An adapter knows its API and nothing of the database.

    Whatever asks the gateway raises GatewayRefusedError when it said no for good, and
    GatewayUnavailableError when it is not known what happened. What is safe to repeat is so with
    the same words, for as long as the gateway keeps keys (a day at least); later, look up first.
    What belongs to a capability exists only where the capability is declared.
    """

    name: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]]
    methods: ClassVar[frozenset[Method]]  # that its page takes
    currencies: ClassVar[frozenset[str]]  # empty: any
    # True where others could write what its webhooks say: it is asked before anything is booked.
    messages_are_hints: ClassVar[bool]

    def open(self, charge: Charge) -> Checkout:
        """Open a hosted page. Safe to repeat with the same charge: the same page."""

    def open_upi(self, charge: Charge) -> UpiIntent | None:
        """Ask for a link into the payer's UPI app. None where there is none: open a page instead.

        Safe to repeat with the same charge: the same reference, though the link may be a new one.
        """

    def open_setup(self, setup: Setup) -> Checkout:
        """Open a hosted page that saves a payment method. Safe to repeat: the same page."""

    def charge(self, charge: SavedCharge) -> Finding:
        """Charge a saved method while the payer is away. Safe to repeat: the same payment.

        A decline is a finding: FAILED, with its class.
        """

    def capture(self, payment_attempt_id: str, gateway_payment_id: str, amount: Money) -> Finding:
        """Take what is authorized; the rest is released. Safe to repeat with the same amount.

        A part where Capability.PARTS is declared. After a refusal another amount may be asked for.
        """

    def cancel(self, payment_attempt_id: str, gateway_payment_id: str) -> Finding:
        """Give up a payment that is not captured. One that is over is answered as it is."""

    def expire(self, payment_attempt_id: str, gateway_session_id: str) -> Finding:
        """Close an open page. One that is over is answered as it is."""

    def refund(self, order: RefundOrder) -> Finding:
        """Send money back. Safe to repeat: the same refund. A refusal is a finding: FAILED."""

    def find(self, query: Query) -> Finding | None:
        """Look a payment up. None: the gateway certainly knows nothing of it."""

    def find_payments(self, query: Query) -> Sequence[Finding]:
        """List all payments of a page, as each stands by itself. What has no money has no name."""

    def find_refund(self, refund_id: str, gateway_payment_id: str) -> Finding | None:
        """Look a refund up among its payment's. None: the gateway certainly has none such."""

    def find_refunds(self, gateway_payment_id: str) -> Sequence[Finding]:
        """List all refunds of a payment as they stand, whoever made them."""

    def find_new_refunds(self, since: datetime) -> Iterator[Finding]:
        """List the refunds made since then, of whichever payment."""

    def find_disputes(self, since: datetime) -> Iterator[Finding]:
        """List disputes opened since then, the newest first; UNREADABLE what cannot be read."""

    def find_payment_disputes(self, gateway_payment_id: str) -> Sequence[Finding]:
        """List the disputes of a payment so, as they stand now, perhaps with others of its page."""

    def find_setup(self, autopay_mandate_id: str, gateway_session_id: str) -> Finding | None:
        """Look a setup up by its page. SUCCEEDED comes with the customer and the method."""

    def read(self, delivery: Delivery, now: datetime) -> Notice:
        """Verify a webhook, then translate it. Raises SignatureInvalidError before parsing."""

    def read_return(self, arrival: Return) -> Finding:
        """Translate what a browser brought back. Never proof of payment: look it up as well.

        UNKNOWN where the gateway signs nothing. Raises SignatureInvalidError for a return that was
        altered, or signed for another page.
        """

    def settlements(self, day: date) -> Iterator[SettlementLine]:
        """List what the gateway settled on a day of its own zone, page by page, oldest first."""

    def receipt_url(self, gateway_payment_id: str) -> str | None:
        """Look the payer's receipt of a payment up; None while there is none."""


def names() -> list[str]:
    """Every gateway, by the name of its module."""
    return sorted(module.name for module in iter_modules(__path__))


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
        config.check_mode(name, settings, environ)
        gateway: Gateway = module.Adapter(settings)
        return gateway

    return find
