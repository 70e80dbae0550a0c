"""The chain: what is sealed, that postings need not wait for it, and that tampering shows."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

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
        " clock_now(), array[(ledger_account(%(o)s, false, 'cash', 'asset', 'USD'), 5),"
        " (ledger_account(%(o)s, false, 'sales', 'revenue', 'USD'), -5)]::ledger_line[])",
        {"o": organization_id, "k": f"sale:{number}"},
    )


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
    organization_id = ledger.execute(
        "select organization_id from ledger_transactions limit 1"
    ).fetchone()["organization_id"]
    for number in range(10, 17):
        book(ledger, organization_id, number)

    sizes = [row["transactions"] for _ in range(4) for row in seal(ledger, 3)]
    assert sizes == [3, 3, 2]
    assert asyncio.run(chain.verify(database)).unsealed == 0


def test_what_commits_late_is_sealed_by_a_later_block(database, ledger) -> None:
    organization_id = ledger.execute(
        "select organization_id from ledger_transactions limit 1"
    ).fetchone()["organization_id"]
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
    organization_id = ledger.execute(
        "select organization_id from ledger_transactions limit 1"
    ).fetchone()["organization_id"]
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
        " reference_id, occurred_at, written_in) select organization_id, livemode, 'late', kind,"
        " reference_type, reference_id, occurred_at, 0 from ledger_transactions limit 1"
    )
    found = asyncio.run(chain.verify(database))
    assert len(found.broken) == 1
    assert "(late) is older than the last block" in found.broken[0]


def test_what_was_sealed_without_balancing_is_found(database, ledger) -> None:
    ledger.execute("set session_replication_role = replica")
    ledger.execute(
        "update ledger_entries set amount = 6 where position = 1 and ledger_transaction_id ="
        " (select id from ledger_transactions where key = 'sale:4')"
    )
    ledger.execute("reset session_replication_role")
    seal(ledger)

    found = asyncio.run(chain.verify(database))
    assert len(found.broken) == 1
    assert found.broken[0].endswith("does not balance")


TAMPERING = {
    "an entry's tenant": (
        "update ledger_entries set organization_id = gen_random_uuid()"
        " where ledger_transaction_id = %(id)s"
    ),
    "an entry's mode": (
        "update ledger_entries set livemode = true where ledger_transaction_id = %(id)s"
    ),
    "an entry's number": (
        "update ledger_entries set id = default where ledger_transaction_id = %(id)s"
    ),
    "an entry's time": (
        "update ledger_entries set created_at = '2001-01-01Z' where ledger_transaction_id = %(id)s"
    ),
    "an entry's currency": (
        "update ledger_entries set currency = 'EUR' where ledger_transaction_id = %(id)s"
    ),
    "an entry's place": (
        "update ledger_entries set position = position + 5 where ledger_transaction_id = %(id)s"
    ),
    "two entries as one": (
        "with gone as (delete from ledger_entries where ledger_transaction_id = %(id)s"
        " and position = 2 returning *) update ledger_entries as e set currency = e.currency"
        " || ' ' || e.amount || ' ' || e.balance_after || ' 0' || chr(10) || '2 ' || gone.id"
        " from gone where e.ledger_transaction_id = %(id)s and e.position = 1"
    ),
    "a line's end in a key": (
        "update ledger_transactions set key = key || chr(10) || kind, kind = reference_type,"
        " reference_type = 'x' where id = %(id)s"
    ),
    "a tenant": (
        "update ledger_transactions set organization_id = gen_random_uuid() where id = %(id)s"
    ),
    "a mode": "update ledger_transactions set livemode = not livemode where id = %(id)s",
    "a kind": "update ledger_transactions set kind = 'other' where id = %(id)s",
    "a reference": (
        "update ledger_transactions set reference_id = gen_random_uuid() where id = %(id)s"
    ),
    "a reference's type": "update ledger_transactions set reference_type = 'x' where id = %(id)s",
    "what it reverses": "update ledger_transactions set reverses_id = %(id)s where id = %(id)s",
    "when it was booked": (
        "update ledger_transactions set created_at = created_at + interval '1 second'"
        " where id = %(id)s"
    ),
    "an account's code": (
        "update ledger_accounts set code = 'cashbox' where code = 'cash' and"
        " exists (select from ledger_transactions where id = %(id)s)"
    ),
    "an account's type": (
        "update ledger_accounts set account_type = 'equity' where code = 'cash' and"
        " exists (select from ledger_transactions where id = %(id)s)"
    ),
    "an account's customer": (
        "update ledger_accounts set customer_id = gen_random_uuid() where code = 'cash' and"
        " exists (select from ledger_transactions where id = %(id)s)"
    ),
    "a seal's block": (
        "update ledger_seals set ledger_block_number = 3, position = 9"
        " where ledger_transaction_id = %(id)s"
    ),
    "a block's count": "update ledger_blocks set transactions = 7 where number = 2",
    "a block's link": (
        "update ledger_blocks set previous_hash = sha256(previous_hash) where number = 2"
    ),
    "an amount": "update ledger_entries set amount = 9 where ledger_transaction_id = %(id)s",
    "a balance": "update ledger_entries set balance_after = 0 where ledger_transaction_id = %(id)s",
    "an account": (
        "update ledger_entries set ledger_account_id = gen_random_uuid()"
        " where ledger_transaction_id = %(id)s"
    ),
    "a time": (
        "update ledger_transactions set occurred_at = occurred_at + interval '1 microsecond'"
        " where id = %(id)s"
    ),
    "a key": "update ledger_transactions set key = 'sale:9' where id = %(id)s",
    "an entry": "delete from ledger_entries where ledger_transaction_id = %(id)s and position = 1",
    "a transaction": "delete from ledger_transactions where id = %(id)s",
    "a seal": "delete from ledger_seals where ledger_transaction_id = %(id)s",
    "a block": "delete from ledger_blocks where number = 2",
    "a block's hash": "update ledger_blocks set hash = sha256(hash) where number = 2",
    "a seal's hash": "update ledger_seals set hash = sha256(hash) where ledger_block_number = 2",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_shows_and_names_its_place(database, ledger, what, capsys) -> None:
    row = ledger.execute(
        "select ledger_transaction_id from ledger_seals where position = 1"
    ).fetchone()
    ledger.execute("set session_replication_role = replica")
    ledger.execute(TAMPERING[what], {"id": row["ledger_transaction_id"]})

    found = asyncio.run(chain.verify(database))
    assert found.broken
    if "_transactions" in TAMPERING[what] or "_entries" in TAMPERING[what]:
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
        "update ledger_entries set amount = amount * 2, balance_after = balance_after * 2"
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
