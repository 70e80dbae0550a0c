"""A trucking platform with three gateways, and one shipper of it."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from books import Connection, Tenant, settle
from money_back import Desk

ROUTES = (("razorpay", 1, None), ("payu", 2, None), ("cashfree", 2, ["upi"]))


@dataclass(frozen=True)
class Office(Desk):
    """What the platform asks for its bookings."""

    organization_id: UUID

    def ask(self, **changes: Any) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "reference": "BK-17",
            "customer_external_id": "SHP-1",
            "amount": 245000,
            "currency": "INR",
            "title": "Booking BK-17",
            "metadata": {"booking_id": "BK-17"},
            "gateway": None,
            "method": None,
            "success_url": "https://pay.example/back/{PAYMENT_ATTEMPT_ID}",
            "cancel_url": "https://pay.example/back/{PAYMENT_ATTEMPT_ID}",
        }
        (row,) = self.call("open_order_checkout", **(asked | changes))
        return row

    def hear(self, row: dict[str, Any], outcome: str, **changes: Any) -> dict[str, Any]:
        said = {
            "subject": "payment",
            "outcome": outcome,
            "payment_attempt_id": str(row["payment_attempt_id"]),
            "gateway_payment_id": f"pay_{row['payment_attempt_id']}",
            "amount": row["amount"],
            "currency": row["currency"],
        }
        return self.tell(**(said | {"gateway": row["gateway"]} | changes))

    def acting(self, **session: str | None) -> "Office":
        words = {f"x-hasura-{name.replace('_', '-')}": value for name, value in session.items()}
        kept = {name: value for name, value in (self.session | words).items() if value}
        return replace(self, session=kept)


def stock(db: Connection, tenant: Tenant) -> Office:
    """Give a tenant rupees, routes and a shipper; the platform itself asks."""
    db.execute(
        "insert into payment_settings values (%s, 'INR', 100, 100000000)", [tenant.organization_id]
    )
    db.execute(
        "update customers set external_id = 'SHP-1', phone = '+919812345670', name = 'Asha'"
        " where id = %s",
        [tenant.customer_id],
    )
    for gateway, rank, methods in ROUTES:
        db.execute(
            "insert into gateway_routes"
            " (organization_id, livemode, gateway, currency, rank, methods)"
            " values (%s, false, %s, 'INR', %s, %s)",
            [tenant.organization_id, gateway, rank, methods],
        )
    session = {
        "x-hasura-role": "service",
        "x-hasura-livemode": "false",
        "x-hasura-organization-id": str(tenant.organization_id),
    }
    return Office(db, session, tenant.organization_id)


@pytest.fixture
def office(db: Connection, tenant: Tenant) -> Office:
    return stock(db, tenant)


@pytest.fixture
def other_office(db: Connection) -> Office:
    return stock(db, settle(db))


@pytest.fixture
def nobody() -> str:
    return str(uuid4())
