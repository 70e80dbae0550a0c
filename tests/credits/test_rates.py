"""What credits cost: dated rows, frozen when a purchase is opened."""

from decimal import Decimal

import psycopg
import pytest
from books import settle
from credit_shop import Shop


def rates(shop: Shop) -> list[dict]:
    return shop.db.execute(
        "select rate, created_by from credit_rates where organization_id = %s and currency = 'USD'"
        " order by valid_from, id",
        [shop.tenant.organization_id],
    ).fetchall()


def price(shop: Shop, rate: str, valid_from: object = None, **changes: str) -> dict:
    asked = {"currency": "USD", "rate": Decimal(rate), "valid_from": valid_from}
    role = changes.pop("role", "owner")
    (row,) = shop.acting(role).call("set_credit_rate", **(asked | changes))
    return row


def opened(shop: Shop, key: str) -> dict:
    return shop.acting().open(key=key)


def later(shop: Shop, **time: int) -> object:
    return shop.db.execute(
        "select clock_now() + make_interval(days => %s) as it", [time["days"]]
    ).fetchone()["it"]


def test_every_value_of_the_setting_becomes_a_dated_row(shop) -> None:
    shop.set("credit_rate_usd", "12")
    shop.set("credit_rate_usd", "12")
    shop.set("credit_rate_usd", "12.5")
    shop.set("credit_rate_usd", "none")

    assert [row["rate"] for row in rates(shop)] == [10, 12, Decimal("12.5"), None]
    assert {row["created_by"] for row in rates(shop)} == {"postgres"}


def test_a_setting_that_is_gone_or_has_another_name_sells_nothing(db, shop) -> None:
    db.execute("update system_settings set key = 'old' where key = 'credit_rate_usd'")
    with pytest.raises(psycopg.Error) as failure, db.transaction():
        opened(shop, "key-1")
    assert failure.value.sqlstate == "22B05"

    db.execute("update system_settings set key = 'credit_rate_usd' where key = 'old'")
    assert opened(shop, "key-2")["credits_amount"] == 250
    db.execute("delete from system_settings where key = 'credit_rate_usd'")
    with pytest.raises(psycopg.Error) as failure:
        opened(shop, "key-3")
    assert failure.value.sqlstate == "22B05"


def test_settings_of_other_names_and_unknown_currencies_are_no_rates(shop) -> None:
    shop.set("credit_rate_zzz", "5")
    shop.set("refund_spent_credits", "allow")

    assert len(rates(shop)) == 1


def test_a_rate_holds_from_its_time_on(shop) -> None:
    price(shop, "20", later(shop, days=2))
    assert opened(shop, "today")["credits_amount"] == 250
    shop.wait(days=2)

    assert opened(shop, "then")["credits_amount"] == 500


def test_a_purchase_keeps_the_rate_of_the_moment_it_was_opened_at(db, shop) -> None:
    """The rate changes between the checkout and the gateway's message."""
    row = opened(shop, "key-1")
    price(shop, "99")
    shop.set("credit_rate_usd", "0.5")
    shop.wait(hours=1)
    shop.acting().receive(row["payment_attempt_id"])

    assert shop.wallet()["balance"] == 250
    assert [lot["granted"] for lot in shop.lots()] == [250]
    assert opened(shop, "key-2")["credits_amount"] == Decimal("12.5")


def test_the_same_rate_asked_for_again_is_the_same_row(shop) -> None:
    first = price(shop, "20")

    assert price(shop, "20") == first
    assert len(rates(shop)) == 2
    assert first["created_by"] == shop.tenant.user_id


def test_the_last_word_about_a_moment_holds(shop) -> None:
    when = later(shop, days=1)
    price(shop, "20", when)
    price(shop, "30", when)
    shop.wait(days=1)

    assert opened(shop, "key-1")["credits_amount"] == 750


@pytest.mark.parametrize(
    ("rate", "days", "currency"),
    [
        ("0", 1, "USD"),
        ("-1", 1, "USD"),
        ("0.0000001", 1, "USD"),
        ("NaN", 1, "USD"),
        ("1000000000000", 1, "USD"),
        ("10", -1, "USD"),
        ("10", 1, "XCR"),
        ("10", 1, "ZZZ"),
    ],
)
def test_what_is_no_rate_is_refused(shop, rate, days, currency) -> None:
    with pytest.raises(psycopg.Error) as failure:
        price(shop, rate, later(shop, days=days), currency=currency)
    assert failure.value.sqlstate == "22B05"


@pytest.mark.parametrize("role", [None, "service", "dispatcher", "customer", "viewer"])
def test_only_owners_and_finance_set_a_rate(shop, role) -> None:
    with pytest.raises(psycopg.Error) as failure:
        price(shop, "20", role=role)
    assert failure.value.sqlstate == "22B03"


def test_a_rate_of_one_organisation_is_none_of_anothers(db, shop) -> None:
    other = Shop(db, settle(db))
    price(shop, "20")

    assert opened(other, "key-1")["credits_amount"] == 250


@pytest.mark.parametrize(
    "statement", ["update credit_rates set rate = 1", "delete from credit_rates"]
)
def test_what_a_rate_was_is_never_changed(shop, statement) -> None:
    with pytest.raises(psycopg.Error) as failure:
        shop.db.execute(statement)
    assert failure.value.sqlstate == "42501"
