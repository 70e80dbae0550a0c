"""The adapter before a running simulator, which stands in for Stripe and for the payers."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import stripe
from gateway_bench import KEY, SECRET, Received, Receiver
from gateways.standing import StandingServer
from gateways.world import Ask, Payer, Refunds, Stage

from app.gateways import (
    Charge,
    Checkout,
    Delivery,
    Finding,
    Notice,
    Outcome,
    Query,
    RefundOrder,
    Return,
    SavedCharge,
    Setup,
    Subject,
)
from app.gateways.stripe import Adapter, Settings
from app.money import Money

HOUR = 3600
DAY = 24 * HOUR
URLS = {"success_url": "http://shop.example/ok", "cancel_url": "http://shop.example/no"}


@dataclass
class StripeWorld:
    server: StandingServer
    receiver: Receiver
    client: stripe.StripeClient
    skew: float = 0
    adapter: Adapter = field(init=False)

    def __post_init__(self) -> None:
        self.adapter = Adapter(Settings(KEY, (SECRET,), self.server.api))

    def close(self) -> None:
        self.adapter.http.close()

    def now(self) -> datetime:
        return self.server.now(self.skew)

    def advance(self, seconds: float) -> None:
        self.server.wait_until_quiet()  # what was signed before is heard before
        self.skew += seconds
        self.server.move_clock(self.skew)

    def order(self, amount: int = 2500, **changes: Any) -> Charge:
        wanted = {
            "id": str(uuid4()),
            "amount": Money(amount, "USD"),
            "title": "250 credits",
            "email": "ada@example.com",
            "expires_at": self.now() + timedelta(hours=1),
            **URLS,
        }
        return Charge(**{**wanted, **changes})

    def setup(self, **changes: Any) -> Setup:
        wanted = {
            "id": str(uuid4()),
            "currency": "USD",
            "email": "ada@example.com",
            "expires_at": self.now() + timedelta(hours=1),
            **URLS,
        }
        return Setup(**{**wanted, **changes})

    def saved(self, amount: int = 2500, **payer: Any) -> SavedCharge:
        """Describe a charge of a new customer's saved method, a good card if nothing is said."""
        made = self.server.control("/stripe/customers", payer)["customers"][0]
        return SavedCharge(
            id=str(uuid4()),
            amount=Money(amount, "USD"),
            title="Autopay, November",
            email="ada@example.com",
            gateway_customer_id=made["customer"],
            gateway_payment_method_id=made["payment_method"],
        )

    def pay(self, page: Checkout, **payer: Any) -> dict[str, Any]:
        return self.server.control(f"/stripe/sessions/{page.reference}/pay", payer)

    def paid(self, amount: int = 2500, **payer: Any) -> Finding:
        """Charge a saved method, and tell what came of it."""
        found = self.adapter.charge(self.saved(amount, **payer))
        assert found.outcome is Outcome.PAID
        return found

    def query(self, attempt: str, **ids: Any) -> Query:
        return Query(payment_attempt_id=attempt, since=self.now(), **ids)

    def refund(self, payment: Finding, amount: int, reason: str = "cancellation") -> RefundOrder:
        assert payment.gateway_payment_id
        return RefundOrder(str(uuid4()), payment.gateway_payment_id, Money(amount, "USD"), reason)

    def read(self, one: Received) -> Notice:
        return self.adapter.read(Delivery(one.headers, one.body), self.now())

    def notice(self, about: str, kind: str, n: int = 1) -> Notice:
        """Wait for the n-th webhook of a type about a subject, and read it."""
        return self.read(self.receiver.wait(about, kind, n)[n - 1])

    def notices(self, about: str) -> list[Notice]:
        """Read every webhook about a subject, once nothing is on its way any more."""
        self.server.wait_until_quiet()
        return [self.read(one) for one in self.receiver.about(about)]


def payments(notices: list[Notice]) -> list[Outcome]:
    return [one.outcome for one in notices if one.subject is Subject.PAYMENT]


OPTIONS = ("--key", f"stripe={KEY}", "--secret", f"stripe={SECRET}")

GOOD_CARD = "4242424242424242"

# Which test card, or account, behaves so; https://docs.stripe.com/testing
CARDS = {
    Payer.PAYS: GOOD_CARD,
    Payer.AUTHORIZES: GOOD_CARD,
    Payer.DECLINES_SOFT: "4000000000009995",
    Payer.DECLINES_HARD: "4000000000000069",
    Payer.DECLINES_AUTHENTICATION: "4000002760003184",
    Payer.DECLINES_FRAUD: "4100000000000019",
}
BANKS = {
    Payer.PENDING_THEN_PAID: "000123456789",
    Payer.PENDING_THEN_FAILED: "000222222227",
}
CHALLENGE = {Payer.DECLINES_AUTHENTICATION: "fail"}
OF_REFUNDS = {
    Refunds.WAIT_THEN_SUCCEED: "pending",
    Refunds.WAIT_THEN_FAIL: "pending_then_failed",
    Refunds.FAIL_LATE: "failed",
}


class World:
    """Stripe's world for the scenarios that all gateways share."""

    currency = "USD"
    plays = frozenset({*CARDS, *BANKS, Payer.FAILS_THEN_PAYS, Payer.DROPS})
    refunds = frozenset(Refunds)
    disputes = True
    operations = MappingProxyType(
        {
            Ask.OPEN: "checkout.sessions.create",
            Ask.FIND: "checkout.sessions.retrieve",
            Ask.CAPTURE: "payment_intents.capture",
            Ask.CANCEL: "payment_intents.cancel",
            Ask.EXPIRE: "checkout.sessions.expire",
            Ask.REFUND: "refunds.create",
            Ask.FIND_REFUND: "refunds.list",
            Ask.FIND_REFUNDS: "refunds.list",
            Ask.FIND_NEW_REFUNDS: "refunds.list",
            Ask.SETTLEMENTS: "payouts.list",
            Ask.FIND_DISPUTES: "disputes.list",
        }
    )

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.adapter = Adapter(Settings(KEY, (SECRET,), stage.api))

    def close(self) -> None:
        self.adapter.http.close()

    def pay(
        self,
        order: Charge,  # noqa: ARG002  # other gateways' worlds need it
        page: Checkout,
        how: Payer = Payer.PAYS,
        refunds: Refunds = Refunds.SUCCEED,
    ) -> None:
        if how is Payer.DROPS:
            self.stage.server.http.request("GET", page.url, timeout=10)
            return
        if how is Payer.FAILS_THEN_PAYS:
            self._try(page, card=CARDS[Payer.DECLINES_SOFT])
        if how in BANKS:
            answer = self._try(page, bank=BANKS[how])
        else:
            answer = self._try(page, card=CARDS.get(how, GOOD_CARD), challenge=CHALLENGE.get(how))
        if refunds is not Refunds.SUCCEED:
            intent = answer["session"]["payment_intent"]
            self.stage.control(f"/charges/{intent}/refunds", {"outcome": OF_REFUNDS[refunds]})

    def _try(self, page: Checkout, **payer: Any) -> dict[str, Any]:
        return self.stage.control(f"/sessions/{page.reference}/pay", payer)

    def arrival(self, order: Charge, page: Checkout) -> Return:
        return Return({"session_id": page.reference}, order.id, page.reference)

    def tampered(self, arrival: Return) -> Return:
        return arrival

    def dispute(self, payment: Finding) -> None:
        self.stage.control(f"/charges/{payment.gateway_payment_id}/dispute")

    def decide(self, dispute: Finding, outcome: Outcome) -> None:
        path = f"/disputes/{dispute.gateway_dispute_id}/decide"
        self.stage.control(path, {"outcome": str(outcome)})

    def refund_there(self, payment: Finding, amount: int) -> None:
        path = f"/charges/{payment.gateway_payment_id}/refund"
        assert "id" in self.stage.control(path, {"amount": amount})

    def settle(self) -> None:
        self.stage.control("/payouts", {"debit": True})  # others' refunds may weigh more
