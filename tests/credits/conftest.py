import pytest
from books import Connection, Tenant
from credit_shop import Shop


@pytest.fixture
def shop(db: Connection, tenant: Tenant) -> Shop:
    return Shop(db, tenant)
