"""Credits without a payment."""

import psycopg
import pytest
from books import broken_invariants
from credit_shop import Shop


def refused(failure: pytest.ExceptionInfo[psycopg.Error]) -> str:
    assert failure.value.sqlstate.startswith("22B")
    return str(failure.value.diag.message_primary).partition(":")[0]


def test_a_grant_has_no_money_value(db, shop: Shop) -> None:
    grant = shop.grant(20, reason="Sorry for the cold soup")

    assert (grant["credits_amount"], grant["reason"]) == (20, "Sorry for the cold soup")
    assert grant["requested_by"] == f"user:{shop.tenant.user_id}"
    assert shop.books() == {"credits_granted XCR": 200_000, "credit_wallet XCR": -200_000}
    shop.spend(20)
    assert shop.books() == {}
    assert broken_invariants(db) == {}


def test_the_same_key_is_the_same_grant(db, shop) -> None:
    first = shop.grant(20, "welcome")

    assert shop.grant(20, "welcome") == first
    assert shop.wallet()["balance"] == 20
    for change in (
        {"amount": 21},
        {"reason": "Goodbye"},
        {"expires_at": "2040-01-01T00:00:00Z"},
    ):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            shop.grant(**({"amount": 20, "key": "welcome"} | change))
        assert refused(failure) == "idempotency-key-reused"


def test_a_repetition_is_answered_after_the_grant_has_expired(db, shop) -> None:
    until = db.execute("select clock_now() + interval '1 day' as it").fetchone()["it"]
    first = shop.grant(20, "welcome", expires_at=until)
    shop.wait(days=2)

    assert shop.grant(20, "welcome", expires_at=until) == first


@pytest.mark.parametrize("role", [None, "service", "dispatcher", "customer", "viewer"])
def test_only_owners_and_finance_give_credits(shop, role) -> None:
    with pytest.raises(psycopg.Error) as failure:
        shop.grant(1, role=role)
    assert refused(failure) == "forbidden"


@pytest.mark.parametrize("amount", ["0", "-5", "0.00001", "NaN", "1000000000001"])
def test_what_is_no_number_of_credits_is_not_given(shop, amount) -> None:
    with pytest.raises(psycopg.Error) as failure:
        shop.grant(amount)
    assert refused(failure) == "amount-out-of-range"


def test_credits_that_would_be_gone_at_once_are_not_given(shop) -> None:
    with pytest.raises(psycopg.Error) as failure:
        shop.grant(1, expires_at="2020-01-01T00:00:00Z")
    assert refused(failure) == "setting-invalid"


def test_a_grant_expires_by_the_organisations_rule_or_by_its_own(shop) -> None:
    shop.set("credits_expire_after_days", "30")
    shop.grant(1)
    shop.grant(2, expires_at="2040-01-01T00:00:00Z")

    by_rule, by_its_own = shop.lots()
    assert (by_rule["expires_at"] - by_rule["created_at"]).days == 30
    assert by_its_own["expires_at"].year == 2040


def test_a_grant_is_told_once(db, shop) -> None:
    grant = shop.grant(20, "welcome")
    shop.grant(20, "welcome")

    (told,) = db.execute("select type, data from events where object_id = %s", [grant["id"]])
    assert told["type"] == "credits.granted"
    assert told["data"]["credits_amount"] == 20
