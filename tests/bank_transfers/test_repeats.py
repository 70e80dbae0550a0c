"""A word whose answer was lost is said again: it is answered the same, and counts once."""

from typing import Any

import pytest
from books import Connection, broken_invariants

from .conftest import Counter

Row = dict[str, Any]


def refund(counter: Counter, account: Row) -> Row:
    order = counter.order()
    counter.arrive(account, order)
    asked = counter.acting(actor_role="finance").refund(order["payment_intent_id"], amount=45000)
    about = {"kind": "refund", "refund_id": asked["id"], "amount": 45000}
    return counter.enter(account, reference="HDFCR1", **about)


def bounce(counter: Counter, account: Row) -> Row:
    receipt = counter.arrive(account, counter.order())
    return counter.enter(account, kind="return", returned_id=receipt["id"], reference="B1")


def receipt(counter: Counter, account: Row) -> Row:
    return counter.enter(account, order_display_id=counter.order()["display_id"])


def nobodys(counter: Counter, account: Row) -> Row:
    return counter.enter(account)


def written(db: Connection) -> Row:
    """All that a decision writes, counted; and nothing of it is wrong."""
    tables = ("events", "ledger_transactions", "payment_attempts", "refunds", "bank_transfer_uses")
    counts = ", ".join(f"(select count(*) from {table}) as {table}" for table in tables)
    assert broken_invariants(db) == {}
    return db.execute(f"select {counts}").fetchone()


@pytest.mark.parametrize("entered", [receipt, nobodys, refund, bounce])
def test_an_approval_counts_once(
    db: Connection, counter: Counter, account: Row, entered: Any
) -> None:
    transfer = entered(counter, account)
    approved = counter.approve(transfer)
    before = written(db)

    assert counter.approve(transfer) == counter.approve(transfer, "omkar") == approved
    assert written(db) == before


def test_a_match_counts_once_before_and_after_it_is_approved(
    db: Connection, counter: Counter, account: Row
) -> None:
    transfer, order = counter.enter(account), counter.order()
    matched = counter.match(transfer, order)
    before = written(db)
    assert counter.match(transfer, order) == matched
    assert written(db) == before

    approved = counter.approve(transfer)
    before = written(db)
    assert counter.match(transfer, order) == approved
    assert written(db) == before


def test_a_match_is_rejected_once(db: Connection, counter: Counter, account: Row) -> None:
    transfer, order = counter.approve(counter.enter(account)), counter.order()
    counter.match(transfer, order)
    rejected = counter.reject(transfer)
    before = written(db)

    assert counter.reject(transfer) == rejected
    assert written(db) == before

    other = {"bank_transfer_id": transfer["id"], "reason": "it is not ours"}
    refused = counter.by("chandan").refused("call", "reject_bank_transfer", **other)
    assert refused == "transfer-decided"
    counter.match(transfer, order)
    approved = counter.approve(transfer)
    assert (approved["amount_used"], approved["reason"]) == (order["amount"], None)


def test_an_account_is_opened_and_closed_once(
    db: Connection, counter: Counter, account: Row
) -> None:
    before = written(db)
    for user in ("chandan", "meera"):
        counter.by(user).call("approve_bank_account", bank_account_id=account["id"])
    assert written(db) == before

    counter.by("omkar").call("close_bank_account", bank_account_id=account["id"])
    before = written(db)
    counter.by("omkar").call("close_bank_account", bank_account_id=account["id"])
    assert written(db) == before
