"""The worked tables of docs/refunds.md, computed again."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from books import ROOT, Tenant
from money_back import Desk
from worked_tables import booked, documented

PAGE = ROOT / "docs" / "refunds.md"


def succeeds(desk: Desk, paid: Any, tenant: Tenant) -> None:
    desk.say(desk.refund(paid["payment_intent_id"], amount=1000), "succeeded")


def fails(desk: Desk, paid: Any, tenant: Tenant) -> None:
    desk.say(desk.refund(paid["payment_intent_id"], amount=1000), "failed")


def comes_back(desk: Desk, paid: Any, tenant: Tenant) -> None:
    refund = desk.refund(paid["payment_intent_id"], amount=1000)
    desk.say(refund, "succeeded")
    desk.say(refund, "failed")


def costs_a_fee(desk: Desk, paid: Any, tenant: Tenant) -> None:
    desk.db.execute(
        "insert into refund_policies (organization_id, purpose, currency, fee_amount,"
        " created_by)"
        " values (%s, 'credit_purchase', 'USD', 300, 'fiona')",
        [tenant.organization_id],
    )
    desk.say(desk.refund(paid["payment_intent_id"], amount=1000), "succeeded")


def is_spent(desk: Desk, paid: Any, tenant: Tenant) -> None:
    desk.db.execute(
        "insert into system_settings values (%s, 'refund_spent_credits', 'allow')",
        [tenant.organization_id],
    )
    desk.call(
        "spend_credits",
        customer_id=tenant.customer_id,
        amount=200,
        key="spend",
        description="Tea",
        reference=None,
    )
    desk.say(desk.refund(paid["payment_intent_id"], amount=1000), "succeeded")


def is_late(desk: Desk, paid: Any, tenant: Tenant) -> None:
    refund = desk.refund(paid["payment_intent_id"], amount=1000)
    desk.db.execute("update clock set skew_seconds = skew_seconds + 100000")
    desk.tell(subject="refund", outcome="not_found", refund_id=str(refund["id"]))
    desk.say(refund, "succeeded")


def second_payment(desk: Desk) -> UUID:
    """Of a page that was thought to be over: it is paid although nothing is owed any more."""
    late = desk.db.execute(
        "insert into payment_attempts (organization_id, livemode, payment_intent_id, gateway,"
        " amount, currency, status) select organization_id, livemode, payment_intent_id, gateway,"
        " amount, currency, 'expired' from payment_attempts returning id"
    ).fetchone()
    assert late is not None
    desk.receive(late["id"], gateway_session_id=None)
    attempt_id: UUID = late["id"]
    return attempt_id


def is_surplus(desk: Desk, paid: Any, tenant: Tenant) -> None:
    second_payment(desk)
    (refund,) = desk.db.execute("select * from refunds").fetchall()
    desk.say(refund, "succeeded")


def is_short(desk: Desk, paid: Any, tenant: Tenant) -> None:
    asked = desk.open(key="key-2")
    held = desk.receive(asked["payment_attempt_id"], gateway_session_id=None, amount=2400)
    refund = desk.refund(asked["payment_intent_id"], payment_attempt_id=held["payment_attempt_id"])
    desk.say(refund, "succeeded")


def is_made_at_the_gateway(desk: Desk, paid: Any, tenant: Tenant) -> None:
    desk.tell(
        subject="refund",
        outcome="succeeded",
        gateway_refund_id="re_dashboard",
        gateway_payment_id=f"pi_{paid['payment_attempt_id']}",
        amount=1000,
        currency="USD",
    )


def is_surplus_and_disputed(desk: Desk, paid: Any, tenant: Tenant) -> None:
    late = second_payment(desk)
    (refund,) = desk.db.execute("select * from refunds").fetchall()
    desk.say(refund, "failed")
    desk.dispute(late, "opened")
    desk.dispute(late, "lost")


def is_surplus_and_lost(desk: Desk, paid: Any, tenant: Tenant) -> None:
    late = second_payment(desk)
    (refund,) = desk.db.execute("select * from refunds").fetchall()
    desk.dispute(late, "opened")
    desk.dispute(late, "lost")
    desk.say(refund, "failed")


def dispute(end: str) -> Callable[..., None]:
    def story(desk: Desk, paid: Any, tenant: Tenant) -> None:
        fee = {"fee_amount": 1500, "fee_currency": "USD"}
        desk.call(
            "spend_credits",
            customer_id=tenant.customer_id,
            amount=100,
            key="spend",
            description="Tea",
            reference=None,
        )
        desk.dispute(paid["payment_attempt_id"], "opened", **fee)
        desk.dispute(paid["payment_attempt_id"], end, **fee)

    return story


STORIES = {
    "A refund succeeds": succeeds,
    "A refund fails": fails,
    "A refund fails after it succeeded": comes_back,
    "A refund has a fee": costs_a_fee,
    "Credits are spent, and the setting allows it": is_spent,
    "A refund was given up, and made after all": is_late,
    "A refund is made at the gateway": is_made_at_the_gateway,
    "Surplus": is_surplus,
    "Suspense": is_short,
    "Surplus is disputed": is_surplus_and_disputed,
    "Surplus is lost in a dispute while its refund is on its way": is_surplus_and_lost,
    "A dispute is won": dispute("won"),
    "A dispute is lost": dispute("lost"),
}


def test_every_table_on_the_page_has_a_story_and_every_story_a_table() -> None:
    assert list(documented("refunds.md")) == list(STORIES)


@pytest.mark.parametrize("heading", STORIES)
def test_the_page_shows_what_is_booked(db, desk, tenant, paid, heading) -> None:
    before = booked(db, tenant.organization_id)
    STORIES[heading](desk, paid, tenant)

    (table,) = documented("refunds.md")[heading]
    after = Counter(booked(db, tenant.organization_id))
    after.subtract(before)
    told = Counter({row: n for row, n in after.items() if n and not row.key.startswith("spend:")})
    assert told == Counter(table)


def test_the_pages_lists_are_the_databases(db) -> None:
    text = PAGE.read_text(encoding="utf-8")
    reasons = db.execute("select reason from refund_reasons").fetchall()
    states = db.execute("select before from refund_steps union select after from refund_steps")

    for word in [*(row["reason"] for row in reasons), *(row["before"] for row in states)]:
        assert f"`{word}`" in text
