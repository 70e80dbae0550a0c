"""A shop whose payers come to our page."""

from typing import Any

import pytest
from books import Connection, Tenant, settle
from orders.conftest import Office, stock


class Counter(Office):
    """What payers do on pages, told to the database."""

    def open_page(self, **changes: Any) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "reference": "BK-17",
            "customer_external_id": "SHP-1",
            "amount": 245000,
            "currency": "INR",
            "title": "Booking BK-17",
            "metadata": {},
            "success_url": "https://shop.example/payment-success",
            "cancel_url": "https://shop.example/payment-cancelled",
        }
        (row,) = self.call("open_payment_page", **(asked | changes))
        return row

    def state(self, page: dict[str, Any]) -> dict[str, Any]:
        row = self.db.execute(
            "select * from payment_page_states where token = %s", [page["token"]]
        ).fetchone()
        assert row is not None
        return row

    def choose(self, page: dict[str, Any], method: str = "card", **changes: Any) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "token": page["token"],
            "method": method,
            "gateways": ["razorpay", "payu", "cashfree"],
            "address_hash": "a" * 64,
            "back_url": "https://pay.example/payments/return/{PAYMENT_ATTEMPT_ID}",
        }
        (row,) = self.call("begin_page_attempt", **(asked | changes))
        return row

    def later(self, seconds: int) -> None:
        self.db.execute("update clock set skew_seconds = skew_seconds + %s", [seconds])


def counter_of(db: Connection, tenant: Tenant) -> Counter:
    office = stock(db, tenant)
    return Counter(office.db, office.session, office.organization_id)


@pytest.fixture
def counter(db: Connection, tenant: Tenant) -> Counter:
    return counter_of(db, tenant)


@pytest.fixture
def other_counter(db: Connection) -> Counter:
    return counter_of(db, settle(db))
