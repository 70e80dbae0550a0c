"""What a scenario needs of any gateway's world, so that one text of it serves them all.

A world is the gateway's adapter before its running simulator, which also plays the payers and their
banks. It stands in `<gateway>_world.py`:

    OPTIONS = ("--key", "stripe=sk_test_x", "--secret", "stripe=whsec_x")  # of the server

    class World:  # fulfils the protocol below
        def __init__(self, stage: Stage) -> None: ...

Finding the file is finding the gateway: `test_scenarios.py` runs every scenario in every world.
What a gateway does otherwise is declared in `differences.py`, never skipped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import uuid4

from gateway_bench import Receiver
from gateways.standing import StandingServer

from app.gateways import (
    Charge,
    Checkout,
    Delivery,
    Finding,
    Gateway,
    Money,
    Outcome,
    Query,
    RefundOrder,
    Return,
)

HOUR = 3600
DAY = 24 * HOUR
AMOUNT = 250_000  # 2500.00 of the world's currency


class Payer(StrEnum):
    """What a payer does on an open page, or their bank for them.

    When `pay` answers it is done, but for what comes later: that has come after `advance(DAY)`,
    and not before, unless the clock is moved.
    """

    PAYS = "pays"
    AUTHORIZES = "authorizes"  # on a page opened with authorize_only: reserved, not taken
    DECLINES_SOFT = "declines_soft"  # and the page stays open where the gateway's does
    DECLINES_HARD = "declines_hard"
    DECLINES_AUTHENTICATION = "declines_authentication"
    DECLINES_FRAUD = "declines_fraud"
    GATEWAY_FAILS = "gateway_fails"  # DeclineClass.GATEWAY
    PENDING_THEN_PAID = "pending_then_paid"  # within a day
    PENDING_THEN_FAILED = "pending_then_failed"  # within a day
    FAILS_THEN_PAYS = "fails_then_pays"  # declined, then paid on the same page
    FAILS_THEN_PAYS_LATE = "fails_then_pays_late"  # within a day: a failed payment turns out paid
    DROPS = "drops"  # looks at the page and goes away
    PAYS_TWICE = "pays_twice"  # two captured payments on one page


class Refunds(StrEnum):
    """What becomes of the refunds of a payment."""

    SUCCEED = "succeed"  # at once, as the gateway calls it
    WAIT_THEN_SUCCEED = "wait_then_succeed"  # within a day
    WAIT_THEN_FAIL = "wait_then_fail"  # within a day
    FAIL_LATE = "fail_late"  # succeeded, and failed within a day


class Ask(StrEnum):
    """A method of the adapter's, for faults: `stage.fault(world.operations[Ask.OPEN], ...)`."""

    OPEN = "open"
    OPEN_UPI = "open_upi"  # where Capability.UPI is declared
    FIND = "find"  # by gateway_session_id
    CAPTURE = "capture"
    CANCEL = "cancel"
    EXPIRE = "expire"
    REFUND = "refund"
    FIND_REFUND = "find_refund"
    FIND_REFUNDS = "find_refunds"  # where Capability.REFUNDS is declared
    FIND_NEW_REFUNDS = "find_new_refunds"  # where Capability.NEW_REFUNDS is declared
    SETTLEMENTS = "settlements"
    FIND_DISPUTES = "find_disputes"  # where Capability.DISPUTES is declared
    FIND_PAYMENT_DISPUTES = "find_payment_disputes"  # where Capability.PAYMENT_DISPUTES is
    FIND_PAYMENTS = "find_payments"  # where Capability.PAYMENTS is declared


@dataclass
class Stage:
    """One gateway of the running server of simulators, with the clock that all there go by."""

    gateway: str
    server: StandingServer
    receiver: Receiver
    skew: float = 0
    taken: int = field(init=False)  # how many of the receiver's webhooks we have
    heard: list[tuple[Delivery, datetime]] = field(default_factory=list)
    made: dict[str, datetime] = field(default_factory=dict)  # order -> when

    def __post_init__(self) -> None:
        self.taken = len(self.receiver.received)

    @property
    def api(self) -> str:
        """The simulator's base address."""
        return f"{self.server.url}/{self.gateway}"

    def now(self) -> datetime:
        return self.server.now(self.skew)

    def advance(self, seconds: float) -> None:
        """Move the simulated clock; what comes due by it has happened when this answers."""
        self.deliveries()
        self.skew += seconds
        self.server.move_clock(self.skew)

    def control(self, path: str, order: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make a control call of this gateway's simulator: below `/_sandbox/<gateway>`."""
        return self.server.control(f"/{self.gateway}{path}", order or {})

    def fault(self, operation: str, kind: str, **details: Any) -> None:
        """Spoil calls, or with `webhook:` before the type (`webhook:*`) webhooks."""
        wanted = {"gateway": self.gateway, "operation": operation, "kind": kind, **details}
        assert "id" in self.server.control("/faults", wanted)

    def pay_upi(self, link: str, address: str) -> None:
        """Open a UPI link in an app, and pay from an address."""
        answer = self.server.control("/upi", {"link": link, "vpa": address})
        assert "status" in answer, answer

    def release(self) -> None:
        """Send the webhooks that the fault `hold` kept, newest first."""
        path = f"/deliveries?limit=1000&gateway={self.gateway}"
        log = self.server.control(path, method="GET")["deliveries"]
        held = [one["id"] for one in log if one["state"] == "held"]
        self.server.control("/deliveries/release", {"order": held})

    def deliveries(self) -> list[tuple[Delivery, datetime]]:
        """Give every webhook since the world began, and when it came.

        Waits for what is on its way, not for what is due later.
        """
        self.server.wait_until_quiet()
        with self.receiver.lock:
            came = self.receiver.received[self.taken :]
        self.taken += len(came)
        self.heard += [(Delivery(one.headers, one.body), self.now()) for one in came]
        return list(self.heard)

    def order(self, currency: str, amount: int = AMOUNT, **changes: Any) -> Charge:
        wanted: dict[str, Any] = {
            "id": str(uuid4()),
            "amount": Money(amount, currency),
            "title": "250 credits",
            "email": "asha@example.com",
            "name": "Asha Rao",
            "phone": "+919876543210",
            "success_url": "http://shop.example/ok",
            "cancel_url": "http://shop.example/no",
            "expires_at": self.now() + timedelta(hours=1),
        }
        order = Charge(**{**wanted, **changes})
        self.made[order.id] = self.now()
        return order

    def query(self, attempt: str, **details: Any) -> Query:
        since = self.made.get(attempt, self.now())
        return Query(payment_attempt_id=attempt, since=since, **details)

    def refund_order(
        self, payment: Finding, amount: int = AMOUNT, reason: str = "cancellation"
    ) -> RefundOrder:
        assert payment.gateway_payment_id
        assert payment.amount
        money = Money(amount, payment.amount.currency)
        return RefundOrder(str(uuid4()), payment.gateway_payment_id, money, reason)


class World(Protocol):
    """One gateway's adapter, and what payers and banks do at its simulator."""

    stage: Stage
    adapter: Gateway
    currency: str  # of the orders
    plays: frozenset[Payer]
    refunds: frozenset[Refunds]
    disputes: bool  # whether `dispute` and `decide` do something
    operations: Mapping[Ask, str]  # how the simulator's faults call it; absent: no request is made

    def close(self) -> None:
        """Give back connections."""

    def pay(
        self,
        order: Charge,
        page: Checkout,
        how: Payer = Payer.PAYS,
        refunds: Refunds = Refunds.SUCCEED,
    ) -> None:
        """Behave so on the page; `refunds` is what becomes of that payment's refunds."""

    def pay_upi(self, link: str, how: Payer) -> None:
        """Open a link in a payer's app, and behave so. Where Capability.UPI is declared."""

    def arrival(self, order: Charge, page: Checkout) -> Return:
        """Give what the payer's browser brings back after `pay`, as the gateway sends it."""

    def tampered(self, arrival: Return) -> Return:
        """Alter what was signed, as a cheating payer would; as it is where nothing is signed."""

    def dispute(self, payment: Finding) -> None:
        """Have the payer's bank dispute a payment."""

    def decide(self, dispute: Finding, outcome: Outcome) -> None:
        """Go on with a dispute: UNDER_REVIEW, WON or LOST."""

    def refund_there(self, payment: Finding, amount: int) -> None:
        """Refund as somebody does on the gateway's own pages, who names nothing of ours."""

    def settle(self) -> None:
        """Have the gateway settle what is due, on the day of `stage.now()`."""
