"""The worked tables of docs/bank-transfers.md, computed again, and its lists."""

from collections import Counter as Counts
from collections.abc import Callable
from typing import Any

import pytest
from books import ROOT, Connection, Tenant
from worked_tables import booked, documented

from .conftest import Counter

PAGE = ROOT / "docs" / "bank-transfers.md"

Row = dict[str, Any]


def pays(counter: Counter, account: Row, order: Row) -> None:
    counter.arrive(account, order)


def comes_in_parts(counter: Counter, account: Row, order: Row) -> None:
    counter.arrive(account, order, amount=100000, reference="A1")
    counter.arrive(account, order, amount=145000, reference="A2")


def is_too_much(counter: Counter, account: Row, order: Row) -> None:
    counter.arrive(account, order, amount=250000)
    pay_back(counter, account, counter.value("select id from refunds"), 5000)


def bounces_unused(counter: Counter, account: Row, order: Row) -> None:
    bounce(counter, account, counter.approve(counter.enter(account)))


def bounces(counter: Counter, account: Row, order: Row) -> None:
    bounce(counter, account, counter.arrive(account, order))


def bounces_late(counter: Counter, account: Row, order: Row) -> None:
    receipt = counter.arrive(account, order)
    finance = counter.acting(actor_role="finance")
    refund = finance.refund(order["payment_intent_id"], amount=45000)
    pay_back(counter, account, refund["id"], 45000)
    bounce(counter, account, receipt)


def bounces_first(counter: Counter, account: Row, order: Row) -> None:
    receipt = counter.arrive(account, order)
    finance = counter.acting(actor_role="finance")
    refund = finance.refund(order["payment_intent_id"], amount=45000)
    bounce(counter, account, receipt)
    pay_back(counter, account, refund["id"], 45000)


def bounce(counter: Counter, account: Row, receipt: Row) -> None:
    counter.approve(
        counter.enter(account, kind="return", returned_id=receipt["id"], reference="B1")
    )


def pay_back(counter: Counter, account: Row, refund_id: Any, amount: int) -> None:
    counter.approve(
        counter.enter(account, kind="refund", refund_id=refund_id, amount=amount, reference="R1")
    )


STORIES: dict[str, Callable[[Counter, Row, Row], None]] = {
    "A transfer pays the order": pays,
    "Too little, then the rest": comes_in_parts,
    "Too much, and the rest is paid back": is_too_much,
    "A cheque bounces before it paid anything": bounces_unused,
    "A cheque bounces after it paid the order": bounces,
    "A cheque bounces after a part was paid back": bounces_late,
    "A cheque bounces, and a part turns out to have been paid back": bounces_first,
}


def test_every_table_on_the_page_has_a_story_and_every_story_a_table() -> None:
    assert list(documented("bank-transfers.md")) == list(STORIES)


@pytest.mark.parametrize("heading", STORIES)
def test_the_page_shows_what_is_booked(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, heading: str
) -> None:
    STORIES[heading](counter, account, counter.order())

    (table,) = documented("bank-transfers.md")[heading]
    assert Counts(booked(db, tenant.organization_id)) == Counts(table)


def test_the_pages_lists_are_the_databases(db: Connection) -> None:
    text = PAGE.read_text(encoding="utf-8")
    states = db.execute(
        "select before as word from bank_transfer_steps"
        " union select after from bank_transfer_steps"
        " union select viewname from pg_views where viewname like 'invariant%%bank%%'"
    ).fetchall()

    assert len(states) >= 8
    for row in states:
        assert f"`{row['word']}`" in text
