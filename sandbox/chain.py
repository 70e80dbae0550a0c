"""Prove the ledger's chain from the outside: rows are read, and every hash is made again here.

Nothing of the database's own functions is trusted. What is proved: each sealed transaction reads as
it did when it was sealed, no sealed transaction is gone, and each block follows the one before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg

START = bytes(32)
BATCH = 5_000

BLOCKS = "select number, transactions, previous_hash, hash from ledger_blocks order by number"
SEALED = """
select
    seals.ledger_block_number as block, seals.hash as sealed_hash, seals.ledger_transaction_id,
    transactions.id, transactions.organization_id, transactions.livemode, transactions.key,
    transactions.kind, transactions.reference_type, transactions.reference_id,
    reversals.reverses_id, transactions.currency, transactions.amount::bigint as amount,
    -- As text: a date may be one that Python has not.
    trunc(extract(epoch from transactions.occurred_at) * 1000000)::text as occurred,
    concat_ws(
        ' ', debited.id, debited.code, debited.part, debited.account_type,
        coalesce(debited.customer_id::text, '-'), transactions.debit_balance_after,
        trunc(extract(epoch from transactions.debited_at) * 1000000)
    ) as debit,
    concat_ws(
        ' ', credited.id, credited.code, credited.part, credited.account_type,
        coalesce(credited.customer_id::text, '-'), transactions.credit_balance_after,
        trunc(extract(epoch from transactions.credited_at) * 1000000)
    ) as credit
from ledger_seals as seals
left join ledger_transactions as transactions on transactions.id = seals.ledger_transaction_id
left join ledger_reversals as reversals on reversals.ledger_transaction_id = transactions.id
left join ledger_accounts as debited on debited.id = transactions.debit_account_id
left join ledger_accounts as credited on credited.id = transactions.credit_account_id
order by seals.ledger_block_number, seals.position
"""
KNOWN = "select exists (select from ledger_blocks where hash = $1)"
UNSEALED = """
select count(*) from ledger_transactions as transactions
where not exists (
    select from ledger_seals where ledger_seals.ledger_transaction_id = transactions.id
)
"""

# Whatever is older than the last block's horizon had ended when it was sealed, so a block has it. A
# block that came from a dump (see ledger_blocks.sealed_in) counts by another database's numbers.
PASSED_OVER = """
select transactions.id, transactions.key
from ledger_transactions as transactions
cross join (select *, xmin::text::bigint as here from ledger_blocks order by number desc limit 1)
    as last
where transactions.written_in < last.horizon and last.here = last.sealed_in & 4294967295
    and not exists (
        select from ledger_seals where ledger_seals.ledger_transaction_id = transactions.id
    )
limit 100
"""


@dataclass(frozen=True, slots=True)
class Chain:
    """What was found. `broken` names each fault; empty means that the chain holds."""

    blocks: int
    transactions: int
    unsealed: int
    head: bytes
    broken: list[str]


async def verify(
    url: str, known: bytes | None = None, progress: Callable[[int], None] = lambda _: None
) -> Chain:
    """Read the whole chain in one snapshot; call progress with the number of transactions read.

    `known` is a block's hash that was noted outside the database at some time. Whoever can write
    every table can make a whole new chain, but none that contains that hash.
    """
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            found = await _verify(connection, progress)
            if known and not await connection.fetchval(KNOWN, known):
                found.broken.append(f"no block has the hash {known.hex()}")
            return found
    finally:
        await connection.close()


async def _verify(connection: Any, progress: Callable[[int], None]) -> Chain:
    blocks = await connection.fetch(BLOCKS)
    made: dict[int, Any] = {
        block["number"]: hashlib.sha256(block["previous_hash"]) for block in blocks
    }
    counted = dict.fromkeys(made, 0)
    broken, read = [], 0
    async for row in _sealed(connection):
        read += 1
        if row["block"] in made:
            made[row["block"]].update(row["sealed_hash"])
            counted[row["block"]] += 1
        if fault := _fault(row):
            broken.append(fault)
        if read % BATCH == 0:
            progress(read)
    broken += _faults_of_blocks(blocks, made, counted)
    broken += [
        f"transaction {row['id']} ({row['key']}) is older than the last block, and in none"
        for row in await connection.fetch(PASSED_OVER)
    ]
    head = blocks[-1]["hash"] if blocks else START
    return Chain(len(blocks), read, await connection.fetchval(UNSEALED), head, broken)


async def _sealed(connection: Any) -> AsyncIterator[Any]:
    async for row in connection.cursor(SEALED, prefetch=BATCH):
        yield row


def _fault(row: Any) -> str | None:
    if row["id"] is None:
        return f"transaction {row['ledger_transaction_id']} is gone"
    if hashlib.sha256(sealed_text(row).encode()).digest() != row["sealed_hash"]:
        return (
            f"transaction {row['id']} ({row['key']}) is not what was sealed in block {row['block']}"
        )
    return None


def sealed_text(row: Any) -> str:
    """Write a transaction as it is sealed; in SQL ledger_transaction_text says the same."""
    return "\n".join(
        [
            str(row["id"]),
            str(row["organization_id"]),
            "true" if row["livemode"] else "false",
            _one_line(row["key"]),
            _one_line(row["kind"]),
            _one_line(row["reference_type"]),
            str(row["reference_id"]),
            str(row["reverses_id"] or "-"),
            row["occurred"],
            f"{row['currency']} {row['amount']}",
            row["debit"],
            row["credit"],
        ]
    )


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _faults_of_blocks(
    blocks: list[Any], made: dict[int, Any], counted: dict[int, int]
) -> list[str]:
    faults, previous = [], START
    for place, block in enumerate(blocks, start=1):
        number = block["number"]
        if number != place:
            faults.append(f"block {place} is missing")
            break
        if block["previous_hash"] != previous:
            faults.append(f"block {number} does not follow block {number - 1}")
        if counted[number] != block["transactions"]:
            faults.append(f"block {number} has {counted[number]} of {block['transactions']} seals")
        if made[number].digest() != block["hash"]:
            faults.append(f"block {number} does not match its transactions")
        previous = block["hash"]
    return faults
