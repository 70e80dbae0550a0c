"""The history of statuses: ranks are what the database lets through, and breaches are seen."""

from typing import Any

import history
import pytest
from books import Connection, Tenant
from money_back import Desk


@pytest.fixture
def desk(db: Connection, tenant: Tenant) -> Desk:
    history.keep(db)
    return Desk(db, tenant.session)


def test_every_step_of_the_database_rises_or_is_a_listed_fall(db: Connection) -> None:
    nouns = [row["noun"] for row in db.execute(history.TABLES).fetchall()]
    steps = {
        (noun, row["before"], row["after"])
        for noun in nouns
        for row in db.execute(f"select before, after from {noun}_steps").fetchall()
    }

    assert nouns == sorted(history.RANKS)
    assert {step for step in steps if not history.is_a_step(*step)} == set()
    assert steps >= history.FALLS


def test_a_payment_and_its_refund_have_a_history_that_is_told(desk: Desk) -> None:
    paid = desk.paid()
    desk.say(desk.refund(paid["payment_intent_id"], amount=100), "succeeded")

    assert history.breaches(desk.db) == []
    assert [row["after"] for row in rows(desk, "refund")] == ["created", "succeeded"]


def rows(desk: Desk, noun: str) -> list[dict[str, Any]]:
    return [row for row in desk.db.execute(history.CHANGES).fetchall() if row["noun"] == noun]


def test_a_status_that_falls_is_seen_though_the_guard_is_gone(desk: Desk) -> None:
    desk.paid()
    desk.db.execute("alter table payment_intents disable trigger payment_intent_takes_legal_steps")
    desk.db.execute("update payment_intents set status = 'failed'")

    (breach,) = history.breaches(desk.db)
    assert breach.endswith("went from paid to failed")


def test_an_end_of_which_nothing_is_told_is_seen(desk: Desk) -> None:
    desk.db.execute("alter table events disable trigger kept_in_history")
    desk.paid()

    (breach,) = history.breaches(desk.db)
    assert breach.endswith("went from pending to paid, and nothing was told of it")


def test_a_status_that_changed_unseen_is_seen_at_the_next_change(desk: Desk) -> None:
    desk.open()
    desk.db.execute("alter table payment_intents disable trigger kept_in_history")
    desk.db.execute("update payment_intents set status = 'processing'")
    desk.db.execute("alter table payment_intents enable trigger kept_in_history")
    desk.db.execute("update payment_intents set status = 'paid'")

    assert any(
        "was pending and went to paid from processing" in one for one in history.breaches(desk.db)
    )
