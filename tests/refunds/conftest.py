"""A desk that sells and gives back, and one paid purchase."""

from typing import Any

import pytest
from books import Connection, Tenant
from in_process import Shop
from money_back import Desk


@pytest.fixture
def desk(db: Connection, tenant: Tenant) -> Desk:
    return Desk(db, tenant.session)


@pytest.fixture
def paid(desk: Desk) -> dict[str, Any]:
    return desk.paid()


@pytest.fixture
def shop(database: str) -> Shop:
    return Shop(database)
