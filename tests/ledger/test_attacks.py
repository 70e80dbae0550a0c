"""What a careless or a hostile writer tries: the ledger refuses it, whoever writes."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from books import Connection, Tenant, broken_invariants, settle
from psycopg.rows import dict_row

MOST = 2**63 - 1
ENTRY = (
    "insert into ledger_entries (organization_id, livemode, ledger_transaction_id, position,"
    " ledger_account_id, currency, amount, balance_after)"
    " values (%s, false, %s, %s, %s, 'USD', %s, 0)"
)


def commit(db: Connection) -> None:
    """Check what a commit would check."""
    db.execute("set constraints all immediate")
    db.execute("set constraints all deferred")


def refused(failure: pytest.ExceptionInfo[psycopg.Error], *states: str) -> bool:
    return failure.value.sqlstate in states


def header(db: Connection, tenant: Tenant, key: str = "hand:1", **changes: object) -> UUID:
    row = {
        "organization_id": tenant.organization_id,
        "key": key,
        "kind": "sale",
        "occurred_at": datetime(2026, 11, 21, tzinfo=UTC),
    } | changes
    return db.execute(
        "insert into ledger_transactions"
        " (organization_id, livemode, key, kind, reference_type, reference_id, occurred_at)"
        " values (%(organization_id)s, false, %(key)s, %(kind)s, 'test', gen_random_uuid(),"
        " %(occurred_at)s) returning id",
        row,
    ).fetchone()["id"]


@pytest.fixture
def sale_of_another_day(database: str) -> tuple[Tenant, UUID, UUID]:
    """A committed sale: its tenant, its id, and the account of the cash."""
    with psycopg.connect(database, row_factory=dict_row) as db:
        tenant = settle(db)
        sale = header(db, tenant)
        cash = db.execute(
            "select ledger_account(%s, false, 'cash', 'asset', 'USD') as id",
            [tenant.organization_id],
        ).fetchone()["id"]
        for position, amount in ((1, 5), (2, -5)):
            db.execute(ENTRY, [tenant.organization_id, sale, position, cash, amount])
    return tenant, sale, cash


@pytest.mark.parametrize("position", [-1, 0, 3, 4, 32767])
def test_no_place_is_free_for_an_entry_that_comes_later(
    db, post, tenant, accounts, position
) -> None:
    sale = post("sale:1", [("cash", 5), ("sales", -5)])
    commit(db)
    db.execute(ENTRY, [tenant.organization_id, sale, position, accounts["cash"], 5])

    with pytest.raises(psycopg.Error) as failure:
        commit(db)
    assert refused(failure, "P0004")


@pytest.mark.parametrize("positions", [(0, -1), (3, 4), (4, 3)])
def test_not_even_a_balanced_pair_comes_in_a_later_commit(
    database, sale_of_another_day, positions
) -> None:
    tenant, sale, cash = sale_of_another_day
    with psycopg.connect(database) as db:
        for position, amount in zip(positions, (7, -7), strict=True):
            db.execute(ENTRY, [tenant.organization_id, sale, position, cash, amount])
        with pytest.raises(psycopg.Error) as failure:
            db.commit()
    assert refused(failure, "P0004")


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1), (1, 3, 2, 4), (2, 1, 4, 3)])
@pytest.mark.parametrize("wrong", [0, 1, 2, 3, 4])
def test_four_entries_by_hand_are_checked_in_whatever_order_they_come(
    db, tenant, accounts, order, wrong
) -> None:
    written = header(db, tenant)
    amounts = {1: 5, 2: -5, 3: 7, 4: -7}
    for position in order:
        amount = amounts[position] + (position == wrong)
        db.execute(ENTRY, [tenant.organization_id, written, position, accounts["cash"], amount])

    if wrong:
        with pytest.raises(psycopg.Error) as failure:
            commit(db)
        assert refused(failure, "P0004")
    else:
        commit(db)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_four_entries_by_hand_leave_no_gap(db, tenant, accounts, missing) -> None:
    written = header(db, tenant)
    amounts = {1: 5, 2: 5, 3: 5, 4: 5}
    del amounts[missing]
    amounts[4] = -10
    for position, amount in amounts.items():
        db.execute(ENTRY, [tenant.organization_id, written, position, accounts["cash"], amount])

    with pytest.raises(psycopg.Error) as failure:
        commit(db)
    assert refused(failure, "P0004")


@pytest.mark.parametrize(
    "entries",
    [[], [(1, 5)], [(1, 5), (2, -4)], [(1, 5), (3, -5)], [(0, 5), (2, -5)], [(1, 0), (2, 0)]],
)
def test_a_transaction_by_hand_is_checked_as_any(db, tenant, accounts, entries) -> None:
    written = header(db, tenant)
    for position, amount in entries:
        db.execute(ENTRY, [tenant.organization_id, written, position, accounts["cash"], amount])

    with pytest.raises(psycopg.Error) as failure:
        commit(db)
    assert refused(failure, "P0004")


def test_an_entry_by_hand_cannot_point_into_another_tenant(db, post, accounts) -> None:
    sale = post("sale:1", [("cash", 5), ("sales", -5)])
    other = uuid4()
    db.execute(
        "insert into organizations (id, name, default_currency) values (%s, 'Other', 'USD')",
        [other],
    )

    with pytest.raises(psycopg.Error) as failure:
        db.execute(ENTRY, [other, sale, 3, accounts["cash"], 5])
    assert refused(failure, "23503")


def test_live_and_test_money_do_not_mix(db, post, tenant) -> None:
    live = db.execute(
        "select ledger_account(%s, true, 'cash', 'asset', 'USD') as id", [tenant.organization_id]
    ).fetchone()["id"]

    with pytest.raises(psycopg.Error) as failure:
        post("sale:1", [(live, 5), ("sales", -5)])
    assert refused(failure, "P0004")


@pytest.mark.parametrize(
    "lines",
    [
        [("cash", None), ("sales", -5)],
        [("cash", None), ("sales", None)],
        [(None, 5), ("sales", -5)],
        [("cash", 0), ("sales", 0)],
        [("cash", 5), ("sales", -5), ("fees", 0)],
        [("cash", 5), ("sales", -5), (None, None)],
        [("cash", -MOST - 1), ("sales", MOST)],
        [("cash", MOST), ("fees", MOST), ("sales", -MOST)],
    ],
)
def test_lines_that_are_none_are_refused(db, post, lines) -> None:
    def book() -> None:
        post("sale:1", lines)
        commit(db)

    with pytest.raises(psycopg.Error) as failure:
        book()
    assert refused(failure, "P0004", "23502", "22003")


def test_the_largest_amount_fits_and_one_more_is_refused(db, post) -> None:
    post("sale:1", [("cash", MOST), ("sales", -MOST)])
    assert broken_invariants(db) == {}

    with pytest.raises(psycopg.Error) as failure:
        post("sale:2", [("cash", 1), ("sales", -1)])
    assert refused(failure, "22003")


def test_two_legs_on_one_account_leave_its_balance(db, post, accounts) -> None:
    post("sale:1", [("cash", 5), ("cash", -5)])
    commit(db)

    row = db.execute("select balance from ledger_accounts where id = %s", [accounts["cash"]])
    assert row.fetchone()["balance"] == 0
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("array", ["[5:6]={%s,%s}", "{{%s},{%s}}"])
def test_an_array_of_another_shape_books_what_it_says_or_nothing(
    db, tenant, accounts, array
) -> None:
    legs = [f'"({accounts["cash"]},5)"', f'"({accounts["sales"]},-5)"']
    with pytest.raises(psycopg.Error) as failure:
        db.execute(
            "select post_ledger_transaction(%s, false, 'sale:1', 's', 't', gen_random_uuid(),"
            " clock_now(), %s::ledger_line[])",
            [tenant.organization_id, array % tuple(legs)],
        )
    assert refused(failure, "P0004")


@pytest.mark.parametrize(
    "changes", [{"occurred_at": "infinity"}, {"occurred_at": "12000-01-01Z"}, {"kind": "a\nb"}]
)
def test_what_could_not_be_sealed_is_not_booked(db, tenant, accounts, changes) -> None:
    written = header(db, tenant, **changes)
    for position, amount in ((1, 5), (2, -5)):
        db.execute(ENTRY, [tenant.organization_id, written, position, accounts["cash"], amount])

    with pytest.raises(psycopg.Error) as failure:
        commit(db)
    assert refused(failure, "P0004")


def test_the_parts_of_an_account_are_of_one_type(db, tenant) -> None:
    opened = "select ledger_account(%s, false, 'mixed', %s, 'USD', %s)"
    db.execute(opened, [tenant.organization_id, "asset", UUID(int=1)])

    with pytest.raises(psycopg.Error) as failure:
        db.execute(opened, [tenant.organization_id, "liability", UUID(int=2)])
    assert refused(failure, "23514")


def test_an_account_that_is_named_with_another_type_is_refused(db, tenant, accounts) -> None:
    with pytest.raises(psycopg.Error) as failure:
        db.execute(
            "select ledger_account(%s, false, 'cash', 'liability', 'USD')",
            [tenant.organization_id],
        )
    assert refused(failure, "P0004")


@pytest.mark.parametrize(
    ("column", "value"),
    [("account_type", "money"), ("status", "frozen"), ("code", "Cash!"), ("part", 16)],
)
def test_an_account_is_opened_in_known_words(db, tenant, column, value) -> None:
    row = {"account_type": "asset", "status": "active", "code": "new", "part": 0} | {column: value}
    with pytest.raises(psycopg.Error) as failure:
        db.execute(
            "insert into ledger_accounts"
            " (organization_id, livemode, currency, account_type, status, code, part)"
            " values (%(o)s, false, 'USD', %(account_type)s, %(status)s, %(code)s, %(part)s)",
            row | {"o": tenant.organization_id},
        )
    assert refused(failure, "23514")


def test_a_clock_that_goes_back_dates_no_entry_before_another(db, post, accounts) -> None:
    post("sale:1", [("cash", 5), ("sales", -5)])
    db.execute("update clock set skew_seconds = -86400")
    post("sale:2", [("cash", 7), ("sales", -7)])
    post("sale:3", [("cash", 2), ("fees", 1), ("sales", -3)])

    assert broken_invariants(db) == {}
    row = db.execute(
        "select ledger_balance_at(%s, max(created_at)) as it,"
        " ledger_balance_at(%s, min(created_at) - interval '1 microsecond') as before"
        " from ledger_entries where ledger_account_id = %s",
        [accounts["cash"]] * 3,
    ).fetchone()
    assert (row["it"], row["before"]) == (14, 0)


def test_a_posting_is_dated_by_the_one_clock(db, post) -> None:
    db.execute("update clock set skew_seconds = 86400")
    post("sale:1", [("cash", 5), ("sales", -5)])
    post("sale:2", [("cash", 2), ("fees", 1), ("sales", -3)])

    rows = db.execute(
        "select created_at = clock_now() as it from ledger_entries"
        " union all select created_at = clock_now() from ledger_transactions"
    ).fetchall()
    assert len(rows) == 7
    assert all(row["it"] for row in rows)


def test_of_entries_at_one_moment_the_last_tells_the_balance(db, post, accounts) -> None:
    """One database transaction has one time, so all of these are booked at the same moment."""
    for number in range(5):
        post(f"sale:{number}", [("cash", 1), ("sales", -1)])

    row = db.execute(
        "select count(distinct created_at) as moments, ledger_balance_at(%s, min(created_at)) as it"
        " from ledger_entries",
        [accounts["cash"]],
    ).fetchone()
    assert (row["moments"], row["it"]) == (1, 5)
