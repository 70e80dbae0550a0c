"""A desk that sells and gives back, and one paid purchase."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from books import Connection, Tenant
from money_back import Desk


@pytest.fixture
def desk(db: Connection, tenant: Tenant) -> Desk:
    return Desk(db, tenant.session)


@pytest.fixture
def paid(desk: Desk) -> dict[str, Any]:
    return desk.paid()


@pytest.fixture
def paid_by_oldpay() -> Callable[[str], None]:
    """Have every payment of a database stand there a second time, at a gateway called oldpay."""

    def copy(url: str) -> None:
        with psycopg.connect(url) as db:
            db.execute("set session_replication_role = replica")
            db.execute(
                "insert into payment_attempts (organization_id, livemode, payment_intent_id,"
                " gateway, amount, currency, gateway_payment_id) select organization_id, livemode,"
                " payment_intent_id, 'oldpay', amount, currency, 'old' from payment_attempts"
            )

    return copy
