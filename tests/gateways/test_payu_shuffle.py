"""PayU's messages in any order, again, lost and forged: the books end the same.

Stories are played against the simulator, through the adapter. Every webhook is kept, and what the
payers' browsers brought back besides, sent to the webhook by the payers themselves with another
payment's `mihpayid` in it. All that is then delivered again and again, shuffled, some of it never;
in the end everything is looked up, as the janitor does. Each time the books must say the same.
"""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from books import Connection, Tenant, broken_invariants
from gateway_bench import Receiver, Server
from gateways.payu_world import PayuWorld
from gateways.test_stripe_shuffle import end_of
from gateways.world import DAY, Payer, Refunds, Stage
from money_back import Desk

from app.gateways import Charge, Delivery, Finding, Notice, Outcome, RefundOrder
from app.money import Money

SHUFFLES = int(os.environ.get("SHUFFLES", "200"))
DELIVERIES = 60
SEED = 20261121
AMOUNT = 250_000


@dataclass
class Stories:
    """What was done, and what looking it up says."""

    world: PayuWorld
    desk: Desk
    look_ups: list[Callable[[], Finding | None]] = field(default_factory=list)

    def buy(self, key: str, how: Payer = Payer.PAYS, refunds: Refunds = Refunds.SUCCEED) -> Charge:
        row = self.desk.open(key=key, gateway="payu", currency="INR", amount=AMOUNT)
        order = self.world.stage.order("INR", id=str(row["payment_attempt_id"]))
        page = self.world.adapter.open(order)
        self.world.pay(order, page, how, refunds)
        query = self.world.stage.query(order.id, gateway_session_id=page.reference, is_over=True)
        self.look_ups.append(lambda: self.world.adapter.find(query))
        return order

    def paid(self, key: str, refunds: Refunds = Refunds.SUCCEED) -> Finding:
        """A purchase whose payment we have heard of."""
        self.buy(key, refunds=refunds)
        found = self.look_ups[-1]()
        assert found is not None
        self.desk.tell(**found.words(), gateway="payu", type="look-up")
        return found

    def refund(self, payment: Finding, amount: int, key: str) -> None:
        (attempt,) = self.desk.db.execute(
            "select * from payment_attempts where id = %s", [payment.payment_attempt_id]
        ).fetchall()
        row = self.desk.refund(attempt["payment_intent_id"], amount=amount, key=key)
        paid_as = str(payment.gateway_payment_id)
        order = RefundOrder(str(row["id"]), paid_as, Money(amount, "INR"), "other")
        self.world.adapter.refund(order)
        self.look_ups.append(lambda: self.world.adapter.find_refund(order.id, paid_as))

    def forged(self) -> Iterator[Notice]:
        """What payers know who look into their own browsers."""
        now = self.world.stage.now()
        for fields in self.world.brought_back.values():
            if fields["status"] != "pending":
                body = urlencode({**fields, "mihpayid": "403993715500000001", "mode": "NB"})
                yield self.world.adapter.read(Delivery({}, body.encode()), now)

    def deliver(self, notice: Notice) -> None:
        self.desk.tell(
            **notice.words(),
            gateway="payu",
            event_id=notice.event_id,
            type=notice.type,
            occurred_at=notice.occurred_at.isoformat(),
            payload={"id": notice.event_id},
        )


def play(stories: Stories) -> None:
    for how in (
        *(Payer.PAYS, Payer.DECLINES_SOFT, Payer.DECLINES_AUTHENTICATION),
        *(Payer.PENDING_THEN_PAID, Payer.PENDING_THEN_FAILED, Payer.FAILS_THEN_PAYS_LATE),
        Payer.DROPS,
    ):
        stories.buy(str(how), how)
    stories.refund(stories.paid("refunded"), AMOUNT, "whole")
    parts = stories.paid("refunded in parts")
    for number in range(2):
        stories.refund(parts, 100_000 + number, f"part {number}")
    stories.refund(stories.paid("waits", Refunds.WAIT_THEN_SUCCEED), AMOUNT, "waits")
    stories.refund(stories.paid("fails", Refunds.WAIT_THEN_FAIL), AMOUNT, "fails")
    stories.world.dispute(stories.paid("disputed"))
    stories.world.stage.advance(2 * DAY)


@pytest.fixture
def stories(
    gateway_server: Server, receivers: dict[str, Receiver], db: Connection, tenant: Tenant
) -> Iterator[Stories]:
    organization = [tenant.organization_id]
    db.execute("insert into payment_settings values (%s, 'INR', 100, 10000000)", organization)
    db.execute("insert into system_settings values (%s, 'credit_rate_inr', '0.1')", organization)
    world = PayuWorld(Stage("payu", gateway_server, receivers["payu"]))
    yield Stories(world, Desk(db, tenant.session))
    world.close()
    gateway_server.move_clock(0)


def ask_about_everything(stories: Stories, found: list[Finding]) -> None:
    """What the janitor does: each object is looked up, and what was put off is tried again."""
    for finding in found:
        stories.desk.tell(**finding.words(), gateway="payu", type="look-up")
    for _ in range(3):
        stories.desk.db.execute("update clock set skew_seconds = skew_seconds + 86400")
        while stories.desk.call("apply_due_gateway_event"):
            pass


@pytest.mark.timeout(600)
def test_any_order_of_messages_ends_in_the_same_books(
    stories: Stories, db: Connection, tenant: Tenant
) -> None:
    play(stories)
    adapter = stories.world.adapter
    notices = [adapter.read(one, at) for one, at in stories.world.stage.deliveries()]
    forged = list(stories.forged())
    found = [one for look_up in stories.look_ups if (one := look_up()) is not None]
    db.execute("savepoint told_nothing")
    for notice in notices:
        stories.deliver(notice)
    ask_about_everything(stories, found)
    expected: dict[str, Any] = end_of(db, tenant)
    assert broken_invariants(db) == {}
    assert (len(expected["payments"]), len(expected["refunds"])) == (12, 5)
    assert expected["listed"] == []
    assert len(notices) >= 18
    assert len(forged) >= 9
    assert Outcome.PAID in {one.outcome for one in forged}

    draw = random.Random(SEED)
    for number in range(SHUFFLES):
        db.execute("rollback to savepoint told_nothing")
        for _ in range(DELIVERIES):
            stories.deliver(draw.choice([*notices, *forged]))
        ask_about_everything(stories, found)
        db.execute("set constraints all immediate")
        db.execute("set constraints all deferred")
        assert end_of(db, tenant) == expected, f"shuffle {number} of seed {SEED}"
