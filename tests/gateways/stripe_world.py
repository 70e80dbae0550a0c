"""The adapter before a running simulator, which stands in for Stripe and for the payers."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import stripe
from gateway_bench import KEY, SECRET, Received, Receiver, Server, wait_for

from app.gateways import (
    Charge,
    Checkout,
    Delivery,
    Finding,
    Notice,
    Outcome,
    Query,
    RefundOrder,
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
    server: Server
    receiver: Receiver
    client: stripe.StripeClient
    skew: float = 0
    adapter: Adapter = field(init=False)

    def __post_init__(self) -> None:
        self.adapter = Adapter(Settings(KEY, (SECRET,), self.server.api))

    def close(self) -> None:
        self.adapter.http.close()

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.skew)

    def advance(self, seconds: float) -> None:
        self.skew += seconds
        self.server.control("/clock", {"skew_seconds": self.skew})

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

    def query(self, attempt: str, **ids: str | None) -> Query:
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
        wait_for(lambda: True if self.is_quiet() else None, "the webhooks")
        return [self.read(one) for one in self.receiver.about(about)]

    def is_quiet(self) -> bool:
        log = self.server.control("/deliveries?limit=50", method="GET")["deliveries"]
        return all(one["state"] != "pending" for one in log)


def payments(notices: list[Notice]) -> list[Outcome]:
    return [one.outcome for one in notices if one.subject is Subject.PAYMENT]
