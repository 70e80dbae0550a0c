"""Two calls at the moment at which each held what the other one wanted: both go through."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from books import settle
from mandates import Autopay
from money_back import Desk
from pages.conftest import Counter, counter_of
from psycopg.rows import dict_row
from sides import Stage, at


def desk_of(db: psycopg.Connection[Any]) -> Desk:
    return Desk(db, settle(db).session)


def test_a_batch_refers_at_its_commit_to_a_payment_that_is_captured_meanwhile(
    stage: Stage,
) -> None:
    with psycopg.connect(stage.url, row_factory=dict_row) as db:
        desk = desk_of(db)
        rows = [desk.open(key=f"key-{n}") for n in range(3)]
        for n, row in enumerate(rows):
            desk.record(row["payment_attempt_id"], f"cs_{n}")
    one, other, third = (row["payment_attempt_id"] for row in rows)
    batch, alone = stage.side(), stage.side()

    def hear_all(db: psycopg.Connection[Any]) -> list[str]:
        told = [desk.message(attempt, gateway_session_id=None) for attempt in (one, third)]
        told.append(desk.message(other, "requires_action", gateway_session_id=None, type="created"))
        return sorted(row["status"] for row in at(desk, db).receive_together(*told))

    assert batch.do(hear_all) == ["applied", "applied", "ignored"]
    # The two share an account of the ledger; and what is ignored names the other's payment.
    heard = alone.begin(lambda db: at(desk, db).receive(other, gateway_session_id=None))
    stage.waits(alone)
    batch.commit()
    assert heard.result()["status"] == "applied"


def test_a_mandate_names_its_customer_to_stripe_while_the_calendar_charges_the_one_before(
    stage: Stage,
) -> None:
    with psycopg.connect(stage.url, row_factory=dict_row) as db:
        tenant = settle(db)
        desk = Desk(db, tenant.session)
        autopay = Autopay(db, desk, tenant)
        old = autopay.set_up()
        db.execute("update customers set stripe_customer_id = null")
        new = autopay.record(autopay.open()["id"])["id"]
        autopay.at(autopay.mandate(old)["next_notice_at"])
    gate = stage.holds(
        "with role as materialized (select set_config('session_replication_role', 'replica', true))"
        " insert into autopay_charges (organization_id, livemode, autopay_mandate_id, customer_id,"
        " period, due_on, due_at, amount, currency, status, next_try_at)"
        " select organization_id, livemode, id, customer_id, to_char(next_due_on, 'YYYY-MM'),"
        " next_due_on, next_notice_at, amount, currency, 'due', next_notice_at"
        " from autopay_mandates, role where status = 'active'"
    )
    calendar, page = stage.side(), stage.side()
    charged = calendar.begin(lambda db: at(desk, db).call("materialise_autopay_charges", limit=10))
    stage.waits(calendar)  # has the old mandate, and is about to write its charge
    heard = page.begin(lambda db: Autopay(db, at(desk, db), tenant).hear(new, card_last4="4242"))
    stage.waits(page)  # has changed the customer, and wants the old mandate
    gate.rollback()
    charged.result()
    calendar.commit()
    heard.result()


def test_a_dispute_is_lost_while_credits_of_its_purchase_are_spent(stage: Stage) -> None:
    with psycopg.connect(stage.url, row_factory=dict_row) as db:
        desk = desk_of(db)
        paid = desk.paid()["payment_attempt_id"]
        desk.dispute(paid, "opened", amount=1000)
    lunch = {"amount": 1, "key": "lunch", "description": "Lunch", "reference": None}
    lunch["customer_id"] = desk.session["x-hasura-customer-id"]
    gate = stage.holds("select pg_advisory_xact_lock(hashtextextended('ledger_account', 0))")
    bank, customer = stage.side(), stage.side()
    lost = bank.begin(lambda db: at(desk, db).dispute(paid, "lost", amount=1000))
    stage.waits(bank)  # is about to open the accounts of a loss
    spent = customer.begin(lambda db: at(desk, db).call("spend_credits", **lunch))
    stage.waits(customer)  # wants the lot, or has it and is about to open an account
    gate.rollback()
    assert lost.result()["status"] == "applied"
    bank.commit()
    assert len(spent.result()) == 1


def two_attempts(counter: Counter) -> tuple[UUID, list[UUID]]:
    """Return a payment with two open attempts, the first of which has the lower id."""
    for number in range(40):  # which id comes first is chance
        page, rows = counter.open_page(reference=f"BK-{number}"), []
        for method in ("card", "netbanking"):
            rows.append(counter.choose(page, method, address_hash=uuid4().hex * 2))
            silent = {"failure_message": "silence", "is_silent": False}
            attempt_id = rows[-1]["payment_attempt_id"]
            counter.call("mark_payment_unknown", payment_attempt_id=attempt_id, **silent)
            counter.later(61)
        ids = [row["payment_attempt_id"] for row in rows]
        if ids[0] < ids[1]:
            break
    gateway = counter.row("payment_attempts", ids[0])["gateway"]
    counter.hear(rows[1] | {"payment_attempt_id": ids[0], "gateway": gateway}, "authorized")
    return page["payment_intent_id"], ids


def test_a_payment_is_called_off_while_its_payer_comes_back(stage: Stage) -> None:
    with psycopg.connect(stage.url, row_factory=dict_row) as db:
        counter = counter_of(db, settle(db))
        intent, ids = two_attempts(counter)
    gate = stage.holds("select from payment_attempts where id = %s for no key update", ids[0])
    payer, staff = stage.side(), stage.side()
    asked = {"payment_intent_id": intent}
    back = payer.begin(lambda db: at(counter, db).call("claim_return_checks", **asked))
    stage.waits(payer)
    off = staff.begin(lambda db: at(counter, db).call("cancel_payment", **asked))
    stage.waits(staff)
    gate.rollback()
    assert {row["id"] for row in back.result()} == {*ids}
    payer.commit()
    assert [row["status"] for row in off.result()] == ["canceled"]


def test_two_owners_suspend_each_other(stage: Stage) -> None:
    with psycopg.connect(stage.url, row_factory=dict_row) as db:
        desk = desk_of(db)
        asked = {"role": "owner", "status": "active"}
        for user in ("omkar", "olga"):
            desk.acting(actor_role="operator").call(
                "set_organization_member", user_id=user, **asked
            )
    # As anybody who approves something holds them.
    gate = stage.holds("select from organization_members for share")

    def suspend(db: psycopg.Connection[Any], by: str, whom: str) -> Any:
        owner = at(desk, db).acting(user_id=by, actor_role="owner")
        asked = {"role": "owner", "status": "suspended"}
        return owner.call("set_organization_member", user_id=whom, **asked)

    one, other = stage.side(), stage.side()
    first = one.begin(lambda db: suspend(db, "omkar", "olga"))
    stage.waits(one)
    second = other.begin(lambda db: suspend(db, "olga", "omkar"))
    stage.waits(other)
    gate.rollback()
    assert [row["status"] for row in first.result()] == ["suspended"]
    one.commit()
    with pytest.raises(psycopg.DataError, match="forbidden: only who is owner"):
        second.result()


def test_two_payers_of_a_shop_come_while_a_gateway_is_probed(stage: Stage) -> None:
    with psycopg.connect(stage.url, row_factory=dict_row) as db:
        counter = counter_of(db, settle(db))
        db.execute(
            "insert into customers (organization_id, livemode, external_id, email)"
            " values (%s, false, 'SHP-2', 'bob@example.com')",
            [counter.organization_id],
        )
        pages = [
            counter.open_page(reference=f"BK-{n}", customer_external_id=f"SHP-{n}") for n in (1, 2)
        ]
        unseen = {"payment_attempt_id": counter.choose(pages[0])["payment_attempt_id"]}
        counter.call("mark_payment_unknown", **unseen, failure_message="silence")
        db.execute("delete from gateway_circuits")
        db.execute(
            "insert into gateway_circuits (gateway, livemode, operation, failures, opened_at)"
            " values ('payu', false, 'open', 9, clock_now() - interval '31 seconds')"
        )
        db.execute("update gateway_routes set is_enabled = false where gateway = 'razorpay'")
    gate = stage.holds(
        "select from payment_attempts where id = %s for no key update",
        unseen["payment_attempt_id"],
    )
    one, other = stage.side(), stage.side()
    first = one.begin(lambda db: at(counter, db).choose(pages[0]))
    stage.waits(one)  # at the attempt that nobody saw, and has no circuit yet
    other.do(lambda db: at(counter, db).choose(pages[1], address_hash="b" * 64))
    other.commit()
    gate.rollback()
    assert first.result()["gateway"] == "razorpay"  # for the other one probes already
