"""What is asked of each server: the same work in each one's own words, as bytes ready to send."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from race import world

SECRET = "a secret of the race"
JWT_KEY = "a key of the race, which is long enough for HS256"

Variables = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request. `marker` is in every right answer, `make` draws the variables.

    `postgraphile` says how it is asked there, and with which variables. `token` speaks to the
    engine with a JWT instead of the admin secret and a role.
    """

    name: str
    query: str
    make: Callable[[random.Random], Variables]
    marker: str
    postgraphile: str
    token: bool = False


def by_pk(draw: random.Random) -> Variables:
    return {"id": 7 + 10 * draw.randrange(world.TRANSACTIONS // 10)}


def new_row(draw: random.Random) -> Variables:
    client = draw.randrange(1, world.CLIENTS)
    amount = draw.randrange(100, 10_000)
    return {"row": {"client_id": client, "amount": amount, "status": "open", "note": "new"}}


def deposit(draw: random.Random) -> Variables:
    return {"id": 7 + 10 * draw.randrange(world.CLIENTS // 10), "by": draw.randrange(1, 1000)}


def listing(draw: random.Random) -> Variables:
    return {"status": draw.choice(world.STATUSES)}


BY_PK = Workload(
    "by-pk query",
    "query Pay($id: bigint!) { transactions_by_pk(id: $id)"
    " { id client_id amount currency status note created_at } }",
    by_pk,
    '"amount":',
    "query Pay($id: BigInt!) { transactionById(id: $id)"
    " { id clientId amount currency status note createdAt } }",
)

WORKLOADS = (
    BY_PK,
    Workload(
        "insert",
        "mutation New($row: transactions_insert_input!)"
        " { insert_transactions_one(object: $row) { id status created_at } }",
        new_row,
        '"status":"open"',
        "mutation New($row: TransactionInput!) { createTransaction(input: {transaction: $row})"
        " { transaction { id status createdAt } } }",
    ),
    Workload(
        "function mutation",
        "mutation Deposit($id: bigint!, $by: bigint!)"
        " { deposit(args: {balance_id: $id, by: $by}) { id amount } }",
        deposit,
        '"amount":',
        "mutation Deposit($id: BigInt!, $by: BigInt!)"
        " { deposit(input: {balanceId: $id, by: $by}) { balances { id amount } } }",
    ),
    Workload(
        "100 rows, nested",
        "query List($status: String!) { transactions("
        "where: {status: {_eq: $status}}, order_by: {id: asc}, limit: 100)"
        " { id amount currency status created_at client { id name email } } }",
        listing,
        '"client":{',
        "query List($status: String!) { allTransactionsList("
        "condition: {status: $status, organizationId: 7}, first: 100, orderBy: PRIMARY_KEY_ASC)"
        " { id amount currency status createdAt clientByClientId { id name email } } }",
    ),
)

# The engine's own price of a token, against the same bare endpoint, which asks for none.
TOKEN = Workload("by-pk, token", BY_PK.query, by_pk, BY_PK.marker, BY_PK.postgraphile, token=True)


def named(name: str) -> Workload:
    return next(item for item in (*WORKLOADS, TOKEN) if item.name == name)
