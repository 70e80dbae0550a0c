from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest
from books import Connection, Money, Tenant, broken_invariants, settle


def refused(failure: pytest.ExceptionInfo[psycopg.Error]) -> str:
    """The code word that a client sees."""
    assert failure.value.sqlstate.startswith("22B")
    return str(failure.value.diag.message_primary).partition(":")[0]


def test_a_purchase_is_written_down_before_a_gateway_is_asked(db: Connection, money: Money) -> None:
    row = money.open()

    assert (row["amount"], row["currency"], row["credits_amount"]) == (2500, "USD", 250)
    assert (row["status"], row["url"]) == ("pending", None)
    attempt = db.execute(
        "select status from payment_attempts where id = %s", [row["payment_attempt_id"]]
    ).fetchone()
    assert attempt["status"] == "created"


def test_the_same_key_is_the_same_purchase(money: Money) -> None:
    assert money.open() == money.open()
    assert money.open(key="key-2")["id"] != money.open()["id"]


@pytest.mark.parametrize(
    "change", [{"amount": 2600}, {"currency": "JPY"}, {"email": "eve@example.com"}]
)
def test_a_key_with_other_content_is_refused(money: Money, change: dict[str, object]) -> None:
    money.open()

    with pytest.raises(psycopg.Error) as failure:
        money.open(**change)
    assert refused(failure) == "idempotency-key-reused"


def test_a_repeated_key_is_answered_even_when_the_limits_have_changed(db, money, tenant) -> None:
    first = money.open()
    db.execute(
        "update payment_settings set max_payment_amount = 200 where organization_id = %s",
        [tenant.organization_id],
    )

    assert money.open() == first


@pytest.mark.parametrize("amount", [0, -1, 99, 100_001, 2**63 - 1, -(2**63), None])
def test_an_amount_outside_the_settings_is_refused(db, money, amount) -> None:
    with pytest.raises(psycopg.Error) as failure:
        money.open(amount=amount)
    assert refused(failure) == "amount-out-of-range"


@pytest.mark.parametrize("amount", [100, 100_000])
def test_the_limits_themselves_are_allowed(money: Money, amount: int) -> None:
    assert money.open(amount=amount)["amount"] == amount


@pytest.mark.parametrize("currency", ["EUR", "XCR", "ABC", "usd", ""])
def test_a_currency_without_settings_is_refused(money: Money, currency: str) -> None:
    with pytest.raises(psycopg.Error) as failure:
        money.open(currency=currency)
    assert refused(failure) == "currency-not-supported"


def test_credits_follow_the_currencys_exponent_and_are_cut_not_rounded(money: Money) -> None:
    assert money.open(amount=1999, currency="JPY")["credits_amount"] == Decimal("149.9250")
    assert money.open(key="k2", amount=1234)["credits_amount"] == Decimal("123.4000")


def test_a_fifth_decimal_of_a_credit_is_cut_not_rounded(db, money, tenant) -> None:
    db.execute(
        "update system_settings set value = '0.123456' where organization_id = %s",
        [tenant.organization_id],
    )

    assert money.open(amount=100)["credits_amount"] == Decimal("0.1234")


@pytest.mark.parametrize("value", ["0", "", "ten", "-1", "1e3", "NaN", "0.0", "10 "])
def test_a_rate_that_is_no_rate_sells_nothing(db, money, tenant, value) -> None:
    db.execute(
        "update system_settings set value = %s where organization_id = %s"
        " and key = 'credit_rate_usd'",
        [value, tenant.organization_id],
    )

    with pytest.raises(psycopg.Error) as failure:
        money.open()
    assert refused(failure) == "setting-invalid"


def test_a_purchase_too_small_for_a_credit_is_refused(db, money, tenant) -> None:
    db.execute(
        "update system_settings set value = '0.000001' where organization_id = %s"
        " and key = 'credit_rate_usd'",
        [tenant.organization_id],
    )

    with pytest.raises(psycopg.Error) as failure:
        money.open(amount=100)
    assert refused(failure) == "amount-out-of-range"


def test_the_rate_is_frozen_when_the_purchase_is_opened(db, money, tenant) -> None:
    row = money.open()
    db.execute(
        "update system_settings set value = '99' where organization_id = %s",
        [tenant.organization_id],
    )
    money.receive(row["payment_attempt_id"])

    wallet = db.execute(
        "select balance from credit_wallets where customer_id = %s", [tenant.customer_id]
    ).fetchone()
    assert wallet["balance"] == 250


@pytest.mark.parametrize(
    "change",
    [
        {"x-hasura-user-id": str(uuid4())},
        {"x-hasura-organization-id": str(uuid4())},
        {"x-hasura-customer-id": str(uuid4())},
        {"x-hasura-livemode": "true"},
        {"x-hasura-user-id": None},
        {"x-hasura-livemode": None},
    ],
)
def test_a_session_that_names_no_customer_is_refused(db, tenant, change) -> None:
    session = {k: v for k, v in (tenant.session | change).items() if v is not None}

    with pytest.raises(psycopg.Error) as failure:
        Money(db, session).open()
    assert refused(failure) == "customer-not-found"


def test_the_customer_of_another_organisation_is_refused(db, tenant) -> None:
    other = settle(db)
    session = tenant.session | {"x-hasura-customer-id": str(other.customer_id)}

    with pytest.raises(psycopg.Error) as failure:
        Money(db, session).open()
    assert refused(failure) == "customer-not-found"


def test_a_user_id_alone_is_enough_where_it_names_one_customer(db, tenant: Tenant) -> None:
    keep = {"x-hasura-role", "x-hasura-livemode", "x-hasura-user-id"}
    session = {k: v for k, v in tenant.session.items() if k in keep}

    assert Money(db, session).open()["customer_id"] == tenant.customer_id


def test_a_user_id_that_names_customers_of_two_organisations_is_not_enough(db, tenant) -> None:
    other = settle(db)
    db.execute(
        "update customers set user_id = %s where id = %s", [tenant.user_id, other.customer_id]
    )
    session = {k: v for k, v in tenant.session.items() if not k.endswith(("zation-id", "mer-id"))}

    with pytest.raises(psycopg.Error) as failure:
        Money(db, session).open()
    assert refused(failure) == "customer-not-found"


def test_a_suspended_customer_buys_nothing(db, money, tenant) -> None:
    db.execute("update customers set status = 'suspended' where id = %s", [tenant.customer_id])

    with pytest.raises(psycopg.Error) as failure:
        money.open()
    assert refused(failure) == "customer-not-found"


@pytest.mark.parametrize("role", ["customer", "owner", "anonymous", None])
def test_only_the_service_may_open_a_purchase(db, tenant, role) -> None:
    session = {k: v for k, v in (tenant.session | {"x-hasura-role": role}).items() if v}

    with pytest.raises(psycopg.Error) as failure:
        Money(db, session).open()
    assert refused(failure) == "forbidden"


def test_a_page_is_recorded_once(money: Money) -> None:
    row = money.open()
    recorded = money.record(row["payment_attempt_id"])

    assert money.open()["url"] == "https://pay.example/cs_1"
    assert recorded["status"] == "pending"
    assert money.record(row["payment_attempt_id"]) == recorded
    with pytest.raises(psycopg.Error) as failure:
        money.record(row["payment_attempt_id"], "cs_2")
    assert failure.value.sqlstate == "22B10"


def test_a_key_is_the_same_purchase_when_the_default_currency_has_changed(db, money, tenant):
    first = money.open()
    db.execute(
        "update organizations set default_currency = 'JPY' where id = %s",
        [tenant.organization_id],
    )

    assert money.open() == first


def test_more_credits_than_a_wallet_holds_are_not_sold(db, money, tenant) -> None:
    db.execute(
        "update system_settings set value = '999999999999' where organization_id = %s",
        [tenant.organization_id],
    )

    with pytest.raises(psycopg.Error) as failure:
        money.open(amount=100_000)
    assert refused(failure) == "amount-out-of-range"


@pytest.mark.parametrize("same_organization", [True, False])
def test_a_page_of_somebody_elses_attempt_cannot_be_recorded(
    db, money, tenant, same_organization
) -> None:
    row = money.open()
    other = settle(db)
    if same_organization:
        neighbour = uuid4()
        db.execute(
            "insert into customers (id, organization_id, livemode, user_id, email)"
            " values (%s, %s, false, 'neighbour', 'n@example.com')",
            [neighbour, tenant.organization_id],
        )
        other = Tenant(tenant.organization_id, neighbour, "neighbour")
    stranger = Money(db, other.session)

    with pytest.raises(psycopg.Error) as failure:
        stranger.record(row["payment_attempt_id"])
    assert refused(failure) == "not-found"


def test_a_refusal_ends_the_purchase_and_a_late_one_does_not(db, money) -> None:
    row = money.open()
    said = {"failure_code": "gateway-refused", "failure_message": "Amount too small"}
    (failed,) = money.call("fail_checkout", payment_attempt_id=row["payment_attempt_id"], **said)
    other = money.open(key="key-2")
    money.record(other["payment_attempt_id"], "cs_2")
    (kept,) = money.call("fail_checkout", payment_attempt_id=other["payment_attempt_id"], **said)

    assert (failed["status"], failed["failure_message"]) == ("failed", "Amount too small")
    assert kept["status"] == "pending"
    assert broken_invariants(db) == {}


def test_an_old_checkout_says_that_it_is_closing(db, money) -> None:
    assert money.open()["is_closing"] is False
    db.execute("update clock set skew_seconds = 22.6 * 3600")
    assert (money.open()["is_closing"], money.open()["is_over"]) == (True, False)
    db.execute("update clock set skew_seconds = 23.1 * 3600")
    assert money.open()["is_over"] is True


def test_a_page_recorded_late_does_not_move_an_ended_payment(db, money) -> None:
    row = money.open()
    money.receive(row["payment_attempt_id"], "expired")

    assert money.record(row["payment_attempt_id"])["status"] == "expired"
