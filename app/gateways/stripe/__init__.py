"""Stripe: its pages, saved methods and refunds, by the official SDK, which pins the API version.

https://docs.stripe.com/api
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import ClassVar

import stripe
from stripe.params import PaymentIntentCreateParams, RefundCreateParams
from stripe.params.checkout import SessionCreateParams

from app.config import ConfigError
from app.connections import Session
from app.errors import (
    GatewayRefusedError,
    GatewayUnavailableError,
    InvalidInputError,
    SignatureInvalidError,
)
from app.gateways import (
    Capability,
    Charge,
    Checkout,
    Delivery,
    Finding,
    Method,
    Money,
    Notice,
    Outcome,
    Query,
    RefundOrder,
    Return,
    SavedCharge,
    SettlementLine,
    Setup,
    Subject,
    parse,
)
from app.gateways.stripe import findings, reports, search
from app.gateways.stripe.answers import answer, is_stored, look_up
from app.gateways.stripe.methods import METHODS
from app.gateways.stripe.notices import notice
from app.gateways.stripe.pages import payment_page, setup_page
from app.gateways.stripe.refusals import declined, not_refunded
from app.gateways.stripe.signatures import verify
from app.gateways.stripe.units import units
from app.http import patience

KEYS_MAX = 5  # how many stored failures of one page are stepped over

OVER = {Outcome.PAID, Outcome.CANCELED, Outcome.EXPIRED}

REFUND_REASONS = {"duplicate", "fraudulent", "requested_by_customer"}


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
    # A page has one payment, which succeeds once.
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability) - {
        *(Capability.UPI, Capability.PAYMENTS, Capability.PAYMENT_DISPUTES, Capability.UNASKED),
        Capability.GIVES_BACK,
    }
    methods: ClassVar[frozenset[Method]] = frozenset(METHODS.values())
    currencies: ClassVar[frozenset[str]] = frozenset()
    messages_are_hints: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        stripe.enable_telemetry = False
        self.settings = settings
        # One try; whoever called us tries again with the same key.
        session = Session(settings.api_url, patience())
        self.http = stripe.RequestsClient(session=session)  # type: ignore[arg-type]  # all it uses
        self.client = stripe.StripeClient(
            settings.secret_key,
            base_addresses={"api": settings.api_url},
            http_client=self.http,
            max_network_retries=0,
        )

    def open(self, charge: Charge) -> Checkout:
        return self._open(charge.id, payment_page(charge))

    def open_setup(self, setup: Setup) -> Checkout:
        return self._open(setup.id, setup_page(setup))

    def charge(self, charge: SavedCharge) -> Finding:
        """Charge under one key only: a stored 500 stays unknown, for another key might pay twice.

        `error_on_requires_action` is not sent: it would break Indian cards, which wait a day.
        """
        try:
            params: PaymentIntentCreateParams = {
                "amount": units(charge.amount),
                "currency": charge.amount.currency.lower(),
                "customer": charge.gateway_customer_id,
                "payment_method": charge.gateway_payment_method_id,
                "confirm": True,
                "off_session": True,
                "description": charge.title,
                "receipt_email": charge.email,
                "metadata": {"payment_attempt_id": charge.id, findings.PAYER_IS_AWAY: "true"},
                "expand": ["latest_charge"],
            }
            if charge.authorize_only:
                params["capture_method"] = "manual"
            # As plain data: to make the SDK's objects of it, to be read once, is most of the work.
            create, path = self.client.raw_request, "/v1/payment_intents"
            asked = partial(create, "post", path, idempotency_key=charge.id, **params)
            return answer(lambda: findings.of_intent(asked().data))
        except GatewayRefusedError as refusal:
            return answer(partial(declined, charge, refusal))

    def capture(self, payment_attempt_id: str, gateway_payment_id: str, amount: Money) -> Finding:
        """Capture without a key of ours: an intent lets itself be captured once, whoever asks."""
        intents = self.client.v1.payment_intents
        params = {"amount_to_capture": units(amount), "expand": ["latest_charge"]}
        return self._end(
            payment_attempt_id,
            gateway_payment_id,
            lambda: intents.capture(gateway_payment_id, params),  # type: ignore[arg-type]  # a plain dict is such a dict
        )

    def cancel(self, payment_attempt_id: str, gateway_payment_id: str) -> Finding:
        intents, expanded = self.client.v1.payment_intents, {"expand": ["latest_charge"]}
        return self._end(
            payment_attempt_id,
            gateway_payment_id,
            lambda: intents.cancel(gateway_payment_id, expanded),  # type: ignore[arg-type]  # a plain dict is such a dict
        )

    def expire(self, payment_attempt_id: str, gateway_session_id: str) -> Finding:
        sessions = self.client.v1.checkout.sessions
        expanded = {"expand": ["payment_intent.latest_charge"]}
        try:
            session = answer(lambda: sessions.expire(gateway_session_id, expanded).to_dict())  # type: ignore[arg-type]  # a plain dict is such a dict
        except GatewayRefusedError:
            session = answer(lambda: sessions.retrieve(gateway_session_id, expanded).to_dict())  # type: ignore[arg-type]  # the same
            if session.get("status") == "open":
                raise
        found = answer(lambda: findings.of_session(session))
        return replace(found, payment_attempt_id=payment_attempt_id)

    def refund(self, order: RefundOrder) -> Finding:
        """Refund under one key only, as with a charge."""
        is_known = order.reason in REFUND_REASONS
        try:
            params: RefundCreateParams = {
                "payment_intent": order.gateway_payment_id,
                "amount": units(order.amount),
                "reason": order.reason if is_known else "requested_by_customer",
                "metadata": {"refund_id": order.id},
            }
            create = partial(self.client.v1.refunds.create, params, {"idempotency_key": order.id})
            return answer(lambda: findings.of_refund(create().to_dict()))
        except GatewayRefusedError as refusal:
            return not_refunded(order, refusal)

    def find(self, query: Query) -> Finding | None:
        """Ask for the page before its intent, which does not tell whether the page is over."""
        if query.gateway_session_id:
            return self._session(query.gateway_session_id, "payment_intent.latest_charge")
        if query.gateway_payment_id:
            return self._intent(query.gateway_payment_id)
        if query.gateway_customer_id:
            return search.charge_by_reference(self.client, query)
        page = search.page_by_reference(self.client, query)
        return None if page is None else self._session(page, "payment_intent.latest_charge")

    def find_refund(self, refund_id: str, gateway_payment_id: str) -> Finding | None:
        return search.refund_by_reference(self.client, refund_id, gateway_payment_id)

    def find_refunds(self, gateway_payment_id: str) -> Sequence[Finding]:
        return search.refunds(self.client, gateway_payment_id)

    def find_new_refunds(self, since: datetime) -> Iterator[Finding]:
        yield from search.new_refunds(self.client, since)

    def find_disputes(self, since: datetime) -> Iterator[Finding]:
        yield from search.disputes(self.client, since)

    def find_setup(self, autopay_mandate_id: str, gateway_session_id: str) -> Finding | None:
        found = self._session(gateway_session_id, "setup_intent.payment_method")
        return found and replace(found, autopay_mandate_id=autopay_mandate_id)

    def read(self, delivery: Delivery, now: datetime) -> Notice:
        verify(delivery, self.settings.webhook_secret, now)
        try:
            return notice(parse(delivery.body))
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as failure:
            message = "Stripe signed something that is not an event"
            raise InvalidInputError(message) from failure

    def read_return(self, arrival: Return) -> Finding:
        """Say whose page it was: Stripe signs no return, and names the page at most."""
        named = arrival.fields.get("session_id", arrival.gateway_session_id)
        if named != arrival.gateway_session_id:
            raise SignatureInvalidError("this is the way back from another page of Stripe's")
        return Finding(
            subject=Subject.PAYMENT,
            outcome=Outcome.UNKNOWN,
            payment_attempt_id=arrival.payment_attempt_id,
            gateway_session_id=arrival.gateway_session_id,
        )

    def settlements(self, day: date) -> Iterator[SettlementLine]:
        yield from reports.settlements(self.client, day)

    def receipt_url(self, gateway_payment_id: str) -> str | None:
        intents, expanded = self.client.v1.payment_intents, {"expand": ["latest_charge"]}
        intent = answer(lambda: intents.retrieve(gateway_payment_id, expanded).to_dict())  # type: ignore[arg-type]  # a plain dict is such a dict
        return answer(lambda: findings.receipt(intent))

    def _open(self, key: str, params: SessionCreateParams) -> Checkout:
        """Ask under the key; under a numbered one once Stripe only repeats a stored 500.

        Stripe keeps a failure under its key for a day. Asking under another key may open a page
        twice, of which the payer sees one: no money moves by opening, and both name one attempt.
        """
        for each in (key, *(f"{key}:{number}" for number in range(2, KEYS_MAX + 1))):
            try:
                return self._page(each, params)
            except GatewayUnavailableError as failure:
                if not is_stored(failure.__cause__):
                    raise
        message = "Stripe repeats its failure"
        raise GatewayUnavailableError(message)

    def _page(self, key: str, params: SessionCreateParams) -> Checkout:
        create = self.client.v1.checkout.sessions.create
        session = answer(lambda: create(params, {"idempotency_key": key}).to_dict())
        reference, url = session.get("id"), session.get("url")
        if not (isinstance(reference, str) and reference and isinstance(url, str) and url):
            message = "Stripe's answer has no page"
            raise GatewayUnavailableError(message)
        return Checkout(reference=reference, url=url)

    def _end(
        self,
        payment_attempt_id: str,
        gateway_payment_id: str,
        ask: Callable[[], stripe.PaymentIntent],
    ) -> Finding:
        """Ask, and when the intent's state forbids it say what that state is."""
        try:
            found = answer(lambda: findings.of_intent(ask().to_dict()))
        except GatewayRefusedError:
            ended = self._intent(gateway_payment_id)
            if ended is None or ended.outcome not in OVER:
                raise
            found = ended
        return replace(found, payment_attempt_id=payment_attempt_id)

    def _intent(self, identifier: str) -> Finding | None:
        intents, expanded = self.client.v1.payment_intents, {"expand": ["latest_charge"]}
        return look_up(
            lambda: findings.of_intent(intents.retrieve(identifier, expanded).to_dict())  # type: ignore[arg-type]  # a plain dict is such a dict
        )

    def _session(self, identifier: str, expanded: str) -> Finding | None:
        sessions, how = self.client.v1.checkout.sessions, {"expand": [expanded]}
        return look_up(lambda: findings.of_session(sessions.retrieve(identifier, how).to_dict()))  # type: ignore[arg-type]  # a plain dict is such a dict
