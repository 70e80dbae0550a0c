import pytest
from books import Connection, Money, Tenant
from mandates import Autopay


@pytest.fixture
def autopay(db: Connection, money: Money, tenant: Tenant) -> Autopay:
    """One customer's autopay, at noon of the first of June 2027, in a zone of no surprises."""
    autopay = Autopay(db, money, tenant)
    autopay.at("2027-06-01T12:00Z")
    return autopay
