"""Credits that expire."""

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from books import broken_invariants
from credit_shop import Shop, faults

from sandbox import queues

QUEUE = "select announce_at from credit_lots where remaining > held and announce_at is not null"


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.set("credits_expire_after_days", "30")
    return shop


def events(shop: Shop, kind: str) -> list[dict]:
    return shop.db.execute(
        "select object_id, data from events where type = %s order by created_at", [kind]
    ).fetchall()


def test_what_expires_is_breakage(db, shop) -> None:
    shop.buy(2500)
    shop.spend(100)
    shop.wait(days=30)
    (lot,) = shop.expire()

    assert (lot["remaining"], lot["used"], lot["expired"]) == (0, 100, 150)
    assert shop.books() == {
        "gateway USD": 2500,
        "credit_revenue USD": -1000,
        "credit_breakage USD": -1500,
    }
    (told,) = events(shop, "credits.expired")
    assert told["data"]["credits_amount"] == 150
    assert broken_invariants(db) == {}


def test_expiring_again_expires_nothing(shop) -> None:
    shop.buy(2500)
    shop.wait(days=30)

    assert len(shop.expire()) == 1
    assert shop.expire() == []
    assert len(events(shop, "credits.expired")) == 1


def test_nothing_expires_a_second_before_its_time(db, shop) -> None:
    shop.buy(2500)
    shop.wait(days=30)
    db.execute("update clock set skew_seconds = skew_seconds - 1")
    assert shop.expire() == []

    db.execute("update clock set skew_seconds = skew_seconds + 1")
    assert len(shop.expire()) == 1


def test_what_has_expired_is_not_spent_though_no_cron_has_come(db, shop) -> None:
    shop.buy(2500)
    shop.wait(days=30)

    assert (shop.wallet()["balance"], shop.wallet()["available"]) == (250, 0)
    with pytest.raises(psycopg.Error) as failure:
        shop.spend(1)
    assert failure.value.sqlstate == "22B13"


def test_without_the_setting_credits_stay_for_ever(db, shop) -> None:
    db.execute("delete from system_settings where key = 'credits_expire_after_days'")
    shop.buy(2500)
    shop.wait(days=36_500)

    assert shop.expire() == []
    assert shop.wallet()["available"] == 250


def test_the_rule_is_frozen_when_the_purchase_is_opened(shop) -> None:
    money = shop.acting()
    row = money.open()
    shop.set("credits_expire_after_days", "1")
    shop.wait(hours=5)
    money.receive(row["payment_attempt_id"])

    (lot,) = shop.lots()
    assert (lot["expires_at"] - lot["created_at"]).days == 30


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "never", "", "100000"])
def test_a_rule_that_is_none_sells_nothing(shop, value) -> None:
    shop.set("credits_expire_after_days", value)

    with pytest.raises(psycopg.Error) as failure:
        shop.acting().open()
    assert failure.value.sqlstate == "22B05"


def test_the_oldest_expire_first_in_batches(shop) -> None:
    for _ in range(5):
        shop.buy(2500)
        shop.wait(days=1)
    shop.wait(days=30)
    lots = [lot["id"] for lot in shop.lots()]

    assert {lot["id"] for lot in shop.expire(2)} == set(lots[:2])
    assert [lot["remaining"] for lot in shop.lots()] == [0, 0, 250, 250, 250]
    assert len(shop.expire(2)) == 2
    assert len(shop.expire(2)) == 1
    assert shop.expire(2) == []


def test_what_a_refund_holds_does_not_expire_until_it_is_free_again(db, shop) -> None:
    purchase = shop.buy(2500)
    refund = uuid4()
    db.execute("select hold_purchase_credits(%s, %s, 1000)", [purchase, refund])
    shop.wait(days=30)
    (lot,) = shop.expire()
    assert (lot["remaining"], lot["held"], lot["expired"]) == (100, 100, 150)

    db.execute("select release_purchase_credits(%s)", [refund])
    (lot,) = shop.expire()
    assert (lot["remaining"], lot["expired"], lot["expiries"]) == (0, 250, 2)
    assert shop.books()["credit_breakage USD"] == -2500


def test_credits_that_come_back_after_their_day_expire_at_once(db, shop) -> None:
    shop.buy(2500)
    spend = shop.spend(250)
    shop.wait(days=31)
    shop.give_back(spend)
    (lot,) = shop.expire()

    assert lot["expired"] == 250
    assert shop.books() == {"gateway USD": 2500, "credit_breakage USD": -2500}
    assert broken_invariants(db) == {}


def test_money_that_is_owed_for_no_credits_any_more_is_earned(db, shop) -> None:
    """Where the smallest part of a credit costs more than the smallest coin."""
    shop.set("credit_rate_usd", "0.0001")
    purchase = shop.buy(200)  # 0.0002 credits
    refund = uuid4()
    db.execute("select hold_purchase_credits(%s, %s, 30)", [purchase, refund])
    shop.spend("0.0002")
    db.execute("select release_purchase_credits(%s)", [refund])
    assert shop.lots()[0]["amount_remaining"] == 30

    (lot,) = shop.expire()
    assert (lot["amount_remaining"], lot["amount_earned"]) == (0, 200)
    assert shop.books() == {
        "gateway USD": 200,
        "credit_revenue USD": -170,
        "credit_breakage USD": -30,
    }
    assert faults(db) == {}


def test_a_week_before_it_is_announced_once(shop) -> None:
    shop.buy(2500)
    shop.spend(50)
    tell = lambda: shop.acting().call("announce_expiring_credits", limit=10)  # noqa: E731 # short
    shop.wait(days=22)
    assert tell() == []
    shop.wait(days=1)
    assert len(tell()) == 1
    assert tell() == []

    (told,) = events(shop, "credits.expiring")
    assert told["object_id"] == shop.lots()[0]["id"]
    assert told["data"]["credits_amount"] == 200


def test_the_queue_of_what_is_to_be_announced_is_due_a_week_before(shop) -> None:
    """The clock of the sandbox reads the queue: it stops when something is to be told."""
    shop.buy(2500)
    (due,) = shop.db.execute(QUEUE).fetchall()
    (lot,) = shop.lots()
    assert due["announce_at"] == lot["expires_at"] - timedelta(days=7)

    shop.wait(days=23)
    shop.acting().call("announce_expiring_credits", limit=10)
    assert shop.db.execute(QUEUE).fetchall() == []


def test_the_queue_of_announcements_is_the_index_of_the_clock(db) -> None:
    found = {(row["table_name"], row["due_at"]) for row in db.execute(queues.QUEUES).fetchall()}

    assert ("credit_lots", "announce_at") in found


def test_what_is_used_up_is_not_announced(shop) -> None:
    shop.buy(2500)
    shop.spend(250)
    shop.wait(days=29)

    assert shop.acting().call("announce_expiring_credits", limit=10) == []
