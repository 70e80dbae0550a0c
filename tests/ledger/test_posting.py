from uuid import UUID, uuid4

import psycopg
import pytest
from books import Connection, broken_invariants


def balance(db: Connection, account: UUID) -> int:
    return db.execute("select balance from ledger_accounts where id = %s", [account]).fetchone()[
        "balance"
    ]


def test_a_posting_moves_balances_and_tells_each_balance_after(db, post, accounts) -> None:
    transaction = post("sale:1", [("cash", 970), ("fees", 30), ("sales", -1000)])
    post("sale:2", [("cash", 500), ("sales", -500)])

    entries = db.execute(
        "select amount, e.entry_type, balance_after from ledger_entries as e"
        " where ledger_transaction_id = %s order by position",
        [transaction],
    ).fetchall()
    assert [tuple(e.values()) for e in entries] == [
        (970, "debit", 970),
        (30, "debit", 30),
        (-1000, "credit", -1000),
    ]
    assert balance(db, accounts["cash"]) == 1470
    assert broken_invariants(db) == {}


def test_one_account_may_stand_in_two_lines(db, post, accounts) -> None:
    transaction = post("sale:1", [("cash", 700), ("cash", 300), ("sales", -1000)])

    entries = db.execute(
        "select balance_after from ledger_entries"
        " where ledger_transaction_id = %s order by position",
        [transaction],
    ).fetchall()
    assert [e["balance_after"] for e in entries] == [700, 1000, -1000]
    assert balance(db, accounts["cash"]) == 1000


def test_the_same_key_books_once(db, post, accounts) -> None:
    first = post("sale:1", [("cash", 1000), ("sales", -1000)])
    again = post("sale:1", [("cash", 1000), ("sales", -1000)])

    assert again == first
    assert balance(db, accounts["cash"]) == 1000


@pytest.mark.parametrize(
    "other", [[("cash", 999), ("sales", -999)], [("sales", -1000), ("cash", 1000)]]
)
def test_a_key_cannot_change_its_meaning(post, other) -> None:
    post("sale:1", [("cash", 1000), ("sales", -1000)])

    with pytest.raises(psycopg.Error) as failure:
        post("sale:1", other)
    assert failure.value.sqlstate == "22B02"


@pytest.mark.parametrize(
    "lines",
    [
        [("cash", 1000), ("sales", -999)],
        [("cash", 1000)],
        [],
    ],
)
def test_what_does_not_balance_cannot_be_committed(db, post, lines) -> None:
    def commit() -> None:
        post("sale:1", lines)
        db.execute("set constraints all immediate")  # what a commit would check

    with pytest.raises(psycopg.Error) as failure:
        commit()
    assert failure.value.sqlstate == "P0004"


def test_currencies_do_not_make_up_for_each_other(db, post, tenant) -> None:
    yen = db.execute(
        "select ledger_account(%s, false, 'cash', 'asset', 'JPY')", [tenant.organization_id]
    ).fetchone()["ledger_account"]
    post("sale:1", [("cash", 1000), (yen, -1000)])

    with pytest.raises(psycopg.Error) as failure:
        db.execute("set constraints all immediate")
    assert failure.value.sqlstate == "P0004"


def test_an_entry_slipped_in_by_hand_is_caught_at_commit(db, post, tenant, accounts) -> None:
    transaction = post("sale:1", [("cash", 1000), ("sales", -1000)])
    db.execute(
        "insert into ledger_entries (organization_id, livemode, ledger_transaction_id,"
        " position, ledger_account_id, currency, amount, balance_after)"
        " values (%s, false, %s, 3, %s, 'USD', 5, 1005)",
        [tenant.organization_id, transaction, accounts["cash"]],
    )

    with pytest.raises(psycopg.Error) as failure:
        db.execute("set constraints all immediate")
    assert failure.value.sqlstate == "P0004"


FIRST_AND_LAST = [UUID(int=1), UUID(int=2**128 - 1)]  # in the order of locks


def open_account(db: Connection, account: UUID, **columns: object) -> None:
    db.execute(
        "insert into ledger_accounts"
        " (id, organization_id, livemode, code, account_type, currency, status)"
        " values (%(id)s, %(organization_id)s, %(livemode)s, 'vault', 'asset', 'USD', %(status)s)",
        {"id": account, "livemode": False, "status": "active"} | columns,
    )


@pytest.mark.parametrize("account", FIRST_AND_LAST)
def test_a_posting_to_another_organisation_is_refused(db, post, account) -> None:
    other = uuid4()
    db.execute(
        "insert into organizations (id, name, default_currency) values (%s, 'Other', 'USD')",
        [other],
    )
    open_account(db, account, organization_id=other)

    with pytest.raises(psycopg.Error) as failure:
        post("sale:1", [(account, 1000), ("sales", -1000)])
    assert failure.value.sqlstate == "P0004"


@pytest.mark.parametrize("account", FIRST_AND_LAST)
@pytest.mark.parametrize("columns", [{"livemode": True}, {"status": "closed"}])
def test_an_account_of_the_other_mode_or_a_closed_one_takes_no_posting(
    db, post, tenant, account, columns
) -> None:
    open_account(db, account, organization_id=tenant.organization_id, **columns)

    with pytest.raises(psycopg.Error) as failure:
        post("sale:1", [(account, 1000), ("sales", -1000)])
    assert failure.value.sqlstate == "P0004"


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger_entries set amount = 1",
        "delete from ledger_entries",
        "truncate ledger_entries",
        "update ledger_transactions set key = 'other'",
        "delete from ledger_transactions",
        "truncate ledger_transactions cascade",
        "update ledger_accounts set currency = 'EUR'",
        "update ledger_accounts set account_type = 'asset'",
        "delete from events",
        "truncate events cascade",
    ],
)
def test_history_cannot_be_rewritten_even_by_its_owner(db, post, statement) -> None:
    post("sale:1", [("cash", 1000), ("sales", -1000)])
    db.execute("set constraints all immediate")

    with pytest.raises(psycopg.Error) as failure:
        db.execute(statement)
    assert failure.value.sqlstate == "42501"


@pytest.mark.parametrize("table", ["ledger_accounts", "ledger_transactions", "ledger_entries"])
@pytest.mark.parametrize("verb", ["insert", "update", "delete", "truncate"])
def test_hasura_has_no_privilege_to_write_the_ledger(db, table, verb) -> None:
    granted = db.execute(
        "select has_table_privilege('munim_hasura', %s, %s) as it", [table, verb]
    ).fetchone()

    assert granted["it"] is False


def test_hasura_cannot_call_the_posting_function(db) -> None:
    db.execute("set local role munim_hasura")

    with pytest.raises(psycopg.Error) as failure:
        db.execute("select post_ledger_transaction(null, null, null, null, null, null, null, null)")
    assert failure.value.sqlstate == "42501"


@pytest.mark.parametrize(
    "call",
    [
        "post_ledger_transaction(null, false, 'a:b', 'k', 't', null, clock_now(), '{}')",
        "post_ledger_transactions(gen_random_uuid(), false, '{}')",
        "place_ledger_hold(gen_random_uuid(), false, 'a:b', gen_random_uuid(), 1)",
        "release_ledger_hold(gen_random_uuid())",
        "post_ledger_hold(gen_random_uuid(), 'k', 't', gen_random_uuid(), clock_now(), '{}')",
        """seal_ledger_block('{"x-hasura-role": "service"}')""",
    ],
)
def test_no_function_of_the_ledger_works_on_a_frozen_snapshot(database, call) -> None:
    with psycopg.connect(database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(psycopg.Error, match="run under read committed") as failure:
            connection.execute(f"select {call}")
        assert failure.value.sqlstate == "P0004"


def test_a_wallet_cannot_be_overdrawn(db, post, tenant) -> None:
    wallet = db.execute(
        "select id from ledger_accounts where customer_id = %s", [tenant.customer_id]
    ).fetchone()["id"]
    issued = db.execute(
        "select ledger_account(%s, false, 'credits_issued', 'asset', 'XCR')",
        [tenant.organization_id],
    ).fetchone()["ledger_account"]
    post("grant:1", [(issued, 500), (wallet, -500)])

    with pytest.raises(psycopg.Error) as failure:
        post("spend:1", [(wallet, 501), (issued, -501)])
    assert failure.value.sqlstate == "23514"
