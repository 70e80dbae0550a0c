"""Cashfree's messages in any order, again and lost: the books end the same.

Stories are played against the simulator, through the adapter. Every webhook that it signed is kept,
and then delivered again and again: shuffled, repeated, some of them never. What was lost is asked
about in the end, as the janitor asks. Each time the books must say the same.
"""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from books import Connection, Tenant, broken_invariants
from gateway_bench import Receiver, Server
from gateways.cashfree_world import CashfreeWorld
from gateways.test_stripe_shuffle import end_of
from gateways.world import DAY, Payer, Refunds, Stage
from money_back import Desk

from app.gateways import Charge, Finding, Notice, Outcome, RefundOrder, Subject
from app.money import Money

SHUFFLES = int(os.environ.get("SHUFFLES", "200"))
DELIVERIES = 60
SEED = 20261121
AMOUNT = 250_000


@dataclass
class Stories:
    """What was done, and what looking it up says."""

    world: CashfreeWorld
    desk: Desk
    look_ups: list[Callable[[], Finding | None]] = field(default_factory=list)

    def buy(self, key: str, how: Payer = Payer.PAYS, refunds: Refunds = Refunds.SUCCEED) -> Charge:
        row = self.desk.open(key=key, gateway="cashfree", currency="INR", amount=AMOUNT)
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
        self.desk.tell(**found.words(), gateway="cashfree", type="look-up")
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

    def dispute(self, key: str, kind: str, outcome: str) -> None:
        payment = self.paid(key)
        path = f"/orders/{payment.payment_attempt_id}/dispute"
        made = self.world.stage.control(path, {"type": kind})
        decide = f"/disputes/{made['dispute_id']}/decide"
        self.world.stage.control(decide, {"outcome": "under_review"})
        self.world.stage.control(decide, {"outcome": outcome})

    def deliver(self, notice: Notice) -> None:
        self.desk.tell(
            **notice.words(),
            gateway="cashfree",
            event_id=notice.event_id,
            type=notice.type,
            occurred_at=notice.occurred_at.isoformat(),
            payload={"id": notice.event_id},
        )


def play(stories: Stories) -> None:
    for how in (
        *(Payer.PAYS, Payer.DECLINES_SOFT, Payer.DECLINES_AUTHENTICATION),
        *(
            Payer.PENDING_THEN_PAID,
            Payer.PENDING_THEN_FAILED,
            Payer.FAILS_THEN_PAYS_LATE,
            Payer.DROPS,
        ),
        *(Payer.FAILS_THEN_PAYS, Payer.PAYS_TWICE),
    ):
        stories.buy(str(how), how)
    closed = stories.buy("closed", Payer.DECLINES_HARD)
    stories.world.adapter.expire(closed.id, closed.id)
    stories.refund(stories.paid("refunded"), AMOUNT, "whole")
    parts = stories.paid("refunded in parts")
    for number in range(2):
        stories.refund(parts, 100_000, f"part {number}")
    stories.refund(stories.paid("waits", Refunds.WAIT_THEN_SUCCEED), AMOUNT, "waits")
    stories.refund(stories.paid("fails", Refunds.WAIT_THEN_FAIL), AMOUNT, "fails")
    stories.dispute("won", "CHARGEBACK", "won")
    stories.dispute("lost", "DISPUTE", "lost")
    stories.dispute("asked", "RETRIEVAL", "lost")
    stories.world.stage.advance(2 * DAY)


@pytest.fixture
def stories(
    gateway_server: Server, receivers: dict[str, Receiver], db: Connection, tenant: Tenant
) -> Iterator[Stories]:
    organization = [tenant.organization_id]
    db.execute("insert into payment_settings values (%s, 'INR', 100, 10000000)", organization)
    db.execute("insert into system_settings values (%s, 'credit_rate_inr', '0.1')", organization)
    world = CashfreeWorld(Stage("cashfree", gateway_server, receivers["cashfree"]))
    yield Stories(world, Desk(db, tenant.session))
    world.close()
    gateway_server.move_clock(0)


def ask_about_everything(stories: Stories, found: list[Finding]) -> None:
    """What the janitor does: each object is looked up, and what was put off is tried again."""
    for finding in found:
        stories.desk.tell(**finding.words(), gateway="cashfree", type="look-up")
    for _ in range(3):
        stories.desk.db.execute("update clock set skew_seconds = skew_seconds + 86400")
        while stories.desk.call("apply_due_gateway_event"):
            pass


def last_words(notices: list[Notice]) -> list[Notice]:
    """Give what webhooks alone tell: the last of each dispute, and each payment of an order."""
    last = {one.gateway_dispute_id: one for one in notices if one.subject is Subject.DISPUTE}
    paid = [one for one in notices if one.outcome is Outcome.PAID]
    return [*last.values(), *paid]


def books(db: Connection, tenant: Tenant) -> dict[str, Any]:
    """Tell the end. A second payment of an order is listed for each message that tells of it."""
    found = end_of(db, tenant)
    return {**found, "listed": sorted(set(found["listed"]))}


@pytest.mark.timeout(600)
def test_any_order_of_messages_ends_in_the_same_books(
    stories: Stories, db: Connection, tenant: Tenant
) -> None:
    play(stories)
    adapter = stories.world.adapter
    notices = [adapter.read(one, at) for one, at in stories.world.stage.deliveries()]
    found = [one for look_up in stories.look_ups if (one := look_up()) is not None]
    found += last_words(notices)
    db.execute("savepoint told_nothing")
    for notice in notices:
        stories.deliver(notice)
    ask_about_everything(stories, found)
    expected = books(db, tenant)
    assert broken_invariants(db) == {}
    assert (len(expected["payments"]), len(expected["refunds"])) == (17, 5)
    assert len(expected["disputes"]) == 2
    assert len(notices) >= 33

    draw = random.Random(SEED)
    for number in range(SHUFFLES):
        db.execute("rollback to savepoint told_nothing")
        for _ in range(DELIVERIES):
            stories.deliver(draw.choice(notices))
        ask_about_everything(stories, found)
        db.execute("set constraints all immediate")
        db.execute("set constraints all deferred")
        assert books(db, tenant) == expected, f"shuffle {number} of seed {SEED}"
