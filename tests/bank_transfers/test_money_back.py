"""Money that leaves the bank again: refunds that people pay, receipts that were taken back."""

from typing import Any

import pytest
from books import Connection, Tenant, broken_invariants
from money_back import balances, listed, told

from .conftest import Counter

Row = dict[str, Any]


@pytest.fixture
def order(counter: Counter) -> Row:
    return counter.order()


@pytest.fixture
def receipt(counter: Counter, account: Row, order: Row) -> Row:
    return counter.arrive(account, order, rail="cheque", reference="000123")


def refund_of(counter: Counter, order: Row, **changes: Any) -> Row:
    return counter.acting(actor_role="finance").refund(order["payment_intent_id"], **changes)


def pay(counter: Counter, account: Row, refund: Row, **changes: Any) -> Row:
    asked = {
        "kind": "refund",
        "refund_id": refund["id"],
        "amount": refund["amount"],
        "reference": "HDFCR52026112112345678",
    }
    return counter.enter(account, **(asked | changes))


def test_a_refund_is_listed_until_two_people_have_paid_it(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, order: Row, receipt: Row
) -> None:
    refund = refund_of(counter, order, amount=45000)
    assert (refund["status"], refund["next_check_at"]) == ("created", None)
    assert listed(db) == {"refund-unresolved"}
    assert broken_invariants(db) == {}

    paid = pay(counter, account, refund)
    assert counter.row("refunds", refund["id"])["status"] == "created"
    assert counter.refused("approve", paid, "meera") == "second-person-needed"

    counter.approve(paid)
    done = counter.row("refunds", refund["id"])
    assert (done["status"], done["gateway_refund_id"]) == ("succeeded", str(paid["id"]))
    assert balances(db, tenant) == {"bank INR": 200000, "merchant_balance INR": -200000}
    assert told(db, refund["id"]) == ["refund.created", "refund.succeeded"]
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_no_gateway_is_asked_for_a_refund_by_hand(
    db: Connection, counter: Counter, order: Row, receipt: Row
) -> None:
    refund_of(counter, order)
    db.execute("update clock set skew_seconds = skew_seconds + 30 * 86400")

    assert counter.cron().call("claim_refund_checks", limit=10) == []
    assert broken_invariants(db) == {}


def test_a_surplus_goes_back_by_hand(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, order: Row
) -> None:
    counter.arrive(account, order, amount=250000)
    (refund,) = db.execute("select * from refunds").fetchall()
    counter.approve(pay(counter, account, refund))

    assert balances(db, tenant) == {"bank INR": 245000, "merchant_balance INR": -245000}
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_a_refund_is_paid_from_the_account_that_paid_it(
    db: Connection, counter: Counter, account: Row, order: Row, receipt: Row
) -> None:
    newer = counter.account(account_number="60200012345678")
    counter.approve(pay(counter, newer, refund_of(counter, order)))

    codes = db.execute(
        "select code, balance from ledger_balances where code like 'bank:%%'"
    ).fetchall()
    assert {row["code"]: row["balance"] for row in codes} == {
        f"bank:{account['id']}": 245000,
        f"bank:{newer['id']}": -245000,
    }


def test_a_refund_is_paid_once_and_whole(
    counter: Counter, account: Row, order: Row, receipt: Row
) -> None:
    refund = refund_of(counter, order)
    wrong = {"kind": "refund", "refund_id": refund["id"], "reference": "X1"}
    assert counter.refused("enter", account, **wrong, amount=1) == "amount-out-of-range"
    paid = pay(counter, account, refund)
    assert counter.refused("enter", account, **wrong) == "transfer-known"

    counter.reject(paid)
    again = pay(counter, account, refund, key="again")
    counter.approve(again)
    assert counter.refused("enter", account, **wrong, key="late") == "transfer-decided"


def test_a_refund_at_a_gateway_is_not_paid_by_hand(counter: Counter, account: Row) -> None:
    order = counter.order("BK-18")
    counter.hear(counter.ask(reference="BK-18", title="Booking BK-18"), "paid")
    refund = refund_of(counter, order)

    assert counter.refused("enter", account, kind="refund", refund_id=refund["id"]) == "not-found"


def test_a_cheque_that_bounced_before_it_paid_anything_is_reversed(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, order: Row
) -> None:
    short = counter.arrive(account, order, rail="cheque", reference="123", amount=100000)
    bounced = counter.enter(
        account,
        kind="return",
        returned_id=short["id"],
        rail="cheque",
        reference="123",
        amount=100000,
    )
    assert balances(db, tenant)["bank INR"] == 100000
    assert counter.refused("approve", bounced, "meera") == "second-person-needed"

    counter.approve(bounced)
    assert counter.row("bank_transfers", short["id"])["status"] == "returned"
    assert balances(db, tenant) == {}
    assert counter.value("select count(*) from ledger_reversals") == 1
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_of_two_that_were_too_little_one_bounces_and_more_is_missing(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, order: Row
) -> None:
    first = counter.arrive(account, order, amount=100000, reference="FIRST1")
    second = counter.arrive(account, order, amount=50000, reference="SECOND2")
    asked = {"kind": "return", "rail": "cheque"}
    short = "select amount, detail from exceptions where resolved_at is null"

    counter.approve(
        counter.enter(account, **asked, returned_id=first["id"], reference="B1", amount=100000)
    )
    assert db.execute(short).fetchall() == [
        {"amount": 195000, "detail": "50000 of 245000 came by bank transfer"}
    ]
    assert balances(db, tenant) == {"bank INR": 50000, "bank_transfers INR": -50000}

    counter.approve(
        counter.enter(account, **asked, returned_id=second["id"], reference="B2", amount=50000)
    )
    assert (listed(db), balances(db, tenant)) == (set(), {})
    assert broken_invariants(db) == {}


def test_a_cheque_that_bounced_takes_back_what_it_paid(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, order: Row, receipt: Row
) -> None:
    bounced = counter.enter(account, kind="return", returned_id=receipt["id"], reference="B1")
    counter.approve(bounced)
    counter.approve(bounced, "omkar")
    (refund,) = db.execute("select * from refunds").fetchall()

    assert (refund["status"], refund["amount"], refund["requested_by"]) == (
        "succeeded",
        245000,
        "gateway",
    )
    assert counter.state_word(order) == "refunded"
    assert balances(db, tenant) == {}
    assert told(db, refund["id"]) == ["refund.created", "refund.succeeded"]
    assert told(db, receipt["id"])[-1] == "bank_transfer.returned"
    assert broken_invariants(db) == {}


def test_a_cheque_that_bounced_is_not_refunded_too(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, order: Row, receipt: Row
) -> None:
    refund = refund_of(counter, order, amount=45000)
    counter.approve(
        counter.enter(account, kind="return", returned_id=receipt["id"], reference="B1")
    )

    assert counter.row("refunds", refund["id"])["status"] == "canceled"
    assert balances(db, tenant) == {}
    assert listed(db) == set()
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("decide", ["approve", "reject"])
def test_a_cheque_bounces_when_it_is_decided_what_was_paid_back(
    db: Connection,
    tenant: Tenant,
    counter: Counter,
    account: Row,
    order: Row,
    receipt: Row,
    decide: str,
) -> None:
    waiting = pay(counter, account, refund_of(counter, order, amount=45000))
    bounced = counter.enter(account, kind="return", returned_id=receipt["id"], reference="B1")
    assert counter.refused("approve", bounced) == "payment-in-progress"
    assert counter.row("bank_transfers", receipt["id"])["status"] == "approved"

    getattr(counter, decide)(waiting)
    counter.approve(bounced)

    left = {"bank INR": -45000, "bank_losses INR": 45000} if decide == "approve" else {}
    assert balances(db, tenant) == left
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_a_refund_that_was_paid_and_is_entered_after_the_bounce_is_lost(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, order: Row, receipt: Row
) -> None:
    refund = refund_of(counter, order, amount=45000)
    counter.approve(
        counter.enter(account, kind="return", returned_id=receipt["id"], reference="B1")
    )
    paid = pay(counter, account, refund)
    assert balances(db, tenant) == {}

    counter.approve(paid)
    counter.approve(paid, "omkar")

    assert balances(db, tenant) == {"bank INR": -45000, "bank_losses INR": 45000}
    assert counter.row("refunds", refund["id"])["status"] == "canceled"
    again = {"kind": "refund", "refund_id": refund["id"], "amount": 45000, "reference": "X1"}
    assert counter.refused("enter", account, **again) == "transfer-known"
    assert listed(db) == set()
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("amount", [45000, 120000])
def test_a_refund_that_is_entered_after_one_of_two_receipts_bounced_is_lost_in_part(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, order: Row, amount: int
) -> None:
    counter.arrive(account, order, amount=100000, reference="A1")
    second = counter.arrive(account, order, amount=145000, reference="A2")
    refund = refund_of(counter, order, amount=amount)
    counter.approve(
        counter.enter(
            account, kind="return", returned_id=second["id"], reference="B1", amount=145000
        )
    )
    counter.approve(pay(counter, account, refund))

    lost = max(amount - 100000, 0)
    owed = 100000 - amount + lost
    expected = {
        "bank INR": 100000 - amount,
        "bank_losses INR": lost,
        "merchant_balance INR": -owed,
    }
    assert balances(db, tenant) == {code: left for code, left in expected.items() if left}
    assert broken_invariants(db) == {}


def test_what_was_refunded_before_the_cheque_bounced_is_lost(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, order: Row, receipt: Row
) -> None:
    counter.approve(pay(counter, account, refund_of(counter, order, amount=45000)))
    counter.approve(
        counter.enter(account, kind="return", returned_id=receipt["id"], reference="B1")
    )

    assert balances(db, tenant) == {"bank INR": -45000, "bank_losses INR": 45000}
    assert broken_invariants(db) == {}


def test_a_cheque_that_was_too_much_bounces_whole(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, order: Row
) -> None:
    receipt = counter.arrive(account, order, amount=250000)
    counter.approve(
        counter.enter(
            account, kind="return", returned_id=receipt["id"], reference="B1", amount=250000
        )
    )

    assert balances(db, tenant) == {}
    assert listed(db) == set()
    assert broken_invariants(db) == {}


def test_one_of_two_receipts_bounces(
    db: Connection, tenant: Tenant, counter: Counter, account: Row, order: Row
) -> None:
    counter.arrive(account, order, amount=100000, reference="A1")
    second = counter.arrive(account, order, amount=145000, reference="A2")
    counter.approve(
        counter.enter(
            account, kind="return", returned_id=second["id"], reference="B1", amount=145000
        )
    )

    assert balances(db, tenant) == {"bank INR": 100000, "merchant_balance INR": -100000}
    assert broken_invariants(db) == {}


def test_a_cheque_that_bounced_may_be_paid_in_again(
    db: Connection, counter: Counter, account: Row, order: Row, receipt: Row
) -> None:
    counter.approve(
        counter.enter(account, kind="return", returned_id=receipt["id"], reference="B1")
    )
    again = counter.enter(account, rail="cheque", reference="123", key="again")

    assert again["status"] == "entered"
    assert broken_invariants(db) == {}


def test_only_a_receipt_that_counts_is_taken_back_and_once(
    counter: Counter, account: Row, order: Row
) -> None:
    entered = counter.enter(account, order_display_id=order["display_id"])
    asked = {"kind": "return", "returned_id": entered["id"], "reference": "B1"}
    assert counter.refused("enter", account, **asked) == "transfer-decided"

    counter.approve(entered)
    assert counter.refused("enter", account, **asked, amount=1) == "amount-out-of-range"
    returned = counter.enter(account, **asked)
    assert counter.refused("enter", account, **asked, key="other") == "transfer-known"

    counter.approve(returned)
    assert counter.refused("enter", account, **asked, key="third") == "transfer-decided"
    assert counter.refused(
        "enter", account, **(asked | {"returned_id": returned["id"]}), key="4"
    ) == ("not-found")


def test_the_crons_leave_a_returned_receipt_alone(
    db: Connection, counter: Counter, account: Row, order: Row
) -> None:
    short = counter.arrive(account, order, amount=100000)
    counter.approve(
        counter.enter(
            account, kind="return", returned_id=short["id"], reference="B1", amount=100000
        )
    )
    db.execute("update payment_intents set status = 'canceled'")

    assert counter.sweep() == 0
    assert broken_invariants(db) == {}
