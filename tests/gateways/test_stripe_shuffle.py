"""Stripe's messages in any order, again and lost: the books end the same.

Thirteen life stories are played against the simulator, through the adapter. Every webhook that it
signed is kept, and then delivered again and again: shuffled, repeated, some of them never. What
was lost is asked about in the end, as the janitor asks. Each time the books must say the same.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from books import Connection, Tenant, broken_invariants
from gateway_bench import Received, connect
from gateways.stripe_world import DAY, StripeWorld
from gateways.world import Stage
from money_back import Desk

from app.gateways import Charge, Checkout, Delivery, Finding, Notice, RefundOrder, Subject
from app.money import Money

SHUFFLES = int(os.environ.get("SHUFFLES", "200"))
DELIVERIES = 60
SEED = 20261121

DECLINED, CHALLENGED = "4000000000009995", "4000002760003184"
REFUND_WAITS, REFUND_FAILS = "4000000000007726", "4000000000005126"


@dataclass
class Stories:
    """What was done, what was heard of it, and what looking it up says."""

    world: StripeWorld
    desk: Desk
    told: dict[str, Notice] = field(default_factory=dict)
    subjects: set[str] = field(default_factory=set)
    look_ups: list[Callable[[], Finding | None]] = field(default_factory=list)

    def buy(self, key: str) -> tuple[Charge, Checkout]:
        row = self.desk.open(key=key)
        order = self.world.order(id=str(row["payment_attempt_id"]))
        page = self.world.adapter.open(order)
        query = self.world.query(order.id, gateway_session_id=page.reference)
        self.look_ups.append(lambda: self.world.adapter.find(query))
        self.subjects.add(order.id)
        return order, page

    def paid(self, key: str, **payer: Any) -> Finding:
        """A purchase whose payment we have heard of."""
        _, page = self.buy(key)
        self.world.pay(page, **payer)
        found = self.look_ups[-1]()
        assert found is not None
        self.desk.tell(**found.words(), type="look-up")
        self.subjects.add(str(found.gateway_payment_id))
        return found

    def refund(self, payment: Finding, amount: int, key: str) -> RefundOrder:
        (attempt,) = self.desk.db.execute(
            "select * from payment_attempts where id = %s", [payment.payment_attempt_id]
        ).fetchall()
        refund = self.desk.refund(attempt["payment_intent_id"], amount=amount, key=key)
        order = RefundOrder(
            str(refund["id"]), str(payment.gateway_payment_id), Money(amount, "USD"), "other"
        )
        self.world.adapter.refund(order)
        self.subjects.add(order.id)
        paid_as = order.gateway_payment_id
        self.look_ups.append(lambda: self.world.adapter.find_refund(order.id, paid_as))
        return order

    def collect(self) -> list[Notice]:
        """Every webhook about these stories, in the order in which they were sent."""
        self.world.server.wait_until_quiet()
        for subject in self.subjects:
            for sent in self.world.receiver.about(subject):
                notice = self.world.adapter.read(Delivery(sent.headers, sent.body), signed_at(sent))
                self.told[notice.event_id] = notice
        return sorted(self.told.values(), key=lambda notice: notice.occurred_at)

    def deliver(self, notice: Notice) -> None:
        self.desk.tell(
            **notice.words(),
            event_id=notice.event_id,
            type=notice.type,
            occurred_at=notice.occurred_at.isoformat(),
            payload={"id": notice.event_id},
        )


def signed_at(sent: Received) -> datetime:
    stamp = sent.headers["stripe-signature"].partition("t=")[2].partition(",")[0]
    return datetime.fromtimestamp(int(stamp), UTC)


def play(stories: Stories) -> None:
    """Thirteen lives of a payment."""
    world = stories.world
    for key, card in {"plain": "4242424242424242", "challenged": CHALLENGED}.items():
        _, page = stories.buy(key)
        world.pay(page, card=card)
    _, page = stories.buy("second card")
    world.pay(page, card=DECLINED)
    world.pay(page)
    order, page = stories.buy("closed")
    world.pay(page, card=DECLINED)
    world.adapter.expire(order.id, page.reference)
    for key, account in {"debit": True, "debit that comes back": "000222222227"}.items():
        _, page = stories.buy(key)
        world.pay(page, bank=account)

    whole = stories.paid("refunded")
    stories.refund(whole, 2500, "whole")
    parts = stories.paid("refunded in parts")
    for number in range(2):
        stories.refund(parts, 1000, f"part {number}")
    stories.refund(stories.paid("refund waits", card=REFUND_WAITS), 2500, "waits")
    stories.refund(stories.paid("refund fails", card=REFUND_FAILS), 2500, "fails")
    for outcome in ("won", "lost"):
        payment = stories.paid(f"dispute {outcome}")
        opened = world.server.control(f"/stripe/charges/{payment.gateway_payment_id}/dispute", {})
        world.advance(1)
        world.server.control(f"/stripe/disputes/{opened['id']}/decide", {"outcome": outcome})
    made_there = stories.paid("refunded by hand at Stripe")
    world.client.v1.refunds.create(
        {"payment_intent": str(made_there.gateway_payment_id), "amount": 500}
    )
    world.advance(7 * DAY)


def end_of(db: Connection, tenant: Tenant) -> dict[str, Any]:
    """All that counts in the end, without ids and times of messages."""

    def rows(query: str) -> list[Any]:
        return sorted(map(str, db.execute(query, [tenant.organization_id]).fetchall()))

    return {
        "payments": rows(
            "select payment_intent_id, payment_attempts.status, payment_intents.status as intent,"
            " amount_captured, amount_refunded, is_surplus from payment_attempts"
            " join payment_intents on payment_intents.id = payment_intent_id"
            " where payment_attempts.organization_id = %s"
        ),
        "refunds": rows(
            "select gateway_refund_id, payment_intent_id, status, amount, loss_amount from refunds"
            " where organization_id = %s"
        ),
        "disputes": rows(
            "select gateway_dispute_id, status, amount from disputes where organization_id = %s"
        ),
        "books": rows(
            "select code, currency, balance from ledger_balances"
            " where organization_id = %s and balance <> 0"
        ),
        "held": rows(
            "select code, held from ledger_accounts where organization_id = %s and held <> 0"
        ),
        "listed": rows(
            # A refund that fails is listed if its success was told before: who heard of the
            # failure first was never told otherwise.
            "select class, amount from exceptions"
            " where organization_id = %s and resolved_at is null and class <> 'refund-failed'"
        ),
    }


@pytest.fixture
def stories(
    stage_alone: Callable[[str], Stage], db: Connection, tenant: Tenant
) -> Iterator[Stories]:
    stage = stage_alone("stripe")
    with requests.Session() as session:
        world = StripeWorld(stage.server, stage.receiver, connect(stage.server, session))
        yield Stories(world, Desk(db, tenant.session))
        world.close()


def ask_about_everything(stories: Stories, found: list[Finding]) -> None:
    """What the janitor does: each object is looked up, and what was put off is tried again."""
    for finding in found:
        stories.desk.tell(**finding.words(), type="look-up")
    for _ in range(3):
        stories.desk.db.execute("update clock set skew_seconds = skew_seconds + 86400")
        while stories.desk.call("apply_due_gateway_event"):
            pass


def disputes_of(notices: list[Notice]) -> list[Finding]:
    """The last word on each dispute: disputes are not looked up, their events are listed."""
    last = {n.gateway_dispute_id: n for n in notices if n.subject is Subject.DISPUTE}
    return list(last.values())


@pytest.mark.timeout(1800)
def test_any_order_of_messages_ends_in_the_same_books(
    stories: Stories, db: Connection, tenant: Tenant
) -> None:
    play(stories)
    notices = stories.collect()
    found = [one for look_up in stories.look_ups if (one := look_up()) is not None]
    found += disputes_of(notices)
    found += [n for n in notices if n.subject is Subject.REFUND and n.refund_id is None]
    db.execute("savepoint told_nothing")
    for notice in notices:
        stories.deliver(notice)
    ask_about_everything(stories, found)
    expected = end_of(db, tenant)
    assert broken_invariants(db) == {}
    assert (len(expected["payments"]), len(expected["refunds"])) == (13, 6)
    assert len(notices) >= 40

    draw = random.Random(SEED)
    for number in range(SHUFFLES):
        db.execute("rollback to savepoint told_nothing")
        for _ in range(DELIVERIES):
            stories.deliver(draw.choice(notices))
        ask_about_everything(stories, found)
        db.execute("set constraints all immediate")
        db.execute("set constraints all deferred")
        assert end_of(db, tenant) == expected, f"shuffle {number} of seed {SEED}"
