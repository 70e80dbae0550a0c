"""Stripe: Checkout's hosted page, by the official SDK, which pins the API version.

https://docs.stripe.com/api/checkout/sessions
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import stripe
from stripe.params.checkout import SessionCreateParams

from app.config import ConfigError
from app.errors import (
    GatewayRefusedError,
    GatewayUnavailableError,
    InvalidInputError,
    SignatureInvalidError,
)
from app.gateways import Charge, Checkout, Delivery, Notice, Outcome, parse
from app.money import Money

# Every event we subscribe to; any other is UNKNOWN. A completed session may still be unpaid.
# https://docs.stripe.com/checkout/fulfillment
OUTCOMES = {
    "checkout.session.completed": Outcome.PAID,
    "checkout.session.async_payment_succeeded": Outcome.PAID,
    "checkout.session.async_payment_failed": Outcome.FAILED,
    "checkout.session.expired": Outcome.EXPIRED,
}

# Both ways: a stamp from the future is as wrong as an old one, and the SDK lets it pass.
STAMP_AGE_SECONDS_MAX = 300

# One try of at most so long; whoever called us tries again with the same key.
CONNECT_SECONDS_MAX, ANSWER_SECONDS_MAX = 3.05, 8

KEYS_MAX = 5  # how many stored failures of one charge are stepped over

# Stripe's units per ISO 4217 minor unit, where the two are not the same.
# https://docs.stripe.com/currencies#special-cases
UNITS = {"ISK": Fraction(100), "UGX": Fraction(100), "MGA": Fraction(1, 100)}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from STRIPE_SECRET_KEY and so on. Several webhook secrets while one replaces another."""

    secret_key: str = field(repr=False)
    webhook_secret: tuple[str, ...] = field(repr=False)
    api_url: str = "https://api.stripe.com"

    def __post_init__(self) -> None:
        if not self.secret_key.startswith(("sk_", "rk_")):
            message = "STRIPE_SECRET_KEY must start with sk_ or rk_"
            raise ConfigError(message)
        if not all(secret.startswith("whsec_") for secret in self.webhook_secret):
            message = "STRIPE_WEBHOOK_SECRET must start with whsec_"
            raise ConfigError(message)


class Adapter:
    """Stripe's answers in our words."""

    name: ClassVar[str] = "stripe"

    def __init__(self, settings: Settings) -> None:
        stripe.enable_telemetry = False
        self.settings = settings
        self.client = stripe.StripeClient(
            settings.secret_key,
            base_addresses={"api": settings.api_url},
            http_client=stripe.RequestsClient(timeout=(CONNECT_SECONDS_MAX, ANSWER_SECONDS_MAX)),
            max_network_retries=0,
        )

    def open(self, charge: Charge) -> Checkout:
        """Ask under the charge's id; under a numbered one once Stripe only repeats a stored 500.

        Stripe keeps a failure under its key for a day. Asking under another key may open a page
        twice, of which the payer sees one: no money moves by opening, and both name one attempt.
        """
        for key in (charge.id, *(f"{charge.id}:{number}" for number in range(2, KEYS_MAX + 1))):
            try:
                return self._open(charge, key)
            except GatewayUnavailableError as failure:
                if not _is_stored(failure.__cause__):
                    raise
        message = "Stripe repeats its failure"
        raise GatewayUnavailableError(message)

    def _open(self, charge: Charge, key: str) -> Checkout:
        reference = {"payment_attempt_id": charge.id}
        params: SessionCreateParams = {
            "mode": "payment",
            "client_reference_id": charge.id,
            "customer_email": charge.email,
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": charge.amount.currency.lower(),
                        "unit_amount": _units(charge.amount),
                        "product_data": {"name": charge.title},
                    },
                }
            ],
            "metadata": reference,
            # A session's metadata stays on the session: refunds and disputes need it too.
            "payment_intent_data": {"metadata": reference, "receipt_email": charge.email},
            "success_url": charge.success_url,
            "cancel_url": charge.cancel_url,
            "expires_at": int(charge.expires_at.timestamp()),
        }
        session = _answer(
            lambda: self.client.v1.checkout.sessions.create(params, {"idempotency_key": key})
        )
        if not session.id or not session.url:
            message = "Stripe's answer has no page"
            raise GatewayUnavailableError(message)
        return Checkout(reference=session.id, url=session.url)

    def read(self, delivery: Delivery, now: datetime) -> Notice:
        self._verify(delivery, now)
        try:
            return _notice(parse(delivery.body))
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as failure:
            message = "Stripe signed something that is not an event"
            raise InvalidInputError(message) from failure

    def receipt_url(self, gateway_payment_id: str) -> str | None:
        intent = _answer(
            lambda: self.client.v1.payment_intents.retrieve(
                gateway_payment_id, params={"expand": ["latest_charge"]}
            )
        )
        charge = intent.latest_charge
        return charge.receipt_url if isinstance(charge, stripe.Charge) else None

    def _verify(self, delivery: Delivery, now: datetime) -> None:
        header = delivery.headers.get("stripe-signature", "")
        stamp = next((item[2:] for item in header.split(",") if item.startswith("t=")), "")
        fresh = (
            stamp.isdecimal()
            and abs(now.timestamp() - int(stamp[:12])) <= STAMP_AGE_SECONDS_MAX
            and any(_signed(delivery.body, header, key) for key in self.settings.webhook_secret)
        )
        if not fresh:
            message = "this is not signed by Stripe, or not just now"
            raise SignatureInvalidError(message)


def _signed(body: bytes, header: str, secret: str) -> bool:
    try:
        return header.isascii() and stripe.WebhookSignature.verify_header(body, header, secret)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False


def _answer(ask: Callable[[], T]) -> T:
    """Tell a definite no from an unknown outcome: only a 4xx about the request itself is a no."""
    try:
        return ask()
    except (stripe.InvalidRequestError, stripe.CardError) as refusal:
        raise GatewayRefusedError(refusal.user_message or "Stripe refused") from refusal
    except stripe.StripeError as failure:
        # A wrong key of ours, a rate limit, a 5xx, no connection, no time, no JSON.
        message = f"Stripe did not answer ({type(failure).__name__})"
        raise GatewayUnavailableError(message) from failure


def _is_stored(failure: BaseException | None) -> bool:
    """Say whether this is an old 5xx that Stripe repeats for its key, and will for a day."""
    return (
        isinstance(failure, stripe.StripeError)
        and (failure.http_status or 0) >= 500
        and (failure.headers or {}).get("idempotent-replayed") == "true"
    )


def _notice(event: Mapping[str, Any]) -> Notice:
    kind = event["type"]
    session = event["data"]["object"] if kind in OUTCOMES else {}
    return Notice(
        event_id=event["id"],
        account=event.get("account") or "",
        livemode=event["livemode"],
        type=kind,
        occurred_at=datetime.fromtimestamp(event["created"], UTC),
        outcome=_outcome(kind, session),
        raw=event,
        payment_attempt_id=_uuid((session.get("metadata") or {}).get("payment_attempt_id")),
        gateway_session_id=session.get("id"),
        gateway_payment_id=session.get("payment_intent"),
        amount=_amount(session),
        failure_code="payment-failed" if kind.endswith("payment_failed") else None,
    )


def _outcome(kind: str, session: Mapping[str, Any]) -> Outcome:
    outcome = OUTCOMES.get(kind, Outcome.UNKNOWN)
    if outcome is Outcome.PAID and session["payment_status"] != "paid":
        return Outcome.PROCESSING
    return outcome


def _units(amount: Money) -> int:
    units = amount.amount * UNITS.get(amount.currency, 1)
    if units != int(units):
        message = f"Stripe takes {amount.currency} without its minor unit"
        raise GatewayRefusedError(message)
    return int(units)


def _amount(session: Mapping[str, Any]) -> Money | None:
    if session.get("amount_total") is None:
        return None
    money = Money(session["amount_total"], session["currency"].upper())
    minor = money.amount / Fraction(UNITS.get(money.currency, 1))
    return Money(int(minor), money.currency) if minor == int(minor) else None


def _uuid(text: str | None) -> str | None:
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        return None
