"""Credits go back with their money: what the refund functions hold, take and give free."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from books import Connection, Money, Tenant

WHEN = "2026-11-21T12:00:00Z"


@pytest.fixture
def purchase(money: Money) -> UUID:
    """250 credits for 25.00 USD, in the wallet."""
    row = money.open()
    money.receive(row["payment_attempt_id"])
    return row["id"]


def hold(
    db: Connection, purchase: UUID, amount: int, refund: UUID | None = None, **more: Any
) -> Any:
    return db.execute(
        "select * from hold_purchase_credits(%s, %s, %s, %s)",
        [purchase, refund or uuid4(), amount, more.get("take_what_is_left")],
    ).fetchone()


def release(db: Connection, refund: UUID) -> None:
    db.execute("select release_purchase_credits(%s)", [refund])


def post(db: Connection, refund: UUID, function: str = "purchase_credits_posting") -> None:
    db.execute(
        "select post_ledger_transactions(organization_id, livemode, array_remove("
        f" array[{function}(refund_id, %s)], null)) from credit_recalls where refund_id = %s",
        [WHEN, refund],
    )


def lot(db: Connection) -> dict[str, Any]:
    return db.execute("select * from credit_lots").fetchone()


def use_up(db: Connection, credits_amount: str, amount: int) -> None:
    """What spending does to a lot."""
    db.execute(
        "update credit_lots set remaining = remaining - %(credits)s, used = used + %(credits)s,"
        " amount_remaining = amount_remaining - %(amount)s,"
        " amount_earned = amount_earned + %(amount)s",
        {"credits": Decimal(credits_amount), "amount": amount},
    )


def wallet(db: Connection) -> Decimal:
    return db.execute("select balance from credit_wallets").fetchone()["balance"]


def test_a_purchase_makes_a_lot_of_its_credits_and_its_money(db, purchase) -> None:
    row = lot(db)

    assert (row["credit_purchase_id"], row["granted"], row["remaining"]) == (purchase, 250, 250)
    assert (row["amount"], row["amount_remaining"], row["currency"]) == (2500, 2500, "USD")
    assert row["expires_at"] is None


def test_a_refund_holds_its_share_and_takes_it_when_it_succeeds(db, purchase) -> None:
    recall = hold(db, purchase, 1000)
    held = lot(db)
    post(db, recall["refund_id"])
    taken = lot(db)

    assert (recall["credits_amount"], recall["amount"], recall["lost_amount"]) == (100, 1000, 0)
    assert (held["remaining"], held["held"], held["amount_remaining"]) == (250, 100, 1500)
    assert (taken["remaining"], taken["held"], taken["amount_remaining"]) == (150, 0, 1500)
    assert wallet(db) == 150


def test_a_failed_refund_gives_its_credits_free_however_often_it_is_told(db, purchase) -> None:
    before = lot(db)
    recall = hold(db, purchase, 1000)
    for _ in range(3):
        release(db, recall["refund_id"])

    assert lot(db) == before
    assert wallet(db) == 250


def test_a_refund_that_held_nothing_is_released_quietly(db, purchase) -> None:
    release(db, uuid4())

    assert wallet(db) == 250


def test_a_refund_that_fails_after_it_succeeded_brings_the_credits_back(db, purchase) -> None:
    before = lot(db)
    recall = hold(db, purchase, 1000)
    post(db, recall["refund_id"])
    with pytest.raises(psycopg.Error) as failure, db.transaction():
        release(db, recall["refund_id"])
    for _ in range(2):
        post(db, recall["refund_id"], "return_purchase_credits_posting")

    assert failure.value.sqlstate == "P0004"
    assert lot(db) == before
    assert wallet(db) == 250


def test_the_same_refund_is_held_and_taken_once(db, purchase) -> None:
    recall = hold(db, purchase, 1000)
    assert hold(db, purchase, 1000, recall["refund_id"]) == recall
    for _ in range(3):
        post(db, recall["refund_id"])

    assert wallet(db) == 150
    with pytest.raises(psycopg.Error) as failure:
        hold(db, purchase, 999, recall["refund_id"])
    assert failure.value.sqlstate == "P0004"


def test_credits_that_were_released_are_not_taken(db, purchase) -> None:
    recall = hold(db, purchase, 1000)
    release(db, recall["refund_id"])

    with pytest.raises(psycopg.Error) as failure:
        post(db, recall["refund_id"])
    assert failure.value.sqlstate == "P0004"


@pytest.mark.parametrize("parts", [[2500], [1, 2499], [833, 833, 834], [7] * 357 + [1], [10] * 250])
def test_parts_that_return_all_the_money_return_all_the_credits(db, money, purchase, parts) -> None:
    for amount in parts:
        hold(db, purchase, amount)

    row = lot(db)
    assert (row["held"], row["recalled"], row["remaining"]) == (250, 250, 250)
    assert (row["amount_remaining"], row["amount_recalled"]) == (0, 2500)


def test_many_small_refunds_take_what_one_large_one_takes(db, money, tenant) -> None:
    db.execute(
        "update system_settings set value = '7.919' where organization_id = %s",
        [tenant.organization_id],
    )
    row = money.open()
    money.receive(row["payment_attempt_id"])  # 791.9 ten-thousandths for a cent

    taken = [hold(db, row["id"], 1)["credits_amount"] for _ in range(10)]
    assert sum(taken) == Decimal("0.7919")
    assert set(taken) == {Decimal("0.0791"), Decimal("0.0792")}


def test_a_refund_of_used_credits_is_refused(db, purchase) -> None:
    use_up(db, "100", 1000)
    with pytest.raises(psycopg.Error) as failure, db.transaction():
        hold(db, purchase, 1501)

    assert failure.value.sqlstate == "22B11"
    assert str(failure.value.diag.message_primary).startswith("credits-spent: ")
    assert hold(db, purchase, 1500)["credits_amount"] == 150


@pytest.mark.parametrize("by", ["setting", "argument"])
def test_where_it_is_allowed_what_is_left_is_taken_and_the_rest_is_lost(
    db, tenant: Tenant, purchase, by
) -> None:
    use_up(db, "100", 1000)
    if by == "setting":
        db.execute(
            "insert into system_settings values (%s, 'refund_spent_credits', 'allow')",
            [tenant.organization_id],
        )
    recall = hold(db, purchase, 2500, take_what_is_left=True if by == "argument" else None)

    assert (recall["credits_amount"], recall["amount"], recall["lost_amount"]) == (150, 1500, 1000)


def test_with_nothing_left_there_is_nothing_to_post(db, purchase) -> None:
    use_up(db, "250", 2500)
    recall = hold(db, purchase, 2500, take_what_is_left=True)
    post(db, recall["refund_id"])

    assert (recall["credits_amount"], recall["lost_amount"]) == (0, 2500)
    assert wallet(db) == 250  # the lot was used up by hand, the wallet was not


def test_an_unknown_word_for_used_credits_refuses(db, tenant, purchase) -> None:
    use_up(db, "250", 2500)
    db.execute(
        "insert into system_settings values (%s, 'refund_spent_credits', 'sometimes')",
        [tenant.organization_id],
    )

    with pytest.raises(psycopg.Error) as failure:
        hold(db, purchase, 100)
    assert failure.value.sqlstate == "22B05"
