from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest
from books import Connection, broken_invariants, settle
from psycopg.rows import dict_row

TRANSACTIONS, THREADS = 200, 16


def reverse(db: Connection, transaction: UUID, key: str = "undo:1") -> UUID:
    return db.execute(
        "select reverse_ledger_transaction(%s, %s, 'reversal', 'test', %s, clock_now()) as id",
        [transaction, key, uuid4()],
    ).fetchone()["id"]


def test_a_reversal_books_the_opposite_and_names_what_it_takes_back(db, post, accounts) -> None:
    post("fee:1", "fees", "cash", 30)
    sale = post("sale:1", "cash", "sales", 970)
    undone = reverse(db, sale)

    assert db.execute("select sum(abs(balance)) from ledger_accounts").fetchone()["sum"] == 60
    row = db.execute(
        "select reverses_id, debit_account_id, credit_account_id, amount"
        " from ledger_transactions join ledger_reversals on ledger_transaction_id = id"
        " where id = %s",
        [undone],
    ).fetchone()
    assert tuple(row.values()) == (sale, accounts["sales"], accounts["cash"], 970)
    assert broken_invariants(db) == {}


def test_a_transaction_is_reversed_once(db, post) -> None:
    sale = post("sale:1", "cash", "sales", 1000)
    assert reverse(db, sale) == reverse(db, sale)

    with pytest.raises(psycopg.Error) as failure:
        reverse(db, sale, "undo:2")
    assert failure.value.sqlstate == "22B09"


def test_a_reversal_under_a_key_that_books_something_else_is_refused(db, post) -> None:
    sale = post("sale:1", "cash", "sales", 1000)
    post("undo:1", "sales", "cash", 1000)

    with pytest.raises(psycopg.Error) as failure:
        reverse(db, sale)
    assert failure.value.sqlstate == "22B02"


def test_a_reversal_is_found_again_when_the_money_is_gone_or_an_account_closed(
    db, post, accounts
) -> None:
    sale = post("sale:1", "cash", "sales", 1000)
    db.execute("update ledger_accounts set minimum = 0 where id = %s", [accounts["cash"]])
    undone = reverse(db, sale)

    assert reverse(db, sale) == undone
    db.execute("update ledger_accounts set status = 'closed' where id = %s", [accounts["sales"]])
    assert reverse(db, sale) == undone
    assert broken_invariants(db) == {}


def test_what_is_spent_since_cannot_be_taken_back(db, post, accounts, books) -> None:
    sale = post("sale:1", "cash", "sales", 1000)
    post("fee:1", "fees", "cash", 1)
    db.execute("update ledger_accounts set minimum = 0 where id = %s", [accounts["cash"]])
    before = books()

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        reverse(db, sale)
    assert failure.value.sqlstate == "23514"
    assert books() == before


def test_a_reversal_is_reversed_as_any_transaction(db, post, accounts) -> None:
    sale = post("sale:1", "cash", "sales", 1000)
    undone = reverse(db, sale)
    reverse(db, undone, "redo:1")

    row = db.execute("select balance from ledger_accounts where id = %s", [accounts["cash"]])
    assert row.fetchone()["balance"] == 1000
    assert broken_invariants(db) == {}


def test_of_three_reversals_at_once_one_is_booked(database) -> None:
    """Every transaction is reversed by three callers with keys of their own, at the same time."""
    with psycopg.connect(database, row_factory=dict_row) as db:
        tenant = settle(db)
        sales = [
            db.execute(
                "select post_ledger_transaction(%(o)s, false, %(k)s, 's', 't', gen_random_uuid(),"
                " clock_now(), ledger_account(%(o)s, false, 'cash', 'asset', 'USD'),"
                " ledger_account(%(o)s, false, 'sales', 'revenue', 'USD'), 5) as id",
                {"o": tenant.organization_id, "k": f"sale:{number}"},
            ).fetchone()["id"]
            for number in range(TRANSACTIONS)
        ]

    def run(thread: int) -> list[str | None]:
        with psycopg.connect(database, row_factory=dict_row, autocommit=True) as db:
            return [
                attempt(db, sales[number // 3], f"undo:{number}")
                for number in range(thread, TRANSACTIONS * 3, THREADS)
            ]

    def attempt(db: Connection, sale: UUID, key: str) -> str | None:
        try:
            reverse(db, sale, key)
        except psycopg.Error as failure:
            return failure.sqlstate
        return None

    with ThreadPoolExecutor(THREADS) as pool:
        answers = [answer for part in pool.map(run, range(THREADS)) for answer in part]
    assert answers.count(None) == TRANSACTIONS
    assert answers.count("22B09") == TRANSACTIONS * 2
    with psycopg.connect(database, row_factory=dict_row) as db:
        assert db.execute("select sum(abs(balance)) from ledger_accounts").fetchone()["sum"] == 0
        assert broken_invariants(db) == {}
