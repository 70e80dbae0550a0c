"""The chain: what is sealed, that postings need not wait for it, and that tampering shows."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import asyncpg
import psycopg
import pytest
from books import Connection, broken_invariants, settle
from psycopg.rows import dict_row

from sandbox import chain
from sandbox.commands import main


@pytest.fixture
def ledger(database: str) -> Iterator[Connection]:
    """A committed ledger of five facts in three blocks, the last fact unsealed."""
    with psycopg.connect(database, row_factory=dict_row, autocommit=True) as db:
        tenant = settle(db)
        for number in range(5):
            book(db, tenant.organization_id, number)
            if number in {1, 2, 3}:
                seal(db)
        yield db


def book(db: Connection, organization_id: UUID, number: int) -> None:
    db.execute(
        "select post_ledger_transaction(%(o)s, false, %(k)s, 's', 't', gen_random_uuid(),"
        " clock_now(), ledger_account(%(o)s, false, 'cash', 'asset', 'USD'),"
        " ledger_account(%(o)s, false, 'sales', 'revenue', 'USD'), 5)",
        {"o": organization_id, "k": f"sale:{number}"},
    )


def organization(db: Connection) -> UUID:
    return db.execute("select organization_id from ledger_transactions limit 1").fetchone()[
        "organization_id"
    ]


def seal(db: Connection, limit: int = 10_000) -> list[dict[str, Any]]:
    return db.execute(
        'select * from seal_ledger_block(\'{"x-hasura-role": "service"}\', %s)', [limit]
    ).fetchall()


def test_the_chain_is_proved_from_the_outside(database, ledger) -> None:
    found = asyncio.run(chain.verify(database))

    assert (found.blocks, found.transactions, found.unsealed) == (3, 4, 1)
    assert found.broken == []
    assert broken_invariants(ledger) == {}


def test_sealing_again_with_nothing_new_makes_no_block(ledger) -> None:
    assert len(seal(ledger)) == 1
    assert seal(ledger) == []


def test_a_block_is_cut_at_its_limit_and_the_next_one_goes_on(database, ledger) -> None:
    organization_id = organization(ledger)
    for number in range(10, 17):
        book(ledger, organization_id, number)

    sizes = [row["transactions"] for _ in range(4) for row in seal(ledger, 3)]
    assert sizes == [3, 3, 2]
    assert asyncio.run(chain.verify(database)).unsealed == 0


def test_what_commits_late_is_sealed_by_a_later_block(database, ledger) -> None:
    organization_id = organization(ledger)
    with psycopg.connect(database, row_factory=dict_row) as slow:
        slow.execute("select pg_current_xact_id()")  # its number comes before the next posting's
        book(ledger, organization_id, 20)
        assert seal(ledger)[0]["transactions"] == 2

        ledger.execute("set lock_timeout = '2s'")
        book(slow, organization_id, 21)
        slow.commit()
    assert seal(ledger)[0]["transactions"] == 1
    assert asyncio.run(chain.verify(database)).unsealed == 0


def test_a_database_restored_elsewhere_seals_on(database, ledger) -> None:
    """There the numbers of database transactions begin again, below those of the last block."""
    ledger.execute("set session_replication_role = replica")
    ledger.execute("update ledger_blocks set horizon = horizon + 1000000000")
    ledger.execute("reset session_replication_role")

    assert seal(ledger)[0]["transactions"] == 1
    assert asyncio.run(chain.verify(database)).broken == []


def test_a_restored_ledger_leaves_out_nothing_whatever_the_numbers_are(database, ledger) -> None:
    """The horizon of the last block lies a little ahead, and is passed before the next seal."""
    ledger.execute("set session_replication_role = replica")
    ledger.execute("update ledger_blocks set horizon = horizon + 40")
    ledger.execute("reset session_replication_role")
    organization_id = organization(ledger)
    book(ledger, organization_id, 30)
    for _ in range(60):
        ledger.execute("select pg_current_xact_id()")

    assert seal(ledger)[0]["transactions"] == 2
    assert seal(ledger) == []
    found = asyncio.run(chain.verify(database))
    assert (found.unsealed, found.broken) == (0, [])


def test_what_is_slipped_in_among_the_sealed_is_found(database, ledger) -> None:
    ledger.execute("set session_replication_role = replica")
    ledger.execute(
        "insert into ledger_transactions (organization_id, livemode, key, kind, reference_type,"
        " reference_id, debit_account_id, credit_account_id, currency, amount,"
        " debit_balance_after, credit_balance_after, debited_at, credited_at, occurred_at,"
        " written_in) select organization_id, livemode, 'late', kind, reference_type,"
        " reference_id, debit_account_id, credit_account_id, currency, amount, 0, 0,"
        " '2001-01-01Z', '2001-01-01Z', occurred_at, 0 from ledger_transactions limit 1"
    )
    found = asyncio.run(chain.verify(database))
    assert len(found.broken) == 1
    assert "(late) is older than the last block" in found.broken[0]


ODD = "one\nline\\n and \\\n another\r\u2028\t'"
KEYS = [ODD, "a\nb", "a\\nb", "a\\\nb", "\\", "\n", "a:पैसा", "  ", ""]
TIMES = [
    "infinity", "-infinity", "0044-03-15 12:00:00.000001+00 BC", "12000-01-01Z",
    "1969-12-31 23:59:59.999999Z", "1970-01-01Z", "2026-11-21 10:00:00.123456+05:30",
]  # fmt: skip


def book_words(db: Connection, at: str, **words: str) -> None:
    usual = {"o": organization(db), "key": "odd:1", "kind": "k", "reference_type": "t", "at": at}
    db.execute(
        "select post_ledger_transaction(%(o)s, false, %(key)s, %(kind)s, %(reference_type)s,"
        " gen_random_uuid(), %(at)s, ledger_account(%(o)s, false, 'cash', 'asset', 'USD'),"
        " ledger_account(%(o)s, false, 'sales', 'revenue', 'USD'), 5)",
        usual | words,
    )


def assert_sealed(database: str, db: Connection, count: int) -> None:
    assert seal(db)[0]["transactions"] == count + 1
    found = asyncio.run(chain.verify(database))
    assert (found.broken, found.unsealed) == ([], 0)
    assert broken_invariants(db) == {}
    texts = db.execute(
        "select ledger_transaction_text(ledger_transactions) as it from ledger_transactions"
    ).fetchall()
    assert {row["it"].count("\n") for row in texts} == {11}


@pytest.mark.parametrize("column", ["key", "kind", "reference_type"])
def test_any_text_is_sealed(database, ledger, column) -> None:
    for number, text in enumerate(KEYS):
        book_words(ledger, "2026-11-21Z", **({"key": f"odd:{number}"} | {column: text}))
    assert_sealed(database, ledger, len(KEYS))


@pytest.mark.parametrize("at", TIMES)
def test_any_time_is_sealed(database, ledger, at) -> None:
    book_words(ledger, at)
    assert_sealed(database, ledger, 1)


async def texts_of_both(url: str) -> tuple[dict[UUID, str], dict[UUID, str]]:
    """What is sealed, as the verifier writes it and as the database does."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(chain.SEALED)
        said = await connection.fetch(
            "select id, ledger_transaction_text(ledger_transactions) as it from ledger_transactions"
        )
        return (
            {row["id"]: chain.sealed_text(row) for row in rows},
            {row["id"]: row["it"] for row in said},
        )
    finally:
        await connection.close()


def test_the_verifier_writes_each_line_as_the_database_does(database, ledger) -> None:
    sale = ledger.execute("select id from ledger_transactions limit 1").fetchone()["id"]
    ledger.execute(
        "select reverse_ledger_transaction(%s, %s, 'r', 't', gen_random_uuid(), '-infinity')",
        [sale, ODD],
    )
    customer = ledger.execute("select id, organization_id from customers").fetchone()
    ledger.execute(
        "select post_ledger_transaction(%(o)s, true, 'sale:live', 's', 't', %(part)s, clock_now(),"
        " ledger_account(%(o)s, true, 'cash:a-b', 'asset', 'JPY', %(part)s),"
        " ledger_account(%(o)s, true, 'sales', 'revenue', 'JPY', %(part)s), 9)",
        {"o": customer["organization_id"], "part": UUID(int=13)},
    )
    ledger.execute(
        "select post_ledger_transaction(%(o)s, false, 'grant:1', 's', 't', gen_random_uuid(),"
        " clock_now(), ledger_account(%(o)s, false, 'issued', 'asset', 'XCR'),"
        " (select id from ledger_accounts where customer_id = %(c)s), 7)",
        {"o": customer["organization_id"], "c": customer["id"]},
    )
    seal(ledger)

    ours, theirs = asyncio.run(texts_of_both(database))
    assert ours == theirs
    assert len(ours) == 8
    texts = "\n".join(ours.values())
    assert f" {customer['id']} -7 " in texts
    assert " cash:a-b 13 asset - 9 " in texts
    assert "\ntrue\n" in texts
    assert "\n-Infinity\nUSD 5\n" in texts


def test_no_two_transactions_of_other_words_have_one_text(ledger) -> None:
    """What a line's end in a key could do: the words shift, and the lines stay."""
    shifts = [
        ("a:b\nk", "t", "x"),
        ("a:b", "k\nt", "x"),
        ("a:b", "k", "t\nx"),
        ("a:b\\nk", "t", "x"),
    ]
    texts = {
        ledger.execute(
            "select ledger_transaction_text(jsonb_populate_record(t, jsonb_build_object("
            "'key', %s::text, 'kind', %s::text, 'reference_type', %s::text))) as it"
            " from ledger_transactions as t limit 1",
            words,
        ).fetchone()["it"]
        for words in shifts
    }
    assert len(texts) == len(shifts)


# Nothing of what a row says or of what its accounts are can be another thing than was sealed.
TAMPERING = {
    "an amount": "update ledger_transactions set amount = 9 where id = %(id)s",
    "an amount and both balances": (
        "update ledger_transactions set amount = amount * 2, debit_balance_after ="
        " debit_balance_after * 2, credit_balance_after = credit_balance_after * 2"
        " where id = %(id)s"
    ),
    "a currency": "update ledger_transactions set currency = 'EUR' where id = %(id)s",
    "the debited account": (
        "update ledger_transactions set debit_account_id = gen_random_uuid() where id = %(id)s"
    ),
    "the credited account": (
        "update ledger_transactions set credit_account_id = gen_random_uuid() where id = %(id)s"
    ),
    "another account of the same kind": (
        "with other as (insert into ledger_accounts (organization_id, livemode, code, part,"
        " account_type, currency) select organization_id, livemode, code, 7, account_type,"
        " currency from ledger_accounts where code = 'cash' and part = 0 returning id)"
        " update ledger_transactions set debit_account_id = other.id from other"
        " where ledger_transactions.id = %(id)s"
    ),
    "the direction": (
        "update ledger_transactions set debit_account_id = credit_account_id,"
        " credit_account_id = debit_account_id where id = %(id)s"
    ),
    "the direction with all that belongs to it": (
        "update ledger_transactions set debit_account_id = credit_account_id,"
        " credit_account_id = debit_account_id, debit_balance_after = credit_balance_after,"
        " credit_balance_after = debit_balance_after, debited_at = credited_at,"
        " credited_at = debited_at where id = %(id)s"
    ),
    "the debited account's balance": (
        "update ledger_transactions set debit_balance_after = 0 where id = %(id)s"
    ),
    "the credited account's balance": (
        "update ledger_transactions set credit_balance_after = 0 where id = %(id)s"
    ),
    "when it was debited": (
        "update ledger_transactions set debited_at = debited_at + interval '1 microsecond'"
        " where id = %(id)s"
    ),
    "when it was credited": (
        "update ledger_transactions set credited_at = credited_at - interval '1 microsecond'"
        " where id = %(id)s"
    ),
    "when it happened": (
        "update ledger_transactions set occurred_at = occurred_at + interval '1 microsecond'"
        " where id = %(id)s"
    ),
    "when it happened, at no time": (
        "update ledger_transactions set occurred_at = 'infinity' where id = %(id)s"
    ),
    "when it was debited, in a year that Python has not": (
        "update ledger_transactions set debited_at = '20000-01-01Z' where id = %(id)s"
    ),
    "its number": "update ledger_transactions set id = gen_random_uuid() where id = %(id)s",
    "a line's end in a key": (
        "update ledger_transactions set key = key || chr(10) || kind, kind = reference_type,"
        " reference_type = 'x' where id = %(id)s"
    ),
    "two lines as one": (
        "update ledger_transactions set kind = kind || chr(10) || reference_type,"
        " reference_type = '' where id = %(id)s"
    ),
    "a key": "update ledger_transactions set key = 'sale:9' where id = %(id)s",
    "a tenant": (
        "update ledger_transactions set organization_id = gen_random_uuid() where id = %(id)s"
    ),
    "a mode": "update ledger_transactions set livemode = not livemode where id = %(id)s",
    "a kind": "update ledger_transactions set kind = 'other' where id = %(id)s",
    "a reference": (
        "update ledger_transactions set reference_id = gen_random_uuid() where id = %(id)s"
    ),
    "a reference's type": "update ledger_transactions set reference_type = 'x' where id = %(id)s",
    "what it reverses": (
        "insert into ledger_reversals select id, organization_id, livemode, id"
        " from ledger_transactions where id = %(id)s"
    ),
    "a transaction": "delete from ledger_transactions where id = %(id)s",
}
TAMPERING |= {
    f"{account}'s {column}": (
        f"update ledger_accounts set {column} = {value} where code = '{code}' and"
        " exists (select from ledger_transactions where id = %(id)s)"
    )
    for account, code in (("the debited account", "cash"), ("the credited account", "sales"))
    for column, value in (
        ("code", "'cashbox'"),
        ("part", "9"),
        ("account_type", "'equity'"),
        ("customer_id", "gen_random_uuid()"),
        ("id", "gen_random_uuid()"),
    )
}
OF_THE_CHAIN = {
    "a seal": "delete from ledger_seals where ledger_transaction_id = %(id)s",
    "a seal's block": (
        "update ledger_seals set ledger_block_number = 3, position = 9"
        " where ledger_transaction_id = %(id)s"
    ),
    "a seal's hash": "update ledger_seals set hash = sha256(hash) where ledger_block_number = 2",
    "a block": "delete from ledger_blocks where number = 2",
    "a block's count": "update ledger_blocks set transactions = 7 where number = 2",
    "a block's hash": "update ledger_blocks set hash = sha256(hash) where number = 2",
    "a block's link": (
        "update ledger_blocks set previous_hash = sha256(previous_hash) where number = 2"
    ),
    "an account that is gone": (
        "delete from ledger_accounts where code = 'cash' and"
        " exists (select from ledger_transactions where id = %(id)s)"
    ),
}
ALL = TAMPERING | OF_THE_CHAIN


def test_no_column_of_a_transaction_is_left_out(ledger) -> None:
    """Each is changed by something in the list, but what nobody says: the writer's number."""
    columns = ledger.execute(
        "select column_name as it from information_schema.columns"
        " where table_name = 'ledger_transactions'"
    ).fetchall()
    assert {row["it"] for row in columns} - {"written_in"} == {
        row["it"]
        for row in columns
        for change in TAMPERING.values()
        if f"set {row['it']} = " in change
    }


@pytest.mark.parametrize("what", ALL)
def test_tampering_shows_and_names_its_place(database, ledger, what, capsys) -> None:
    row = ledger.execute(
        "select ledger_transaction_id from ledger_seals where position = 1"
    ).fetchone()
    ledger.execute("set session_replication_role = replica")
    ledger.execute(ALL[what], {"id": row["ledger_transaction_id"]})

    found = asyncio.run(chain.verify(database))
    assert found.broken
    if what in TAMPERING:
        assert str(row["ledger_transaction_id"]) in found.broken[0]
    with pytest.raises(SystemExit, match="the ledger's chain is broken"):
        main(["verify-ledger", "--database-url", database])
    assert found.broken[0] in capsys.readouterr().out


def test_a_chain_made_anew_does_not_contain_a_head_that_was_noted(database, ledger) -> None:
    head = asyncio.run(chain.verify(database)).head
    assert asyncio.run(chain.verify(database, head)).broken == []

    ledger.execute("set session_replication_role = replica")
    ledger.execute("delete from ledger_seals; delete from ledger_blocks")
    ledger.execute(
        "update ledger_transactions set amount = amount * 2, debit_balance_after ="
        " debit_balance_after * 2, credit_balance_after = credit_balance_after * 2"
    )
    seal(ledger)

    assert asyncio.run(chain.verify(database)).broken == []
    assert asyncio.run(chain.verify(database, head)).broken == [
        f"no block has the hash {head.hex()}"
    ]
    with pytest.raises(SystemExit, match="broken in 1 places"):
        main(["verify-ledger", "--database-url", database, "--known", head.hex()])


@pytest.mark.parametrize("text", ["xyz", "00", "0" * 65])
def test_a_hash_that_is_none_is_refused(text, capsys) -> None:
    with pytest.raises(SystemExit) as failure:
        main(["verify-ledger", "--database-url", "postgresql://", "--known", text])
    assert failure.value.code == 2
    assert "64 hexadecimal digits" in capsys.readouterr().err
