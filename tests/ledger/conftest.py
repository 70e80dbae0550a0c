"""Three accounts of one tenant, and a posting among them in few words."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from books import Connection, Tenant

Post = Callable[..., UUID]


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
    def run(key: str, lines: list[tuple[Any, int]]) -> UUID:
        ids = [accounts.get(account, account) for account, _ in lines]
        return db.execute(
            "select post_ledger_transaction(%s, false, %s, 'sale', 'test', %s, %s,"
            " array(select row(a, m)::ledger_line"
            " from unnest(%s::uuid[], %s::bigint[]) as l(a, m)))",
            [
                tenant.organization_id,
                key,
                uuid4(),
                datetime(2026, 11, 21, tzinfo=UTC),
                ids,
                [amount for _, amount in lines],
            ],
        ).fetchone()["post_ledger_transaction"]

    return run
