"""An order is charged once, in as many tries as it takes, by whoever may."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest
from books import Connection, broken_invariants, settle
from psycopg.rows import dict_row

from .conftest import Office, stock


def refused(failure: pytest.ExceptionInfo[psycopg.Error]) -> str:
    return str(failure.value.diag.message_primary).partition(":")[0]


def count(db: Connection, table: str) -> int:
    return db.execute(f"select count(*) as n from {table}").fetchone()["n"]


def test_an_order_is_written_before_a_gateway_is_asked(db, office: Office) -> None:
    row = office.ask()

    assert (row["amount"], row["currency"], row["status"]) == (245000, "INR", "pending")
    assert (row["gateway"], row["payment_attempt_status"]) == ("razorpay", "created")
    assert (row["customer_name"], row["customer_phone"]) == ("Asha", "+919812345670")
    assert row["transaction_status"] == "initiated"
    assert row["display_id"].startswith("TXN-")
    assert len(row["display_id"]) == 14


def test_the_same_order_again_is_the_same_try(db, office: Office) -> None:
    first = office.ask()
    office.record(first["payment_attempt_id"], "order_1")

    assert office.ask()["payment_attempt_id"] == first["payment_attempt_id"]
    assert office.ask()["gateway_session_id"] == "order_1"
    assert (count(db, "orders"), count(db, "payment_attempts")) == (1, 1)


@pytest.mark.parametrize("change", [{"amount": 245001}, {"currency": "USD", "amount": 2500}])
def test_an_order_that_asks_for_something_else_is_refused(office: Office, change: dict) -> None:
    office.ask()

    with pytest.raises(psycopg.Error) as failure:
        office.ask(**change)
    assert refused(failure) == "idempotency-key-reused"


def test_an_order_is_authorised_first_where_it_was_asked_for_so(db, office: Office) -> None:
    """Who asks again without a word about it takes it as it is; another word is refused."""
    first = office.ask(capture_method="manual")
    assert first["capture_method"] == "manual"

    again = [office.ask(), office.ask(capture_method="manual")]
    assert {row["payment_attempt_id"] for row in again} == {first["payment_attempt_id"]}
    with pytest.raises(psycopg.Error) as failure:
        office.ask(capture_method="automatic")
    assert refused(failure) == "idempotency-key-reused"


def test_another_shippers_order_of_that_name_is_refused(db, office: Office) -> None:
    office.ask()
    db.execute(
        "insert into customers (organization_id, livemode, email, external_id)"
        " values (%s, false, 'b@example.com', 'SHP-2')",
        [office.organization_id],
    )

    with pytest.raises(psycopg.Error) as failure:
        office.ask(customer_external_id="SHP-2")
    assert refused(failure) == "idempotency-key-reused"


def test_two_organisations_may_have_orders_of_one_name(office, other_office) -> None:
    assert office.ask()["id"] != other_office.ask()["id"]


@pytest.mark.parametrize("outcome", ["failed", "expired"])
def test_a_try_that_came_to_nothing_makes_room_for_the_next(db, office, outcome: str) -> None:
    first = office.ask()
    office.hear(first, outcome)
    db.execute("update clock set skew_seconds = skew_seconds + 1")
    second = office.ask(gateway="payu")

    assert second["payment_attempt_id"] != first["payment_attempt_id"]
    assert (second["gateway"], second["status"]) == ("payu", "pending")


@pytest.mark.parametrize("status", ["created", "unknown", "pending", "processing", "authorized"])
def test_no_other_gateway_while_one_may_take_the_money(db, office: Office, status: str) -> None:
    first = office.ask()
    db.execute("alter table payment_attempts disable trigger user")
    db.execute(
        "update payment_attempts set status = %s, gateway_payment_id = 'pay_1' where id = %s",
        [status, first["payment_attempt_id"]],
    )

    with pytest.raises(psycopg.Error) as failure:
        office.ask(gateway="payu")
    assert refused(failure) == "payment-in-progress"


def test_an_order_that_is_paid_answers_that_it_is(db, office: Office) -> None:
    row = office.ask()
    assert office.hear(row, "paid")["status"] == "applied"
    again = office.ask(gateway="payu")

    assert (again["transaction_status"], again["gateway"]) == ("success", "razorpay")
    assert count(db, "payment_attempts") == 1
    assert broken_invariants(db) == {}


def test_the_first_try_that_pays_late_leaves_the_second_a_surplus(db, office: Office) -> None:
    first = office.ask()
    office.hear(first, "failed")
    db.execute("update clock set skew_seconds = skew_seconds + 1")
    second = office.ask()
    office.hear(second, "paid")
    late = office.hear(first, "paid")

    assert late["status"] == "applied"
    surplus = db.execute("select id from payment_attempts where is_surplus").fetchall()
    assert [row["id"] for row in surplus] == [first["payment_attempt_id"]]
    assert broken_invariants(db) == {}


def test_the_money_of_an_order_is_owed_to_the_organisation(db, office: Office) -> None:
    office.hear(office.ask(), "paid")

    rows = db.execute(
        "select code, balance from ledger_balances where organization_id = %s and balance <> 0",
        [office.organization_id],
    ).fetchall()
    held = {row["code"].split("#")[0].rpartition("/")[0] or row["code"] for row in rows}
    assert any(code.startswith("gateway:razorpay") for code in held)
    assert any(code.startswith("merchant_balance") for code in held)


@pytest.mark.parametrize("status", ["active", "suspended"])
def test_an_unknown_or_suspended_shipper_pays_nothing(db, office: Office, status: str) -> None:
    db.execute("update customers set status = %s", [status])
    name = "SHP-404" if status == "active" else "SHP-1"

    with pytest.raises(psycopg.Error) as failure:
        office.ask(customer_external_id=name)
    assert refused(failure) == "customer-not-found"


def test_a_shipper_of_another_organisation_is_unknown(db, office, nobody: str) -> None:
    with pytest.raises(psycopg.Error) as failure:
        office.acting(organization_id=nobody).ask()
    assert refused(failure) == "customer-not-found"


def test_a_customer_pays_their_own_orders_only(office: Office, tenant) -> None:
    customer = office.acting(actor_role="customer", user_id=tenant.user_id)
    assert customer.ask(customer_external_id=None)["customer_id"] == tenant.customer_id

    with pytest.raises(psycopg.Error) as failure:
        customer.ask(reference="BK-18", customer_external_id="SHP-2")
    assert refused(failure) == "customer-not-found"


@pytest.mark.parametrize("role", ["viewer", "operator", "support"])
def test_nobody_else_opens_an_order(office: Office, role: str) -> None:
    with pytest.raises(psycopg.Error) as failure:
        office.acting(actor_role=role, user_id="u").ask()
    assert refused(failure) == "forbidden"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": 99}, "amount-out-of-range"),
        ({"amount": 100000001}, "amount-out-of-range"),
        ({"amount": None}, "amount-out-of-range"),
        ({"currency": "EUR"}, "currency-not-supported"),
    ],
)
def test_what_the_organisation_does_not_take_is_refused(office, change: dict, code: str) -> None:
    with pytest.raises(psycopg.Error) as failure:
        office.ask(**change)
    assert refused(failure) == code


def test_an_order_is_found_by_its_display_id_and_by_no_stranger(office, other_office) -> None:
    name = office.ask()["display_id"]

    assert len(office.call("find_orders", display_id=name)) == 1
    assert len(office.acting(organization_id=None).call("find_orders", display_id=name)) == 1
    assert other_office.call("find_orders", display_id=name) == []
    live = office.acting(livemode="true")
    assert live.call("find_orders", display_id=name) == []


def test_one_order_asked_for_by_sixteen_at_once_is_one_try(database: str) -> None:
    with psycopg.connect(database, row_factory=dict_row) as db:
        session = stock(db, settle(db))
    barrier = Barrier(16)

    def ask(number: int) -> str:
        with psycopg.connect(database, row_factory=dict_row) as db:
            barrier.wait()
            office = Office(db, session.session, session.organization_id)
            return str(
                office.ask(gateway=("razorpay" if number % 2 else None))["payment_attempt_id"]
            )

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ask, range(16)))) == 1


def test_one_name_asked_for_by_two_shippers_at_once_is_ones_order(database: str) -> None:
    with psycopg.connect(database, row_factory=dict_row) as db:
        session = stock(db, settle(db))
        db.execute(
            "insert into customers (organization_id, livemode, email, external_id)"
            " values (%s, false, 'b@example.com', 'SHP-2')",
            [session.organization_id],
        )
    barrier = Barrier(8)

    def ask(number: int) -> str:
        with psycopg.connect(database, row_factory=dict_row) as db:
            office = Office(db, session.session, session.organization_id)
            barrier.wait()
            try:
                row = office.ask(customer_external_id=f"SHP-{number % 2 + 1}")
            except psycopg.DataError as failure:
                return str(failure.diag.message_primary).partition(":")[0]
            db.commit()
            return str(row["id"])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert len(set(answers)) == 2
    assert answers.count("idempotency-key-reused") == 4
    with psycopg.connect(database, row_factory=dict_row) as db:
        assert (count(db, "orders"), count(db, "payment_intents")) == (1, 1)
