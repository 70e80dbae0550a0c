"""A gateway's messages in any order, again, lost and forged: the books end the same.

Stories are played against the simulator, through the adapter. Every webhook that it sent is kept,
and then delivered again and again: shuffled, repeated, some of them never. What was lost is asked
about in the end, as the janitor asks. Each time the books must say the same. What only one gateway
has to tell stands in its `Tale`; Stripe's, which are about saved methods too, in
test_stripe_shuffle.py.
"""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from books import Connection, Tenant, broken_invariants
from gateways import worlds
from gateways.test_stripe_shuffle import end_of
from gateways.world import AMOUNT, DAY, Payer, Refunds, Stage
from money_back import Desk

from app.gateways import (
    Capability,
    Charge,
    Checkout,
    Delivery,
    Finding,
    Notice,
    Outcome,
    Query,
    RefundOrder,
    Subject,
)
from app.money import Money
from app.payments.checks import IS_NEWS

SHUFFLES = int(os.environ.get("SHUFFLES", "200"))
DELIVERIES = 60
SEED = 20261121
PART = 100_000

# What payers do everywhere.
COMMON = (
    *(Payer.PAYS, Payer.DECLINES_SOFT, Payer.DECLINES_AUTHENTICATION),
    *(Payer.PENDING_THEN_PAID, Payer.PENDING_THEN_FAILED, Payer.FAILS_THEN_PAYS_LATE, Payer.DROPS),
)
# And where a page takes another try.
SEVERAL = (Payer.FAILS_THEN_PAYS, Payer.PAYS_TWICE)


@dataclass
class Stories:
    """What was done in a gateway's world, and what looking it up says."""

    world: Any  # some tales use what only their world has
    desk: Desk
    look_ups: list[Callable[[], Finding | None]] = field(default_factory=list)
    pages: list[Query] = field(default_factory=list)

    @property
    def gateway(self) -> str:
        return str(self.world.adapter.name)

    def buy(
        self, key: str, how: Payer = Payer.PAYS, refunds: Refunds = Refunds.SUCCEED
    ) -> tuple[Charge, Checkout]:
        row = self.desk.open(key=key, gateway=self.gateway, currency="INR", amount=AMOUNT)
        order = self.world.stage.order("INR", id=str(row["payment_attempt_id"]))
        page = self.world.adapter.open(order)
        self.desk.record(row["payment_attempt_id"], page.reference)
        self.world.pay(order, page, how, refunds)
        query = self.world.stage.query(order.id, gateway_session_id=page.reference, is_over=True)
        self.look_ups.append(lambda: self.world.adapter.find(query))
        self.pages.append(query)
        return order, page

    def paid(self, key: str, refunds: Refunds = Refunds.SUCCEED) -> Finding:
        """A purchase whose payment we have heard of."""
        self.buy(key, refunds=refunds)
        found = self.look_ups[-1]()
        assert found is not None
        self.desk.tell(**found.words(), gateway=self.gateway, type="look-up")
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

    def find_payments(self) -> list[Finding]:
        """What the janitor brings of the pages that were paid: what is held there, too."""
        if Capability.PAYMENTS not in self.world.adapter.capabilities:
            return []
        of_pages = [self.world.adapter.find_payments(page) for page in self.pages]
        return [one for found in of_pages for one in found if one.outcome in IS_NEWS]

    def decide(self, dispute_id: str, outcome: str) -> None:
        for step in ("under_review", outcome):
            self.world.stage.control(f"/disputes/{dispute_id}/decide", {"outcome": step})

    def deliver(self, notice: Notice) -> None:
        """Take a message for what the door takes it for."""
        notice = notice.as_hint() if self.world.adapter.messages_are_hints else notice
        self.desk.tell(
            **notice.words(),
            gateway=self.gateway,
            event_id=notice.event_id,
            type=notice.type,
            occurred_at=notice.occurred_at.isoformat(),
            payload={"id": notice.event_id},
        )


@dataclass(frozen=True)
class Tale:
    """What is played at one gateway beyond what is at all, and how it must end."""

    payers: tuple[Payer, ...]
    play: Callable[[Stories], None]
    # What the janitor finds besides looking each thing up, or what no look-up tells.
    found: Callable[[Stories, list[Notice], datetime], list[Finding]]
    ends: tuple[int, int, int]  # payments, refunds, disputes in the books
    webhooks: int  # at least
    forge: Callable[[Stories], list[Notice]] = lambda _: []
    lists: bool = True  # whether something is left for a person
    step: int = 0  # by which two parts of a payment differ, where equal ones are refused


def play(stories: Stories, tale: Tale) -> None:
    for how in tale.payers:
        stories.buy(str(how), how)
    stories.refund(stories.paid("refunded"), AMOUNT, "whole")
    parts = stories.paid("refunded in parts")
    for number in range(2):
        stories.refund(parts, PART + number * tale.step, f"part {number}")
    stories.refund(stories.paid("waits", Refunds.WAIT_THEN_SUCCEED), AMOUNT, "waits")
    stories.refund(stories.paid("fails", Refunds.WAIT_THEN_FAIL), AMOUNT, "fails")
    tale.play(stories)
    stories.world.stage.advance(3 * DAY)


def razorpay(stories: Stories) -> None:
    _, page = stories.buy("late, and paid before that", Payer.FAILS_THEN_PAYS_LATE)
    stories.world.try_(page)
    for phase, outcome in (("chargeback", "won"), ("arbitration", "lost"), ("retrieval", "closed")):
        payment = stories.paid(f"{phase}, {outcome}")
        path = f"/payments/{payment.gateway_payment_id}/dispute"
        stories.decide(stories.world.stage.control(path, {"phase": phase})["id"], outcome)
    by_hand = stories.paid("refunded by hand at Razorpay")
    path = f"/payments/{by_hand.gateway_payment_id}/refund"
    stories.world.adapter.http.send(path, {"amount": 50_000})


def told_at_razorpay(stories: Stories, notices: list[Notice], begun: datetime) -> list[Finding]:
    """The list of disputes; a second payment of an order, and a refund made past us."""
    alone = [
        one
        for one in notices
        if one.outcome is Outcome.PAID or (one.subject is Subject.REFUND and not one.refund_id)
    ]
    return [*stories.world.adapter.find_disputes(begun), *alone]


def payu(stories: Stories) -> None:
    stories.world.dispute(stories.paid("disputed"))


def told_at_payu(stories: Stories, _: list[Notice], begun: datetime) -> list[Finding]:
    """The list of disputes."""
    return list(stories.world.adapter.find_disputes(begun))


def forged_at_payu(stories: Stories) -> list[Notice]:
    """What payers know who look into their own browsers, with another payment's `mihpayid`."""
    now, told = stories.world.stage.now(), []
    for fields in stories.world.brought_back.values():
        if fields["status"] != "pending":
            body = urlencode({**fields, "mihpayid": "403993715500000001", "mode": "NB"})
            told.append(stories.world.adapter.read(Delivery({}, body.encode()), now))
    assert Outcome.PAID in {one.outcome for one in told}
    assert len(told) >= 9
    return told


def cashfree(stories: Stories) -> None:
    closed, _ = stories.buy("closed", Payer.DECLINES_HARD)
    stories.world.adapter.expire(closed.id, closed.id)
    for kind, outcome in (("CHARGEBACK", "won"), ("DISPUTE", "lost"), ("RETRIEVAL", "lost")):
        payment = stories.paid(f"{kind}, {outcome}")
        path = f"/orders/{payment.payment_attempt_id}/dispute"
        stories.decide(stories.world.stage.control(path, {"type": kind})["dispute_id"], outcome)


def told_at_cashfree(stories: Stories, notices: list[Notice], _: datetime) -> list[Finding]:
    """The disputes of each payment that is disputed; and each payment of an order."""
    names = {str(one.gateway_payment_id) for one in notices if one.subject is Subject.DISPUTE}
    asked = (stories.world.adapter.find_payment_disputes(name) for name in sorted(names))
    paid = [one for one in notices if one.outcome is Outcome.PAID]
    return [*(found for each in asked for found in each), *paid]


TALES = {
    "razorpay": Tale(
        (*COMMON, Payer.DECLINES_HARD, *SEVERAL), razorpay, told_at_razorpay, (20, 7, 2), 50
    ),
    "payu": Tale(
        COMMON, payu, told_at_payu, (12, 5, 1), 18, forge=forged_at_payu, lists=False, step=1
    ),
    "cashfree": Tale((*COMMON, *SEVERAL), cashfree, told_at_cashfree, (18, 6, 3), 33),
}


@pytest.fixture(params=TALES)
def stories(
    request: pytest.FixtureRequest,
    stage_alone: Callable[[str], Stage],
    db: Connection,
    tenant: Tenant,
) -> Iterator[Stories]:
    organization = [tenant.organization_id]
    db.execute("insert into payment_settings values (%s, 'INR', 100, 10000000)", organization)
    db.execute("insert into system_settings values (%s, 'credit_rate_inr', '0.1')", organization)
    name = request.param
    world = worlds.build(name, stage_alone(name))
    yield Stories(world, Desk(db, tenant.session))
    world.close()


def ask_about_everything(stories: Stories, found: list[Finding]) -> None:
    """What the janitor does: each object is looked up, and what was put off is tried again."""
    for finding in found:
        stories.desk.tell(**finding.words(), gateway=stories.gateway, type="look-up")
    for _ in range(3):
        stories.desk.db.execute("update clock set skew_seconds = skew_seconds + 86400")
        while stories.desk.call("apply_due_gateway_event"):
            pass


@pytest.mark.timeout(1800)
def test_any_order_of_messages_ends_in_the_same_books(
    stories: Stories, db: Connection, tenant: Tenant
) -> None:
    tale = TALES[stories.gateway]
    begun = stories.world.stage.now().replace(microsecond=0)
    play(stories, tale)
    adapter = stories.world.adapter
    notices = [adapter.read(one, at) for one, at in stories.world.stage.deliveries()]
    forged = tale.forge(stories)
    found = [one for look_up in stories.look_ups if (one := look_up()) is not None]
    found += stories.find_payments()
    found += tale.found(stories, notices, begun)
    db.execute("savepoint told_nothing")
    for notice in notices:
        stories.deliver(notice)
    ask_about_everything(stories, found)
    expected = end_of(db, tenant)
    assert broken_invariants(db) == {}
    assert tuple(len(expected[kind]) for kind in ("payments", "refunds", "disputes")) == tale.ends
    assert len(notices) >= tale.webhooks
    assert bool(expected["listed"]) == tale.lists

    draw = random.Random(SEED)
    for number in range(SHUFFLES):
        db.execute("rollback to savepoint told_nothing")
        for _ in range(DELIVERIES):
            stories.deliver(draw.choice([*notices, *forged]))
        ask_about_everything(stories, found)
        db.execute("set constraints all immediate")
        db.execute("set constraints all deferred")
        assert end_of(db, tenant) == expected, f"shuffle {number} of seed {SEED}"
