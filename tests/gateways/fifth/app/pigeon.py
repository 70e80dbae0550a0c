"""Pigeon: tickets that payers pay, over a small JSON API; it does not exist.

https://pigeon.example/docs
"""

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any, ClassVar

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
    DeclineClass,
    Delivery,
    Finding,
    Method,
    Money,
    Notice,
    Outcome,
    Query,
    RefundOrder,
    Return,
    Settled,
    SettlementLine,
    Subject,
    parse,
)
from app.http import Http, RefusedReplyError, Reply

# https://pigeon.example/docs/tickets#state
TICKETS = {"open": Outcome.REQUIRES_ACTION, "paid": Outcome.PAID}
REFUNDS = {"done": Outcome.SUCCEEDED, "flying": Outcome.PENDING, "lost": Outcome.FAILED}
NOTHING = Finding(subject=Subject.NONE, outcome=Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from PIGEON_SECRET_KEY and so on."""

    secret_key: str = field(repr=False)
    webhook_secret: tuple[str, ...] = field(repr=False)
    api_url: str = "https://api.pigeon.example"


class Adapter:
    name: ClassVar[str] = "pigeon"
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    methods: ClassVar[frozenset[Method]] = frozenset({Method.CARD})
    currencies: ClassVar[frozenset[str]] = frozenset({"INR"})
    messages_are_hints: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        bearer = {"Authorization": f"Bearer {settings.secret_key}"}
        self.http = Http("Pigeon", settings.api_url, headers=bearer)

    def open(self, charge: Charge) -> Checkout:
        if charge.amount.currency not in self.currencies:
            raise GatewayRefusedError("Pigeon takes rupees only")
        body = {
            "amount": charge.amount.amount,
            "currency": charge.amount.currency,
            "title": charge.title,
            "back": charge.success_url,
        }
        ticket = _object(self.http.send(f"/tickets/{charge.id}", body, method="PUT"))
        return Checkout(ticket["id"], ticket["page"])

    def refund(self, order: RefundOrder) -> Finding:
        path = f"/tickets/{order.gateway_payment_id}/refunds/{order.id}"
        body = {"amount": order.amount.amount, "currency": order.amount.currency}
        try:
            return _refund(_object(self.http.send(path, body, method="PUT")))
        except RefusedReplyError as refusal:
            error = refusal.reply.body if isinstance(refusal.reply.body, dict) else {}
            return order.answered(
                Outcome.FAILED,
                error.get("error", refusal.code),
                error.get("message", refusal.message),
            )

    def find(self, query: Query) -> Finding | None:
        found = self._look_up(f"/tickets/{query.payment_attempt_id}")
        return found and _ticket(found)

    def find_refund(self, refund_id: str, gateway_payment_id: str) -> Finding | None:
        found = self._look_up(f"/tickets/{gateway_payment_id}/refunds/{refund_id}")
        return found and _refund(found)

    def read(self, delivery: Delivery, now: datetime) -> Notice:
        del now  # Pigeon stamps nothing: the event's id tells a message that came before
        given = delivery.headers.get("pigeon-signature", "")
        if not any(_signed(delivery.body, given, key) for key in self.settings.webhook_secret):
            raise SignatureInvalidError("this is not signed by Pigeon")
        try:
            return _notice(parse(delivery.body))
        except (LookupError, TypeError, ValueError) as failure:
            raise InvalidInputError("Pigeon signed something that is not an event") from failure

    def read_return(self, arrival: Return) -> Finding:
        if arrival.fields.get("ticket", arrival.gateway_session_id) != arrival.gateway_session_id:
            raise SignatureInvalidError("this is another ticket")
        return Finding(
            subject=Subject.PAYMENT,
            outcome=Outcome.UNKNOWN,
            payment_attempt_id=arrival.payment_attempt_id,
        )

    def settlements(self, day: date) -> Iterator[SettlementLine]:
        for line in _object(self.http.get("/settlements", {"day": day.isoformat()}))["lines"]:
            yield SettlementLine(
                settlement_id=line["flight"],
                line_id=line["id"],
                kind=Settled(line["kind"]),
                gross=Money(line["gross"], line["currency"]),
                fee=Money(line["fee"], line["currency"]),
                tax=Money(0, line["currency"]),
                net=Money(line["gross"] - line["fee"], line["currency"]),
                settled_at=datetime.fromtimestamp(line["at"], UTC),
                payment_attempt_id=line["ticket"],
                gateway_payment_id=line["ticket"],
            )

    def _look_up(self, path: str) -> Mapping[str, Any] | None:
        try:
            return _object(self.http.get(path))
        except RefusedReplyError as refusal:
            if refusal.reply.status == 404:
                return None
            raise


def _object(reply: Reply) -> Mapping[str, Any]:
    if not isinstance(reply.body, dict):
        raise GatewayUnavailableError("Pigeon answered something else")
    return reply.body


def _ticket(ticket: Mapping[str, Any]) -> Finding:
    amount = Money(ticket["amount"], ticket["currency"])
    is_paid = ticket["state"] == "paid"
    declined = ticket.get("declined")
    return Finding(
        subject=Subject.PAYMENT,
        outcome=TICKETS.get(ticket["state"], Outcome.UNKNOWN),
        payment_attempt_id=ticket["id"],
        gateway_session_id=ticket["id"],
        gateway_payment_id=ticket["id"] if is_paid else None,
        method=Method.CARD,
        amount=amount,
        captured_amount=amount if is_paid else Money(0, amount.currency),
        failure_code=declined,
        failure_message=declined and "The payer's bank said no.",
        decline_class=declined and DeclineClass.SOFT,
    )


def _refund(refund: Mapping[str, Any]) -> Finding:
    return Finding(
        subject=Subject.REFUND,
        outcome=REFUNDS.get(refund["state"], Outcome.UNKNOWN),
        refund_id=refund["id"],
        gateway_refund_id=refund["id"],
        gateway_payment_id=refund["ticket"],
        amount=Money(refund["amount"], refund["currency"]),
    )


def _notice(event: Mapping[str, Any]) -> Notice:
    translate = {"ticket": _ticket, "refund": _refund}.get(event["about"])
    found = translate(event["object"]) if translate else NOTHING
    return Notice(
        **{name: getattr(found, name) for name in Finding.__slots__},
        event_id=event["id"],
        account="",
        livemode=event["live"],
        type=event["about"],
        occurred_at=datetime.fromtimestamp(event["at"], UTC),
        raw=event,
    )


def _signed(body: bytes, given: str, secret: str) -> bool:
    right = hmac.new(secret.encode(), body, sha256).hexdigest()
    return hmac.compare_digest(right.encode(), given.encode())
