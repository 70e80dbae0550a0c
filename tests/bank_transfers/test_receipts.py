"""Money that came to the bank: entered by one, approved by another, and what it pays."""

from typing import Any

import psycopg
import pytest
from books import Connection, Tenant, broken_invariants, settle
from money_back import balances, listed, told
from psycopg.rows import dict_row
from sides import Stage, at

from .conftest import Counter, staffed

Row = dict[str, Any]
CHARGED = {"amount": 245000, "currency": "INR"}


def attempts(db: Connection) -> list[Row]:
    return db.execute("select * from payment_attempts order by is_surplus, created_at").fetchall()


def test_an_order_is_paid_when_the_second_person_has_seen_its_money(
    db: Connection, tenant: Tenant, counter: Counter, account: Row
) -> None:
    order = counter.order()
    transfer = counter.enter(account, order_display_id=order["display_id"])

    assert (transfer["status"], counter.status(order)) == ("entered", "pending")
    assert balances(db, tenant) == {}

    approved = counter.approve(transfer)
    (attempt,) = attempts(db)

    assert (approved["status"], approved["amount_used"]) == ("approved", 245000)
    assert (approved["made_by"], approved["checked_by"]) == ("meera", "chandan")
    assert (approved["matched_by"], approved["match_checked_by"]) == ("meera", "chandan")
    assert (attempt["gateway"], attempt["status"]) == ("bank_transfer", "captured")
    assert (attempt["gateway_account"], attempt["next_check_at"]) == (str(account["id"]), None)
    assert counter.status(order) == "paid"
    assert balances(db, tenant) == {"bank INR": 245000, "merchant_balance INR": -245000}
    assert told(db, order["payment_intent_id"]) == ["payment.initiated", "payment.succeeded"]
    assert told(db, transfer["id"]) == ["bank_transfer.entered", "bank_transfer.approved"]
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_approved_twice_is_booked_once(
    db: Connection, tenant: Tenant, counter: Counter, account: Row
) -> None:
    transfer = counter.arrive(account, counter.order())

    assert counter.approve(transfer) == transfer
    assert counter.approve(transfer, "omkar")["checked_by"] == "chandan"
    assert balances(db, tenant)["bank INR"] == 245000
    assert len(attempts(db)) == 1


def test_a_receipt_for_nobody_is_booked_held_and_listed_until_it_is_matched(
    db: Connection, tenant: Tenant, counter: Counter, account: Row
) -> None:
    order = counter.order()
    transfer = counter.enter(account)
    assert listed(db) == {"bank-transfer-unmatched"}

    counter.approve(transfer)
    assert balances(db, tenant) == {"bank INR": 245000, "bank_transfers INR": -245000}
    assert listed(db) == {"bank-transfer-unmatched"}
    assert broken_invariants(db) == {}

    counter.match(transfer, order, "chandan")
    assert (counter.status(order), listed(db)) == ("pending", set())

    counter.approve(transfer, "meera")
    assert counter.status(order) == "paid"
    assert balances(db, tenant) == {"bank INR": 245000, "merchant_balance INR": -245000}
    assert broken_invariants(db) == {}


def test_who_matched_a_receipt_cannot_approve_the_match(
    db: Connection, counter: Counter, account: Row
) -> None:
    order = counter.order()
    transfer = counter.approve(counter.enter(account))
    counter.match(transfer, order, "omkar")

    assert counter.refused("approve", transfer, "omkar") == "second-person-needed"
    assert counter.status(order) == "pending"


def test_who_matched_an_entry_of_another_is_its_second_person_no_more(
    counter: Counter, account: Row
) -> None:
    transfer = counter.enter(account)
    counter.match(transfer, counter.order(), "chandan")

    assert counter.refused("approve", transfer, "chandan") == "second-person-needed"
    assert counter.refused("approve", transfer, "meera") == "second-person-needed"
    assert counter.approve(transfer, "omkar")["status"] == "approved"


def test_a_match_that_is_rejected_is_listed_again(
    db: Connection, counter: Counter, account: Row
) -> None:
    order, other = counter.order(), counter.order("BK-18")
    transfer = counter.approve(counter.enter(account))
    counter.match(transfer, order)

    assert counter.refused("reject", transfer, "meera") == "second-person-needed"
    assert counter.reject(transfer)["payment_intent_id"] is None
    assert listed(db) == {"bank-transfer-unmatched"}
    assert broken_invariants(db) == {}

    counter.match(transfer, other)
    counter.approve(transfer)
    assert (counter.status(order), counter.status(other)) == ("pending", "paid")
    assert counter.refused("match", transfer, order) == "transfer-decided"


def test_too_little_is_held_and_listed_until_the_rest_has_come(
    db: Connection, tenant: Tenant, counter: Counter, account: Row
) -> None:
    order = counter.order()
    counter.arrive(account, order, amount=100000, reference="FIRST1")

    assert (counter.status(order), listed(db)) == ("pending", {"bank-transfer-short"})
    assert balances(db, tenant) == {"bank INR": 100000, "bank_transfers INR": -100000}
    assert counter.value("select amount from exceptions where resolved_at is null") == 145000
    since = counter.value("select created_at from exceptions where resolved_at is null")

    db.execute("update clock set skew_seconds = skew_seconds + 60")
    counter.arrive(account, order, amount=50000, reference="SECOND2")
    (short,) = db.execute("select amount, detail, created_at from exceptions").fetchall()
    assert short == {
        "amount": 95000,
        "detail": "150000 of 245000 came by bank transfer",
        "created_at": since,
    }

    counter.arrive(account, order, amount=95000, reference="THIRD3")
    (attempt,) = attempts(db)

    assert (counter.status(order), listed(db)) == ("paid", set())
    assert attempt["amount_captured"] == 245000
    assert counter.value("select count(*) from bank_transfer_uses") == 3
    assert balances(db, tenant) == {"bank INR": 245000, "merchant_balance INR": -245000}
    assert broken_invariants(db) == {}


def test_too_much_pays_the_order_and_the_rest_is_to_go_back(
    db: Connection, tenant: Tenant, counter: Counter, account: Row
) -> None:
    order = counter.order()
    counter.arrive(account, order, amount=250000)
    paid, surplus = attempts(db)
    (refund,) = db.execute("select * from refunds").fetchall()

    assert (paid["amount_captured"], paid["is_surplus"]) == (245000, False)
    assert (surplus["amount_captured"], surplus["is_surplus"]) == (5000, True)
    assert (refund["amount"], refund["status"], refund["reason"]) == (5000, "created", "surplus")
    assert refund["next_check_at"] is None
    assert listed(db) == {"surplus-payment", "refund-unresolved"}
    assert balances(db, tenant) == {
        "bank INR": 250000,
        "merchant_balance INR": -245000,
        "refunds_pending INR": -5000,
    }
    assert told(db, order["payment_intent_id"])[1:] == ["payment.succeeded", "payment.surplus"]
    assert broken_invariants(db) == {}


def test_a_transfer_for_an_order_that_a_card_has_paid_is_all_surplus(
    db: Connection, tenant: Tenant, counter: Counter, account: Row
) -> None:
    order = counter.order()
    counter.hear(counter.ask(), "paid")
    counter.arrive(account, order)

    assert counter.status(order) == "paid"
    assert [a["is_surplus"] for a in attempts(db)] == [False, True]
    assert balances(db, tenant)["refunds_pending INR"] == -245000
    assert broken_invariants(db) == {}


def test_a_card_that_is_charged_after_the_transfer_is_the_surplus(
    db: Connection, counter: Counter, account: Row
) -> None:
    order = counter.order()
    checkout = counter.ask()
    counter.arrive(account, order)
    counter.hear(checkout, "paid")

    assert counter.status(order) == "paid"
    assert {a["gateway"]: a["is_surplus"] for a in attempts(db)} == {
        "bank_transfer": False,
        checkout["gateway"]: True,
    }
    assert broken_invariants(db) == {}


def test_a_transfer_for_an_order_that_was_called_off_goes_back(
    db: Connection, counter: Counter, account: Row
) -> None:
    order = counter.order()
    db.execute("update payment_intents set status = 'canceled'")
    counter.arrive(account, order)

    assert counter.status(order) == "canceled"
    assert [a["is_surplus"] for a in attempts(db)] == [True]
    assert "refund-unresolved" in listed(db)
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("end", ["paid", "canceled"])
def test_what_was_held_goes_back_when_its_order_ends_otherwise(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, end: str
) -> None:
    order = counter.order()
    counter.arrive(account, order, amount=100000)
    assert counter.sweep() == 0

    if end == "paid":
        counter.hear(counter.ask(), "paid")
    else:
        db.execute("update payment_intents set status = 'canceled'")
    assert (counter.sweep(), counter.sweep()) == (1, 0)

    assert balances(db, tenant)["refunds_pending INR"] == -100000
    assert "bank-transfer-short" not in listed(db)
    assert broken_invariants(db) == {}


def test_a_failed_order_is_paid_by_transfer_after_all(
    db: Connection, counter: Counter, account: Row
) -> None:
    order = counter.order()
    counter.hear(counter.ask(), "failed", decline_class="hard")
    counter.arrive(account, order)

    assert counter.status(order) == "paid"
    assert broken_invariants(db) == {}


def test_a_page_that_is_over_does_not_keep_money_from_coming(
    db: Connection, counter: Counter, account: Row
) -> None:
    order = counter.order()
    db.execute("update clock set skew_seconds = skew_seconds + 30 * 86400")
    counter.arrive(account, order)

    assert counter.status(order) == "paid"


def test_what_is_rejected_never_counts_and_may_be_entered_again(
    db: Connection, tenant: Tenant, counter: Counter, account: Row
) -> None:
    order = counter.order()
    wrong = counter.enter(account, order_display_id=order["display_id"], amount=254000)

    assert counter.refused("reject", wrong, "meera") == "second-person-needed"
    assert counter.reject(wrong)["reason"] == "not on the statement"
    assert counter.reject(wrong)["status"] == "rejected"
    assert counter.refused("approve", wrong, "omkar") == "transfer-decided"
    assert balances(db, tenant) == {}

    counter.arrive(account, order, key="again")
    assert counter.status(order) == "paid"
    assert broken_invariants(db) == {}


def test_what_is_approved_is_not_rejected_any_more(counter: Counter, account: Row) -> None:
    transfer = counter.arrive(account, counter.order())

    assert counter.refused("reject", transfer, "omkar") == "transfer-decided"


def test_a_transfer_is_asked_about_by_nobody(
    db: Connection, counter: Counter, account: Row
) -> None:
    counter.arrive(account, counter.order())
    db.execute("update clock set skew_seconds = skew_seconds + 30 * 86400")

    assert counter.cron().call("claim_payment_checks", limit=10) == []
    assert counter.cron().call("begin_dispute_polls") == []
    assert counter.value("select count(*) from receipt_requests") == 0
    assert counter.value("select count(*) from gateway_circuits") == 0


def test_what_waits_for_its_second_person_is_listed_after_two_days(
    db: Connection, counter: Counter, account: Row
) -> None:
    order = counter.order()
    transfer = counter.enter(account, order_display_id=order["display_id"])
    assert counter.cron().call("list_waiting_bank_transfers") == []

    db.execute("update clock set skew_seconds = skew_seconds + 2 * 86400 + 1")
    assert [t["id"] for t in counter.cron().call("list_waiting_bank_transfers")] == [transfer["id"]]
    assert counter.cron().call("list_waiting_bank_transfers") == []
    assert listed(db) == {"bank-transfer-waiting"}

    counter.approve(transfer)
    assert listed(db) == set()


def test_an_order_named_for_a_receipt_that_was_taken_back_is_not_approved(counter, account) -> None:
    receipt, order = counter.approve(counter.enter(account)), counter.order()
    taken = counter.enter(account, kind="return", returned_id=receipt["id"], reference="RET1")
    counter.match(receipt, order)
    counter.approve(taken)

    assert counter.refused("approve", receipt) == "transfer-decided"
    assert counter.status(order) != "paid"


def test_what_is_decided_while_the_list_is_written_is_not_on_it(stage: Stage) -> None:
    with psycopg.connect(stage.url, row_factory=dict_row) as db:
        counter = staffed(db, settle(db))
        account = counter.account()
        for number in range(2):
            counter.enter(account, reference=f"UTR{number:06}", key=f"key-{number}")
        db.execute("update clock set skew_seconds = skew_seconds + 3 * 86400")
        first, second = db.execute("select * from bank_transfers order by created_at").fetchall()
    person, cron = stage.side(), stage.side()
    person.do(lambda db: at(counter, db).reject(first))
    listed = cron.do(lambda db: at(counter.cron(), db).call("list_waiting_bank_transfers"))
    assert [row["id"] for row in listed] == [second["id"]]
    late = person.begin(lambda db: db.commit() or at(counter, db).reject(second))
    stage.waits(person)
    cron.commit()
    late.result()
    person.commit()

    (row,) = stage.rows("select resolved_at from exceptions where class = 'bank-transfer-waiting'")
    assert row["resolved_at"]
