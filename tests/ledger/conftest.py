"""Three accounts of one tenant, and facts that move an amount among them, in few words."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from books import Connection, Tenant

BOOK = """
select post_ledger_transactions(%s, false, array(
    select row(key, kind, 'test', reference_id, %s, debit, credit, amount)::ledger_posting
    from unnest(%s::text[], %s::text[], %s::uuid[], %s::uuid[], %s::uuid[], %s::bigint[])
        with ordinality as fact (key, kind, reference_id, debit, credit, amount, place)
    order by place
)) as id
"""
# A batch is booked in one of three ways, by its size.
SIZES = {"single": 1, "few": 3, "many": 7}


class Fact(NamedTuple):
    """What is booked: an account is named as in the fixture, or by its id."""

    key: str
    debit: Any
    credit: Any
    amount: int | None
    kind: str = "sale"


Post = Callable[..., UUID]
Batch = Callable[[Iterable[Fact]], list[UUID]]
Books = Callable[[], tuple[list[Any], ...]]


def book(db: Connection, organization_id: UUID, facts: Iterable[Fact]) -> list[UUID]:
    """Book facts in one call; returns their ids."""
    keys, debits, credits_, amounts, kinds = zip(*facts, strict=True)
    at = datetime(2026, 11, 21, tzinfo=UTC)
    ids = [uuid4() for _ in keys]
    rows = db.execute(
        BOOK,
        [organization_id, at, *map(list, (keys, kinds, ids, debits, credits_, amounts))],
    )
    return [row["id"] for row in rows]


@pytest.fixture
def accounts(db: Connection, tenant: Tenant) -> dict[str, UUID]:
    names = {"cash": "asset", "sales": "revenue", "fees": "expense"}
    return {
        name: db.execute(
            "select ledger_account(%s, false, %s, %s, 'USD')",
            [tenant.organization_id, name, kind],
        ).fetchone()["ledger_account"]
        for name, kind in names.items()
    }


@pytest.fixture
def post(db: Connection, tenant: Tenant, accounts: dict[str, UUID]) -> Post:
    """Book one fact by the function for one."""

    def run(key: str, debit: Any, credit: Any, amount: int | None) -> UUID:
        return db.execute(
            "select post_ledger_transaction(%s, false, %s, 'sale', 'test', %s, %s, %s, %s, %s)"
            " as id",
            [
                tenant.organization_id,
                key,
                uuid4(),
                datetime(2026, 11, 21, tzinfo=UTC),
                accounts.get(debit, debit),
                accounts.get(credit, credit),
                amount,
            ],
        ).fetchone()["id"]

    return run


@pytest.fixture
def batch(db: Connection, tenant: Tenant, accounts: dict[str, UUID]) -> Batch:
    """Book any number of facts by the function for many."""

    def run(facts: Iterable[Fact]) -> list[UUID]:
        asked = [
            one._replace(
                debit=accounts.get(one.debit, one.debit),
                credit=accounts.get(one.credit, one.credit),
            )
            for one in facts
        ]
        return book(db, tenant.organization_id, asked)

    return run


@pytest.fixture(params=SIZES)
def among(request: pytest.FixtureRequest, batch: Batch) -> Post:
    """Book one fact alone, with a few good ones, with many: its place is in the midst of them."""
    size = SIZES[request.param]

    def run(key: str, debit: Any, credit: Any, amount: int | None) -> UUID:
        facts = [Fact(f"beside:{n}", "fees", "sales", 7) for n in range(size)]
        facts[size // 2] = Fact(key, debit, credit, amount)
        return batch(facts)[size // 2]

    return run


@pytest.fixture
def books(db: Connection) -> Books:
    """All that is booked, and each balance: two answers alike mean that nothing was left."""

    def run() -> tuple[list[Any], ...]:
        return (
            db.execute(
                "select id, balance, held from ledger_accounts where balance <> 0 or held <> 0"
                " order by id"
            ).fetchall(),
            db.execute("select * from ledger_transactions order by id").fetchall(),
            db.execute("select * from ledger_entries order by created_at, amount").fetchall(),
        )

    return run
