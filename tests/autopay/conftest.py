import pytest
from books import Connection, Money, Tenant, settle
from mandates import Autopay, move_clock

JUNE = "2027-06-01T12:00Z"


@pytest.fixture
def tenant(db: Connection) -> Tenant:
    """One who comes in June 2027, whatever the year is: prices hold from when they are set."""
    move_clock(db, JUNE)
    return settle(db)


@pytest.fixture
def autopay(db: Connection, money: Money, tenant: Tenant) -> Autopay:
    """One customer's autopay, at noon of the first of June 2027, in a zone of no surprises."""
    return Autopay(db, money, tenant)


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick does all that is to be done, however slow the machine is."""
    monkeypatch.setattr("app.budget.CRON_SECONDS_MAX", 110)
