"""What a customer uses, and what comes back to them."""

from decimal import Decimal
from random import Random
from uuid import uuid4

import psycopg
import pytest
from books import broken_invariants, settle
from credit_shop import Shop
from money_back import Desk
from psycopg.rows import dict_row


def refused(failure: pytest.ExceptionInfo[psycopg.Error]) -> str:
    assert failure.value.sqlstate.startswith("22B")
    return str(failure.value.diag.message_primary).partition(":")[0]


def test_spending_takes_credits_and_earns_their_share_of_the_money(db, shop) -> None:
    shop.buy(2500)
    spend = shop.spend(100, reference="order-1")

    assert (spend["credits_amount"], spend["credits_returned"]) == (100, 0)
    assert (spend["description"], spend["reference"]) == ("Lunch", "order-1")
    assert shop.wallet()["balance"] == 150
    assert shop.books() == {
        "gateway USD": 2500,
        "prepaid_credits USD": -1500,
        "credit_revenue USD": -1000,
        "credits_issued XCR": 1_500_000,
        "credit_wallet XCR": -1_500_000,
    }
    assert broken_invariants(db) == {}


def test_what_expires_first_is_used_first_and_what_stays_for_ever_last(shop) -> None:
    shop.grant(10)
    shop.grant(10, expires_at="2040-01-01T00:00:00Z")
    shop.grant(10, expires_at="2039-01-01T00:00:00Z")
    shop.spend(15)

    assert [(lot["expires_at"] and lot["expires_at"].year, lot["used"]) for lot in shop.lots()] == [
        (2039, 10),
        (2040, 5),
        (None, 0),
    ]


def test_one_spend_may_use_lots_that_were_bought_and_lots_that_were_given(db, shop) -> None:
    shop.grant(50, expires_at="2039-01-01T00:00:00Z")
    shop.buy(2500)
    shop.buy(1999, currency="JPY")
    shop.spend("449.9250")

    assert shop.books() == {
        "gateway USD": 2500,
        "gateway JPY": 1999,
        "credit_revenue USD": -2500,
        "credit_revenue JPY": -1999,
    }
    assert broken_invariants(db) == {}


def test_more_than_there_is_is_refused_and_says_how_much_there_is(shop) -> None:
    shop.buy(2500)
    with pytest.raises(psycopg.Error) as failure, shop.db.transaction():
        shop.spend("250.0001")

    assert failure.value.diag.message_primary == (
        "insufficient-credits: balance 250 is below 250.0001"
    )
    assert shop.spend(250)["credits_amount"] == 250
    with pytest.raises(psycopg.Error) as failure:
        shop.spend("0.0001")
    assert refused(failure) == "insufficient-credits"


@pytest.mark.parametrize(
    "amount", ["0", "-1", "0.00001", "1.00005", "NaN", "Infinity", "1000000000001"]
)
def test_what_is_no_number_of_credits_is_refused(shop, amount) -> None:
    shop.buy(2500)

    with pytest.raises(psycopg.Error) as failure:
        shop.spend(amount)
    assert refused(failure) == "amount-out-of-range"


def test_the_same_key_is_the_same_spend(db, shop) -> None:
    shop.buy(2500)
    first = shop.spend(100, "order-1")

    assert shop.spend(100, "order-1") == first
    assert shop.wallet()["balance"] == 150
    for change in ({"amount": 99}, {"description": "Dinner"}, {"reference": "x"}):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            shop.spend(**({"amount": 100, "key": "order-1"} | change))
        assert refused(failure) == "idempotency-key-reused"


def test_a_repetition_is_answered_though_the_credits_are_gone(shop) -> None:
    shop.buy(2500)
    first = shop.spend(250, "order-1")

    assert shop.spend(250, "order-1") == first


@pytest.mark.parametrize("aliases", [1, 2, 7, 25, 50])
def test_aliases_of_one_request_spend_once_with_one_key(db, shop, aliases) -> None:
    """Fields of one mutation run in one transaction, each after the other."""
    shop.buy(2500)
    with db.transaction():
        spends = [shop.spend(10, "order-1") for _ in range(aliases)]

    assert len({spend["id"] for spend in spends}) == 1
    assert shop.wallet()["balance"] == 240


@pytest.mark.parametrize("aliases", [1, 2, 7, 25, 50])
def test_aliases_with_keys_of_their_own_see_what_the_one_before_spent(db, shop, aliases) -> None:
    shop.buy(2500)
    done = min(aliases, 20)
    for _ in range(done):
        shop.spend("12.5")
    for _ in range(aliases - done):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            shop.spend("12.5")
        assert refused(failure) == "insufficient-credits"

    assert shop.wallet()["balance"] == 250 - done * Decimal("12.5")


@pytest.mark.parametrize("role", [None, "service", "owner", "dispatcher"])
def test_the_shop_spends_for_its_customer(shop, role) -> None:
    shop.buy(2500)

    assert shop.spend(1, role=role)["requested_by"] == f"user:{shop.tenant.user_id}"


@pytest.mark.parametrize("role", ["customer", "viewer", "finance", "developer", "anonymous"])
def test_nobody_else_does(shop, role) -> None:
    shop.buy(2500)

    with pytest.raises(psycopg.Error) as failure:
        shop.spend(1, role=role)
    assert refused(failure) == "forbidden"


def test_a_customer_of_another_organisation_is_not_found(db, shop) -> None:
    shop.buy(2500)
    other = Shop(db, settle(db))
    spend = shop.spend(1)

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        other.spend(1, customer_id=shop.customer_id)
    assert refused(failure) == "customer-not-found"
    with pytest.raises(psycopg.Error) as failure:
        other.give_back(spend)
    assert refused(failure) == "not-found"


@pytest.mark.parametrize("livemode", ["true", ""])
def test_a_customer_of_the_other_mode_is_not_found(shop, livemode) -> None:
    with pytest.raises(psycopg.Error) as failure:
        shop.acting(**{"x-hasura-livemode": livemode}).call(
            "spend_credits",
            customer_id=shop.customer_id,
            amount=1,
            key="k",
            description="d",
            reference=None,
        )
    assert refused(failure) == "customer-not-found"


def test_a_suspended_customer_spends_nothing(db, shop) -> None:
    shop.buy(2500)
    db.execute("update customers set status = 'suspended' where id = %s", [shop.customer_id])

    with pytest.raises(psycopg.Error) as failure:
        shop.spend(1)
    assert refused(failure) == "customer-not-found"


def test_a_spend_comes_back_whole(db, shop) -> None:
    shop.buy(2500)
    before, books = shop.lots(), shop.books()
    spend = shop.spend("33.3333")
    returned = shop.give_back(spend)

    assert returned["credits_amount"] == spend["credits_amount"]
    assert shop.lots() == before
    assert shop.books() == books
    assert broken_invariants(db) == {}


def test_a_spend_comes_back_in_parts_and_no_more_than_it_was(db, shop) -> None:
    shop.buy(1000)
    before = shop.lots()
    spend = shop.spend(100)
    for amount in ("33.3333", "33.3333", "33.3333"):
        shop.give_back(spend, amount)
    with pytest.raises(psycopg.Error) as failure, db.transaction():
        shop.give_back(spend, "0.0002")
    assert refused(failure) == "amount-out-of-range"
    shop.give_back(spend)
    with pytest.raises(psycopg.Error) as failure, db.transaction():
        shop.give_back(spend)
    assert refused(failure) == "amount-out-of-range"

    assert shop.lots() == before
    assert broken_invariants(db) == {}


def test_a_return_happens_once_per_key(db, shop) -> None:
    shop.buy(2500)
    spend = shop.spend(100)
    first = shop.give_back(spend, 40, "return-1")

    assert shop.give_back(spend, 40, "return-1") == first
    assert shop.give_back(spend, None, "return-1") == first
    assert shop.wallet()["balance"] == 190
    for change in ({"amount": 41}, {"reason": "Changed their mind"}):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            shop.give_back(spend, **({"amount": 40, "key": "return-1"} | change))
        assert refused(failure) == "idempotency-key-reused"


def test_a_part_comes_back_to_the_lot_that_stays_longest(shop) -> None:
    shop.grant(10, expires_at="2039-01-01T00:00:00Z")
    shop.grant(10, expires_at="2040-01-01T00:00:00Z")
    spend = shop.spend(20)
    shop.give_back(spend, 12)

    assert [lot["remaining"] for lot in shop.lots()] == [2, 10]


def test_what_was_paid_back_in_money_although_it_was_used_does_not_come_back_as_credits(
    db, shop
) -> None:
    purchase = shop.buy(2500)
    spend = shop.spend(100)
    db.execute("select hold_purchase_credits(%s, %s, 2500, true)", [purchase, uuid4()])

    with pytest.raises(psycopg.Error) as failure:
        shop.give_back(spend)
    assert refused(failure) == "amount-out-of-range"


@pytest.mark.parametrize(
    ("words", "comes_back"),
    [
        ([], True),
        (["pending"], False),
        (["succeeded"], False),
        (["succeeded", "failed"], True),
        (["pending", "canceled"], True),
    ],
)
def test_what_was_paid_back_in_money_late_does_not_come_back_as_credits(
    db, tenant, shop, words, comes_back
) -> None:
    desk = Desk(db, tenant.session)
    refund = desk.refund(desk.paid()["payment_intent_id"], amount=1000)
    db.execute("update clock set skew_seconds = skew_seconds + 26 * 3600")
    desk.say(refund, "not_found", gateway_refund_id=None, type="look-up")
    spend = shop.spend(250)
    for word in words:
        desk.say(refund, word)

    if comes_back:
        assert shop.give_back(spend)["credits_amount"] == 250
    else:
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            shop.give_back(spend)
        assert refused(failure) == "amount-out-of-range"
    assert broken_invariants(db) == {}


def test_what_a_refund_holds_cannot_be_spent(db, shop) -> None:
    purchase = shop.buy(2500)
    refund = uuid4()
    db.execute("select hold_purchase_credits(%s, %s, 1000)", [purchase, refund])

    assert (shop.wallet()["balance"], shop.wallet()["available"]) == (250, 150)
    with pytest.raises(psycopg.Error) as failure, db.transaction():
        shop.spend(151)
    assert refused(failure) == "insufficient-credits"
    shop.spend(150)
    db.execute("select release_purchase_credits(%s)", [refund])
    shop.spend(100)
    assert shop.books() == {"gateway USD": 2500, "credit_revenue USD": -2500}


def test_a_used_up_lot_has_earned_exactly_what_was_paid_for_it(database) -> None:
    """10,000 steps of any size: no unit of credits or of money is lost between them."""
    random = Random(20261121)
    edges = [0, *sorted(random.sample(range(1, 100_000_000), 9_999)), 100_000_000]
    taken = earned = 0
    with psycopg.connect(database, row_factory=dict_row, autocommit=True) as db:
        Shop(db, settle(db)).buy(100_000)  # 10,000 credits for 1,000 dollars
        for edge in edges[1:]:
            part = db.execute(
                "select (take_credits(credit_lots, %s, false)).amount from credit_lots",
                [Decimal(edge - taken).scaleb(-4)],
            ).fetchone()
            taken = edge
            earned += part["amount"]
            assert 0 <= taken - earned * 1000 < 1000  # never a cent ahead, never one behind
        lot = db.execute("select * from credit_lots").fetchone()

    assert (taken, earned) == (100_000_000, 100_000)
    assert (lot["remaining"], lot["used"]) == (0, 10_000)
    assert (lot["amount_remaining"], lot["amount_earned"]) == (0, 100_000)


def test_hasura_cannot_write_the_lots(db) -> None:
    for table in ("credit_lots", "credit_spends", "credit_grants", "credit_recalls"):
        db.execute("set local role munim_hasura")
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            db.execute(f"delete from {table}")
        assert failure.value.sqlstate == "42501"


@pytest.mark.parametrize(
    "statement",
    [
        "update credit_lots set remaining = remaining + 1",
        "update credit_lots set used = used + 1",
        "update credit_lots set amount_remaining = amount_remaining - 1",
        "update credit_lots set held = 1",
        "update credit_lots set remaining = -1, used = granted + 1",
        "update credit_lots set granted = 1",
        "update credit_lots set expires_at = null",
        "delete from credit_lots",
        "truncate credit_lots cascade",
    ],
)
def test_no_credit_and_no_money_can_be_lost_from_a_lot_by_hand(shop, statement) -> None:
    shop.buy(2500)

    with pytest.raises(psycopg.Error) as failure:
        shop.db.execute(statement)
    assert failure.value.sqlstate in ("23514", "42501")
