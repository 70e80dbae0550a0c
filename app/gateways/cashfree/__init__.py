"""Cashfree Payments (PG), by its HTTP API: pages, holds, refunds and settlements in rupees.

https://www.cashfree.com/docs/api-reference/payments/overview
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from app.config import ConfigError
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
    Notice,
    Outcome,
    Query,
    RefundOrder,
    Return,
    SettlementLine,
    Subject,
    UpiIntent,
)
from app.gateways.cashfree import findings, orders, refunds, settlements
from app.gateways.cashfree.answers import (
    answer,
    as_list,
    as_object,
    code_of,
    look_up,
    refused,
    translated,
)
from app.gateways.cashfree.notices import notice
from app.gateways.cashfree.signatures import verify
from app.gateways.cashfree.words import OFFERS, Object
from app.http import Http, RefusedReplyError
from app.money import Money

API_VERSION = "2025-01-01"
LIVE_HOST = "api.cashfree.com"

# Names the holds' keys: an attempt may be captured under one key and voided under another, and
# what was refused of one amount is not the answer to another.
KEYS = uuid5(NAMESPACE_URL, "https://www.cashfree.com/docs/api-reference/payments/authorization")

OVER = {Outcome.PAID, Outcome.CANCELED, Outcome.EXPIRED}

OTHER_ORDER = "Cashfree answered with another order"
KNOWN_ORDER = {"order_already_exists", "order_id_already_exists"}
KNOWN_REFUND = {"refund_id_already_exists", "refund_already_exists"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from CASHFREE_CLIENT_ID and so on.

    Several client secrets while one replaces another: we ask with the first, and a webhook may be
    signed with any, as Cashfree signs with the oldest that is active.
    """

    client_id: str
    client_secret: tuple[str, ...] = field(repr=False)
    api_url: str = f"https://{LIVE_HOST}/pg"
    checkout_url: str = ""  # the same, as browsers reach it; api_url where it is left out
    upi: bool = False  # on where Cashfree has switched Order Pay (S2S) on for the account

    def __post_init__(self) -> None:
        if not self.client_secret:
            message = "CASHFREE_CLIENT_SECRET must not be empty"
            raise ConfigError(message)

    @property
    def livemode(self) -> bool:
        return urlsplit(self.api_url).hostname == LIVE_HOST


class Adapter:
    """Cashfree's answers in our words."""

    name: ClassVar[str] = "cashfree"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            *(Capability.AUTHORIZE, Capability.PARTS, Capability.CANCEL, Capability.EXPIRE),
            *(Capability.UPI, Capability.PAYMENTS, Capability.GIVES_BACK),
            *(Capability.PAYMENT_DISPUTES, Capability.REFUNDS),
        }
    )
    methods: ClassVar[frozenset[Method]] = frozenset(OFFERS)
    currencies: ClassVar[frozenset[str]] = frozenset({"INR"})
    messages_are_hints: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.checkout_url = (settings.checkout_url or settings.api_url).rstrip("/")
        self.http = Http(
            "Cashfree",
            settings.api_url,
            headers={
                "x-api-version": API_VERSION,
                "x-client-id": settings.client_id,
                "x-client-secret": settings.client_secret[0],
            },
        )

    def open(self, charge: Charge) -> Checkout:
        """Open an order under the attempt's id, which Cashfree takes once."""
        found = self._order_of(charge)
        return translated(lambda: orders.checkout(self.checkout_url, found))

    def open_upi(self, charge: Charge) -> UpiIntent | None:
        """Open the same order, and begin a try by UPI on it: it takes any number of them.

        Where Cashfree refuses the try, the order stands, and can be paid on its page.
        """
        if not self.settings.upi or charge.authorize_only:
            return None
        order = self._order_of(charge)
        wanted = translated(lambda: orders.upi_try(order))
        try:
            found = answer(lambda: self.http.send("/orders/sessions", wanted))
        except GatewayRefusedError:
            return None
        return translated(lambda: orders.upi_intent(charge, order, found))

    def capture(self, payment_attempt_id: str, gateway_payment_id: str, amount: Money) -> Finding:
        """Take what is held, once: Cashfree forgets the key after a day, and the hold never."""
        del gateway_payment_id  # an order has one hold
        wanted = {"action": "CAPTURE", "amount": amount.decimal}
        return self._end(payment_attempt_id, f"/orders/{payment_attempt_id}/authorization", wanted)

    def cancel(self, payment_attempt_id: str, gateway_payment_id: str) -> Finding:
        del gateway_payment_id  # an order has one hold
        wanted = {"action": "VOID"}
        return self._end(payment_attempt_id, f"/orders/{payment_attempt_id}/authorization", wanted)

    def expire(self, payment_attempt_id: str, gateway_session_id: str) -> Finding:
        wanted = {"order_status": "TERMINATED"}
        found = self._end(payment_attempt_id, f"/orders/{gateway_session_id}", wanted, "PATCH")
        return replace(found, payment_attempt_id=payment_attempt_id)

    def refund(self, order: RefundOrder) -> Finding:
        """Refund under the refund's id, which is Cashfree's key for good.

        What Cashfree has given back by itself is answered, and not asked for: a refund names no
        payment, so that another one of the order would go back.
        """
        if given_back := self._given_back(order.id, order.gateway_payment_id):
            return given_back
        path = f"/orders/{findings.order_of(order.gateway_payment_id)}/refunds"
        try:
            found = as_object(self.http.send(path, refunds.request(order)).body)
        except RefusedReplyError as refusal:
            return self._refunded_before(order, refusal)
        return translated(
            lambda: findings.of_refund_called(order.id, order.gateway_payment_id, found)
        )

    def find(self, query: Query) -> Finding | None:
        return self._find(
            query.gateway_session_id or query.payment_attempt_id, is_over=query.is_over
        )

    def find_payments(self, query: Query) -> Sequence[Finding]:
        order_id = query.gateway_session_id or query.payment_attempt_id
        return translated(partial(findings.of_payments, order_id, self._payments(order_id)))

    def find_refund(self, refund_id: str, gateway_payment_id: str) -> Finding | None:
        order_id, name = findings.order_of(gateway_payment_id), refunds.name(refund_id)
        found = look_up(lambda: self.http.get(f"/orders/{order_id}/refunds/{name}"))
        if found is None:
            return self._given_back(refund_id, gateway_payment_id)
        body = as_object(found.body)
        return translated(lambda: findings.of_refund_called(refund_id, gateway_payment_id, body))

    def find_refunds(self, gateway_payment_id: str) -> Sequence[Finding]:
        there = self._refunds(gateway_payment_id)
        return translated(lambda: refunds.of_payment(gateway_payment_id, there))

    def find_payment_disputes(self, gateway_payment_id: str) -> Sequence[Finding]:
        """Ask for the disputes of the payment's order: one question."""
        order_id = findings.order_of(gateway_payment_id)
        found = look_up(lambda: self.http.get(f"/orders/{order_id}/disputes"))
        disputes = as_list(found.body) if found else []
        return translated(lambda: findings.of_disputes(order_id, disputes))

    def read(self, delivery: Delivery, now: datetime) -> Notice:
        sent_at = verify(delivery, self.settings.client_secret, now)
        try:
            return notice(delivery.body, sent_at, livemode=self.settings.livemode)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as failure:
            message = "Cashfree signed something that is not an event"
            raise InvalidInputError(message) from failure

    def read_return(self, arrival: Return) -> Finding:
        """Say only whose page it was: Cashfree signs nothing here."""
        named = arrival.fields.get("order_id", arrival.gateway_session_id)
        if named != arrival.gateway_session_id:
            raise SignatureInvalidError("this return is another order's")
        return Finding(
            subject=Subject.PAYMENT,
            outcome=Outcome.UNKNOWN,
            payment_attempt_id=arrival.payment_attempt_id,
            gateway_session_id=arrival.gateway_session_id,
        )

    def settlements(self, day: date) -> Iterator[SettlementLine]:
        yield from settlements.read(
            lambda wanted: answer(partial(self.http.send, "/settlement/recon", wanted)), day
        )

    def _order_of(self, charge: Charge) -> Object:
        """Open the order, or fetch the one that has this id already, and see that it is ours."""
        try:
            found = as_object(self.http.send("/orders", orders.order(charge)).body)
        except RefusedReplyError as refusal:
            if refusal.reply.status != 409 and code_of(refusal) not in KNOWN_ORDER:
                raise refused(refusal) from refusal
            found = answer(lambda: self.http.get(f"/orders/{charge.id}"))
        if found.get("order_id") != charge.id:
            raise GatewayUnavailableError(OTHER_ORDER)
        if not translated(lambda: orders.is_same(charge, found)):
            message = "Cashfree has another order under this id"
            raise GatewayRefusedError(message)
        return found

    def _given_back(self, refund_id: str, gateway_payment_id: str) -> Finding | None:
        there = self._refunds(gateway_payment_id)
        return translated(lambda: refunds.given_back(refund_id, gateway_payment_id, there))

    def _refunds(self, gateway_payment_id: str) -> list[Object]:
        path = f"/orders/{findings.order_of(gateway_payment_id)}/refunds"
        try:
            found = look_up(lambda: self.http.get(path))
        except GatewayRefusedError as refusal:  # which says nothing of the refund
            raise GatewayUnavailableError(refusal.message) from refusal
        return as_list(found.body) if found else []

    def _refunded_before(self, order: RefundOrder, refusal: RefusedReplyError) -> Finding:
        """Tell what is there already as it is, ours or given back: the no may speak of that."""
        no = None if code_of(refusal) in KNOWN_REFUND else refused(refusal)
        try:
            found = self.find_refund(order.id, order.gateway_payment_id)
        except GatewayRefusedError as failure:  # which says nothing of the refund
            raise GatewayUnavailableError(failure.message) from failure
        if found:
            return found
        if no:
            return order.answered(Outcome.FAILED, no.code, no.message)
        message = "Cashfree knows the refund and does not show it"
        raise GatewayUnavailableError(message) from refusal

    def _end(
        self, payment_attempt_id: str, path: str, wanted: dict[str, Any], method: str = "POST"
    ) -> Finding:
        """Ask, then say how the order stands, which alone tells whether it was in time."""
        key = uuid5(KEYS, f"{payment_attempt_id}:{':'.join(map(str, wanted.values()))}")
        refusal = None
        try:
            self.http.send(path, wanted, {"x-idempotency-key": str(key)}, method)
        except RefusedReplyError as failure:
            refusal = failure
        found = self._find(payment_attempt_id)
        if refusal and (found is None or found.outcome not in OVER):
            raise refused(refusal) from refusal
        if found is None:
            message = "Cashfree has changed the order and does not show it"
            raise GatewayUnavailableError(message)
        return found

    def _find(self, order_id: str, *, is_over: bool = False) -> Finding | None:
        """Look an order up with its payments; the order is decided, never a payment."""
        found = look_up(lambda: self.http.get(f"/orders/{order_id}"))
        if found is None:
            return None
        order = as_object(found.body)
        if order.get("order_id") != order_id:
            raise GatewayUnavailableError(OTHER_ORDER)
        tries = self._payments(order_id)
        return translated(lambda: findings.of_order(order, tries, is_over=is_over))

    def _payments(self, order_id: str) -> list[Object]:
        found = look_up(lambda: self.http.get(f"/orders/{order_id}/payments"))
        tries = as_list(found.body) if found else []
        if any(each.get("order_id", order_id) != order_id for each in tries):
            raise GatewayUnavailableError(OTHER_ORDER)
        return tries
