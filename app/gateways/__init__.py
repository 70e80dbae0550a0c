"""Payment gateways: our words for what they say, what each must do, and how one is found.

A gateway is a file here, and its file name is its name everywhere: in the database, in its
settings' prefix, in its webhook's path. Listing the folder lists the gateways.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol

from app import config
from app.errors import NotFoundError
from app.money import Money

UNKEEPABLE = re.compile("[\\x00\\ud800-\\udfff]")


class Outcome(StrEnum):
    """What a gateway reports about a payment, in our words."""

    PAID = "paid"
    PROCESSING = "processing"  # the payer has done their part, the money is still on its way
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"  # stored and acknowledged, never acted on


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


@dataclass(frozen=True, slots=True)
class Notice:
    """A genuine webhook in our words, with the message itself beside them."""

    event_id: str
    account: str  # the gateway's account it belongs to; empty for our own
    livemode: bool
    type: str
    occurred_at: datetime
    outcome: Outcome
    raw: Mapping[str, Any]
    payment_attempt_id: str | None = None
    gateway_session_id: str | None = None
    gateway_payment_id: str | None = None
    amount: Money | None = None
    failure_code: str | None = None
    failure_message: str | None = None


class Gateway(Protocol):
    """One payment gateway. An adapter knows its gateway's API and nothing of the database."""

    name: ClassVar[str]

    def open(self, charge: Charge) -> Checkout:
        """Open a hosted page. Safe to repeat with the same charge: the same page.

        Raises GatewayRefusedError when the gateway said no for good, GatewayUnavailableError when
        it is not known what happened.
        """
        ...

    def read(self, delivery: Delivery, now: datetime) -> Notice:
        """Verify a webhook, then translate it. Raises SignatureInvalidError before parsing."""
        ...

    def receipt_url(self, gateway_payment_id: str) -> str | None:
        """Look the payer's receipt of a payment up; None while there is none.

        Raises GatewayRefusedError when the gateway knows no such payment, GatewayUnavailableError.
        """
        ...


def parse(body: bytes) -> Any:
    """Parse a gateway's JSON into what Postgres can keep as jsonb. Raises ValueError.

    Postgres has no place for the character NUL and for half of a surrogate pair; U+FFFD stands in.
    Numbers must be finite, and nesting stays within what a parser will do.
    """
    try:
        return _keepable(json.loads(body, parse_constant=_finite, parse_float=_finite))
    except RecursionError as failure:
        message = "nested too deeply"
        raise ValueError(message) from failure


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
        message = f"{text} is no number of JSON"
        raise ValueError(message)
    return number


def names() -> list[str]:
    """Every gateway, by the name of its file."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(file.stem for file in files if file.stem != "__init__")


def finder(environ: Mapping[str, str]) -> Callable[[str], Gateway]:
    """Answer a function from a name to its gateway, which is made once, at its first use.

    That function raises NotFoundError for a name without a file, ConfigError for missing settings.
    """

    @cache
    def find(name: str) -> Gateway:
        if name not in names():
            message = f"there is no gateway called {name}"
            raise NotFoundError(message)
        module = import_module(f"{__name__}.{name}")
        settings = config.read(module.Settings, environ, prefix=f"{name}_")
        gateway: Gateway = module.Adapter(settings)
        return gateway

    return find
