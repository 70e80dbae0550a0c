from uuid import UUID, uuid4

import psycopg
import pytest
from books import Connection, Tenant, broken_invariants

FIRST_AND_LAST = [UUID(int=1), UUID(int=2**128 - 1)]  # in the order of locks
SIDES = ["debit", "credit"]


def balance(db: Connection, account: UUID) -> int:
    return db.execute("select balance from ledger_accounts where id = %s", [account]).fetchone()[
        "balance"
    ]


def open_account(db: Connection, account: UUID, **columns: object) -> None:
    usual = {"livemode": False, "status": "active", "currency": "USD", "maximum": None}
    db.execute(
        "insert into ledger_accounts"
        " (id, organization_id, livemode, code, account_type, currency, status, maximum)"
        " values (%(id)s, %(organization_id)s, %(livemode)s, 'vault', 'asset', %(currency)s,"
        " %(status)s, %(maximum)s)",
        {"id": account} | usual | columns,
    )


def sides(side: str, account: object) -> tuple[object, object]:
    """The account on that side, and a good one on the other."""
    return (account, "sales") if side == "debit" else ("sales", account)


@pytest.fixture
def stranger(db: Connection) -> UUID:
    other = uuid4()
    db.execute(
        "insert into organizations (id, name, default_currency) values (%s, 'Other', 'USD')",
        [other],
    )
    return other


def test_a_posting_moves_balances_and_tells_each_balance_after(db, post, accounts) -> None:
    post("sale:1", "cash", "sales", 970)
    transaction = post("sale:2", "cash", "sales", 30)

    entries = db.execute(
        "select ledger_account_id, amount, e.entry_type, balance_after, currency, livemode"
        " from ledger_entries as e where ledger_transaction_id = %s order by entry_type desc",
        [transaction],
    ).fetchall()
    assert [tuple(e.values()) for e in entries] == [
        (accounts["cash"], 30, "debit", 1000, "USD", False),
        (accounts["sales"], -30, "credit", -1000, "USD", False),
    ]
    assert (balance(db, accounts["cash"]), balance(db, accounts["sales"])) == (1000, -1000)
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("account", FIRST_AND_LAST)
@pytest.mark.parametrize("side", SIDES)
def test_each_balance_after_is_its_own_accounts_whichever_has_the_lower_id(
    db, among, tenant, account, side
) -> None:
    open_account(db, account, organization_id=tenant.organization_id)
    among("fee:1", "fees", "cash", 100)
    sale = among("sale:1", *sides(side, account), 30)

    row = db.execute(
        "select balance_after, entry_type, amount from ledger_entries"
        " where ledger_transaction_id = %s and ledger_account_id = %s",
        [sale, account],
    ).fetchone()
    moved = 30 if side == "debit" else -30
    assert row == {"balance_after": moved, "entry_type": side, "amount": moved}
    assert balance(db, account) == moved
    assert broken_invariants(db) == {}


def test_the_same_key_books_once(db, among, accounts, books) -> None:
    first = among("sale:1", "cash", "sales", 1000)
    booked = books()

    assert among("sale:1", "cash", "sales", 1000) == first
    assert books() == booked
    assert balance(db, accounts["cash"]) == 1000


@pytest.mark.parametrize("wallet", FIRST_AND_LAST)
def test_what_is_booked_is_found_when_the_money_is_gone(
    db, post, among, tenant, books, wallet
) -> None:
    open_account(db, wallet, organization_id=tenant.organization_id, maximum=0)
    post("grant:1", "cash", wallet, 500)
    first = among("spend:1", wallet, "cash", 500)
    booked = books()

    assert among("spend:1", wallet, "cash", 500) == first
    assert post("spend:1", wallet, "cash", 500) == first
    assert books() == booked
    with pytest.raises(psycopg.Error) as failure:
        post("spend:1", wallet, "cash", 501)
    assert failure.value.sqlstate == "22B02"


@pytest.mark.parametrize("account", FIRST_AND_LAST)
@pytest.mark.parametrize("side", SIDES)
def test_what_is_booked_is_found_when_an_account_is_closed(
    db, post, among, tenant, books, account, side
) -> None:
    open_account(db, account, organization_id=tenant.organization_id)
    first = among("sale:1", *sides(side, account), 5)
    db.execute("update ledger_accounts set status = 'closed' where id = %s", [account])
    booked = books()

    assert among("sale:1", *sides(side, account), 5) == first
    assert post("sale:1", *sides(side, account), 5) == first
    assert books() == booked


@pytest.mark.parametrize(
    "other",
    [
        ("cash", "sales", 999),
        ("sales", "cash", 1000),
        ("cash", "fees", 1000),
        ("fees", "sales", 1000),
        ("fees", "fees", 1000),
        ("cash", None, 1000),
        (None, "sales", 1000),
        ("cash", UUID(int=5), 1000),
    ],
)
def test_a_key_cannot_change_its_meaning(db, among, books, other) -> None:
    among("sale:1", "cash", "sales", 1000)
    booked = books()

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        among("sale:1", *other)
    assert failure.value.sqlstate == "22B02"
    assert books() == booked


def test_the_same_key_of_another_tenant_is_another_fact(db, post, stranger) -> None:
    first = post("sale:1", "cash", "sales", 5)
    again = db.execute(
        "select post_ledger_transaction(%(o)s, false, 'sale:1', 's', 't', gen_random_uuid(),"
        " clock_now(), ledger_account(%(o)s, false, 'cash', 'asset', 'USD'),"
        " ledger_account(%(o)s, false, 'sales', 'revenue', 'USD'), 6) as id",
        {"o": stranger},
    ).fetchone()["id"]

    assert again != first
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("account", FIRST_AND_LAST)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "columns",
    [{"livemode": True}, {"status": "closed"}, {"currency": "JPY"}, {"organization_id": None}, {}],
    ids=["other mode", "closed", "other currency", "other tenant", "missing"],
)
def test_an_account_that_is_not_open_here_takes_no_posting(
    db, among, tenant, stranger, books, account, side, columns
) -> None:
    if columns:
        owner = stranger if "organization_id" in columns else tenant.organization_id
        open_account(db, account, **(columns | {"organization_id": owner}))
    before = books()

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        among("sale:1", *sides(side, account), 1000)
    assert failure.value.sqlstate == "P0004"
    assert books() == before


@pytest.mark.parametrize(
    ("debit", "credit"),
    [("cash", "cash"), (None, "sales"), ("cash", None), (None, None)],
)
def test_a_posting_has_two_accounts(db, post, among, books, debit, credit) -> None:
    before = books()
    for book in (among, post):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            book("sale:1", debit, credit, 5)
        assert failure.value.sqlstate == "P0004"
    assert books() == before


@pytest.mark.parametrize(
    ("amount", "state"), [(None, "23502"), (0, "23514"), (-1, "23514"), (-(2**63), "22003")]
)
def test_an_amount_is_more_than_nothing(db, post, among, books, amount, state) -> None:
    before = books()
    for book in (among, post):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            book("sale:1", "cash", "sales", amount)
        assert failure.value.sqlstate == state
    assert books() == before


@pytest.mark.parametrize("wallet", FIRST_AND_LAST)
def test_a_wallet_takes_no_negative_amount_either(db, post, among, tenant, wallet) -> None:
    """It would be a grant in the shape of a spending, or the other way."""
    open_account(db, wallet, organization_id=tenant.organization_id, maximum=0)
    post("grant:1", "cash", wallet, 500)

    for debit, credit in ((wallet, "cash"), ("cash", wallet)):
        with pytest.raises(psycopg.Error) as failure, db.transaction():
            among("spend:1", debit, credit, -5)
        assert failure.value.sqlstate == "23514"


@pytest.mark.parametrize("posting", ["null", "row('sale:1', 's', 't', null, null, null, null, 5)"])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_fact_that_names_nothing_is_refused(db, tenant, posting, times) -> None:
    postings = ", ".join([posting] * times)
    with pytest.raises(psycopg.Error) as failure:
        db.execute(
            f"select post_ledger_transactions(%s, false, array[{postings}]::ledger_posting[])",
            [tenant.organization_id],
        )
    assert failure.value.sqlstate == "P0004"


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger_transactions set amount = 1",
        "update ledger_transactions set key = 'other'",
        "update ledger_transactions set debited_at = clock_now()",
        "delete from ledger_transactions",
        "delete from ledger_reversals",
        "update ledger_reversals set reverses_id = ledger_transaction_id",
        "truncate ledger_transactions cascade",
        "update ledger_accounts set currency = 'EUR'",
        "update ledger_accounts set account_type = 'asset'",
        "update ledger_accounts set organization_id = gen_random_uuid()",
        "delete from ledger_accounts",
        "truncate ledger_accounts cascade",
        "delete from events",
        "truncate events cascade",
    ],
)
def test_history_cannot_be_rewritten_even_by_its_owner(db, post, statement) -> None:
    post("sale:1", "cash", "sales", 1000)

    with pytest.raises(psycopg.Error) as failure:
        db.execute(statement)
    assert failure.value.sqlstate == "42501"


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger_entries set amount = 1",
        "delete from ledger_entries",
        "insert into ledger_entries (amount) values (1)",
    ],
)
def test_entries_are_read_and_never_written(db, post, statement) -> None:
    post("sale:1", "cash", "sales", 1000)

    with pytest.raises(psycopg.Error) as failure:
        db.execute(statement)
    assert failure.value.sqlstate == "55000"


@pytest.mark.parametrize("table", ["ledger_accounts", "ledger_transactions", "ledger_entries"])
@pytest.mark.parametrize("verb", ["insert", "update", "delete", "truncate"])
def test_hasura_has_no_privilege_to_write_the_ledger(db, table, verb) -> None:
    granted = db.execute(
        "select has_table_privilege('munim_hasura', %s, %s) as it", [table, verb]
    ).fetchone()

    assert granted["it"] is False


@pytest.mark.parametrize(
    "call",
    [
        "post_ledger_transaction(null, null, null, null, null, null, null, null, null, null)",
        "post_ledger_transactions(null, null, null)",
        "post_few_ledger_transactions(null, null, null)",
        "post_many_ledger_transactions(null, null, null)",
        "post_ledger_fact(null, null, null)",
        "ledger_transaction_instead(null, null, null)",
        "lock_ledger_accounts(null)",
        "reverse_ledger_transaction(null, null, null, null, null, null)",
    ],
)
def test_hasura_cannot_call_a_posting_function(db, call) -> None:
    db.execute("set local role munim_hasura")

    with pytest.raises(psycopg.Error) as failure:
        db.execute(f"select {call}")
    assert failure.value.sqlstate == "42501"


@pytest.mark.parametrize(
    "call",
    [
        "post_ledger_transaction(null, false, 'a:b', 'k', 't', null, clock_now(), null, null, 1)",
        "post_ledger_transactions(gen_random_uuid(), false, '{}')",
        "place_ledger_hold(gen_random_uuid(), false, 'a:b', gen_random_uuid(), 1)",
        "release_ledger_hold(gen_random_uuid())",
        "post_ledger_hold(gen_random_uuid(), 'k', 't', null, clock_now(), null, null, 1)",
        """seal_ledger_block('{"x-hasura-role": "service"}')""",
    ],
)
def test_no_function_of_the_ledger_works_on_a_frozen_snapshot(database, call) -> None:
    with psycopg.connect(database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(psycopg.Error, match="run under read committed") as failure:
            connection.execute(f"select {call}")
        assert failure.value.sqlstate == "P0004"


def test_a_customers_wallet_cannot_be_overdrawn(db, post, among, tenant: Tenant, books) -> None:
    wallet = db.execute(
        "select id from ledger_accounts where customer_id = %s", [tenant.customer_id]
    ).fetchone()["id"]
    issued = db.execute(
        "select ledger_account(%s, false, 'credits_issued', 'asset', 'XCR')",
        [tenant.organization_id],
    ).fetchone()["ledger_account"]
    post("grant:1", issued, wallet, 500)
    before = books()

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        among("spend:1", wallet, issued, 501)
    assert failure.value.sqlstate == "23514"
    assert books() == before
