"""Razorpay: orders, its hosted page and refunds, by its API of version 1.

https://razorpay.com/docs/api/
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import ClassVar
from urllib.parse import quote

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
    parse,
)
from app.gateways.razorpay import findings, intents, orders, settlements
from app.gateways.razorpay.answers import MALFORMED, answer, look_up
from app.gateways.razorpay.findings import Entity
from app.gateways.razorpay.lists import SIZE, every, items, pages
from app.gateways.razorpay.notices import notice
from app.gateways.razorpay.signatures import is_signed, payment_returned
from app.http import Http
from app.money import Money

REASON_LENGTH_MAX = 256  # of a note

Translate = Callable[[Entity], Finding]


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from RAZORPAY_KEY_ID and so on. Several webhook secrets while one replaces another."""

    key_id: str
    key_secret: str = field(repr=False)
    webhook_secret: tuple[str, ...] = field(repr=False)
    api_url: str = "https://api.razorpay.com"
    checkout_url: str = ""  # where browsers reach the API, when not there
    merchant_name: str = ""  # that the page shows; the charge's title when there is none
    upi: bool = False  # on where Razorpay has switched S2S payments by UPI on for the account

    def __post_init__(self) -> None:
        if not self.key_id.startswith(("rzp_test_", "rzp_live_")):
            message = "RAZORPAY_KEY_ID must start with rzp_test_ or rzp_live_"
            raise ConfigError(message)

    @property
    def livemode(self) -> bool:
        return self.key_id.startswith("rzp_live_")


class Adapter:
    """Razorpay's answers in our words."""

    name: ClassVar[str] = "razorpay"
    # Neither an order nor an authorization can be called off by its API.
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            *(Capability.AUTHORIZE, Capability.DISPUTES, Capability.UPI, Capability.PAYMENTS),
            *(Capability.REFUNDS, Capability.NEW_REFUNDS),
        }
    )
    methods: ClassVar[frozenset[Method]] = frozenset(orders.METHODS)
    currencies: ClassVar[frozenset[str]] = frozenset({"INR"})
    messages_are_hints: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        credentials = (settings.key_id, settings.key_secret)
        self.http = Http("Razorpay", f"{settings.api_url.rstrip('/')}/v1", sign=credentials)

    def open(self, charge: Charge) -> Checkout:
        """Make an order, unless there is one of this reference. The payer's browser does the rest.

        Looked up every time, for what a repeated receipt does depends on the account.
        """
        order = self._order_for(charge)
        base = self.settings.checkout_url or self.settings.api_url
        return Checkout(
            reference=order["id"],
            url=f"{base.rstrip('/')}/v1/checkout/embedded",
            form=orders.form(
                charge,
                key_id=self.settings.key_id,
                order_id=order["id"],
                name=self.settings.merchant_name or charge.title,
            ),
        )

    def open_upi(self, charge: Charge) -> UpiIntent | None:
        """Make the same order, and a payment of it, of which an order takes any number.

        A payer without a phone number is asked for it on Razorpay's page. Where Razorpay refuses
        the payment, the order stands, and can be paid there.
        """
        if not self.settings.upi or not (charge.email and charge.phone):
            return None
        order = self._order_for(charge)
        body = intents.payment(charge, order["id"])
        try:
            return answer(
                lambda: self.http.send("/payments/create/json", body),
                lambda body: intents.intent(charge, order["id"], body),
            )
        except GatewayRefusedError:
            return None

    def capture(self, payment_attempt_id: str, gateway_payment_id: str, amount: Money) -> Finding:
        """Capture all: Razorpay takes no part of a payment. One captured before is answered."""
        path = f"/payments/{_segment(gateway_payment_id)}"
        body = {"amount": amount.amount, "currency": amount.currency}
        ours = findings.of_payment_called(gateway_payment_id)
        try:
            found = answer(lambda: self.http.send(f"{path}/capture", body), ours)
        except GatewayRefusedError:
            found = answer(lambda: self.http.get(path), ours)
            if found.outcome is not Outcome.PAID or found.captured_amount != amount:
                raise
        return replace(found, payment_attempt_id=payment_attempt_id)

    def refund(self, order: RefundOrder) -> Finding:
        """Refund under our id, once: what is there already is answered, before and after a no.

        The key alone would do in live; in test mode Razorpay does not promise that it works.
        """
        known = self.find_refund(order.id, order.gateway_payment_id)
        if known:
            return known
        path = f"/payments/{_segment(order.gateway_payment_id)}/refund"
        body = {
            "amount": order.amount.amount,
            "speed": "normal",
            "receipt": order.id,
            "notes": {"refund_id": order.id, "reason": order.reason[:REASON_LENGTH_MAX]},
        }
        key = {"X-Refund-Idempotency": order.id}
        try:
            return answer(
                lambda: self.http.send(path, body, key),
                lambda body: findings.of_refund_of(order, body),
            )
        except GatewayRefusedError as refusal:
            known = self.find_refund(order.id, order.gateway_payment_id)
            return known or findings.not_refunded(order, refusal)

    def find(self, query: Query) -> Finding | None:
        """Ask for the order, then for its payments: the later answer is the one that decides."""
        order = self._order_in(query)
        if order is None:
            return None
        path = f"/orders/{_segment(order['id'])}/payments"
        return answer(
            lambda: self.http.get(path),
            lambda body: findings.of_order(order, items(body), query),
        )

    def find_payments(self, query: Query) -> Sequence[Finding]:
        """Ask for the payments of the order: one question, where our books have the order's id."""
        order_id = query.gateway_session_id
        if order_id is None:
            order = self._order_in(query)
            if order is None:
                return ()
            order_id = order["id"]
        return answer(
            lambda: self.http.get(f"/orders/{_segment(order_id)}/payments"),
            lambda body: findings.of_payments(order_id, items(body), query),
        )

    def find_refund(self, refund_id: str, gateway_payment_id: str) -> Finding | None:
        listed = self._refunds(gateway_payment_id)
        return next((one for one in listed if one.refund_id == refund_id), None)

    def find_refunds(self, gateway_payment_id: str) -> Sequence[Finding]:
        return list(self._refunds(gateway_payment_id))

    def find_new_refunds(self, since: datetime) -> Iterator[Finding]:
        when = {"from": int(since.timestamp())}
        return every(lambda skip: self._list("/refunds", skip, findings.of_listed_refund, when))

    def find_disputes(self, since: datetime) -> Iterator[Finding]:
        """List disputes until a whole page is too old: only how many to skip can be asked for."""
        for page in pages(lambda skip: self._list("/disputes", skip, findings.of_listed_dispute)):
            yield from (one for one in page if one.opened_at is None or one.opened_at >= since)
            dated = [one.opened_at for one in page if one.opened_at]
            if dated and max(dated) < since:
                return

    def read(self, delivery: Delivery, now: datetime) -> Notice:
        given = delivery.headers.get("x-razorpay-signature", "")
        if not is_signed(delivery.body, given, self.settings.webhook_secret):
            raise SignatureInvalidError("this is not signed by Razorpay")
        try:
            event = parse(delivery.body)
            return notice(event, delivery, now, livemode=self.settings.livemode)
        except (*MALFORMED, OSError) as failure:
            message = "Razorpay signed something that is not an event"
            raise InvalidInputError(message) from failure

    def read_return(self, arrival: Return) -> Finding:
        """Verify a return. Even signed it tells neither the amount nor whether it is captured."""
        return Finding(
            subject=Subject.PAYMENT,
            outcome=Outcome.UNKNOWN,
            payment_attempt_id=arrival.payment_attempt_id,
            gateway_session_id=arrival.gateway_session_id,
            gateway_payment_id=payment_returned(arrival, self.settings.key_secret),
        )

    def settlements(self, day: date) -> Iterator[SettlementLine]:
        path = "/settlements/recon/combined"
        when = {"year": day.year, "month": day.month, "day": day.day, "count": settlements.PAGE}
        yield from settlements.lines(
            lambda skip: answer(
                lambda: self.http.get(path, {**when, "skip": skip}), settlements.of_page
            )
        )

    def _order_for(self, charge: Charge) -> Entity:
        if charge.amount.currency not in self.currencies:
            message = f"Razorpay is not asked for {charge.amount.currency}"
            raise GatewayRefusedError(message)
        order = self._order_of(charge.id, charge.reference) or self._make_order(charge)
        if (order["amount"], order["currency"]) != (charge.amount.amount, charge.amount.currency):
            message = "Razorpay has another amount under this reference"
            raise GatewayRefusedError(message)
        return order

    def _make_order(self, charge: Charge) -> Entity:
        try:
            order = answer(lambda: self.http.send("/orders", orders.order(charge)), orders.read)
        except GatewayRefusedError:
            known = self._order_of(charge.id)  # perhaps another tab was a moment quicker
            if known is None:
                raise
            return known
        if findings.reference_of(order) != charge.id:
            raise GatewayUnavailableError("Razorpay answered with another order")
        return order

    def _order_of(self, payment_attempt_id: str, known: str = "") -> Entity | None:
        """Find the order of a reference; of several, the known one, or what got furthest."""
        query = {"receipt": payment_attempt_id, "count": SIZE}
        found = answer(
            lambda: self.http.get("/orders", query),
            lambda body: [
                orders.read(one)
                for one in items(body)
                if findings.reference_of(one) == payment_attempt_id
            ],
        )
        return min(found, key=lambda each: (each["id"] != known, orders.rank(each)), default=None)

    def _order_in(self, query: Query) -> Entity | None:
        if query.gateway_session_id is None:
            return self._order_of(query.payment_attempt_id)
        path = f"/orders/{_segment(query.gateway_session_id)}"
        order = look_up(lambda: self.http.get(path), orders.read)
        if order and order["id"] != query.gateway_session_id:
            message = "Razorpay answered with another order"
            raise GatewayUnavailableError(message)
        return order

    def _refunds(self, gateway_payment_id: str) -> Iterator[Finding]:
        path = f"/payments/{_segment(gateway_payment_id)}/refunds"
        return every(lambda skip: self._list(path, skip, findings.of_refund))

    def _list(
        self, path: str, skip: int, translate: Translate, when: dict[str, int] | None = None
    ) -> Sequence[Finding]:
        """Read one page of a list; of something that there is not, an empty one."""
        found = look_up(
            lambda: self.http.get(path, {"count": SIZE, "skip": skip, **(when or {})}),
            lambda body: [translate(one) for one in items(body)],
        )
        return found or ()


def _segment(identifier: str) -> str:
    return quote(identifier, safe="")
