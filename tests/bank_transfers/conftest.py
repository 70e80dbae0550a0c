"""An office of three people, an account at a bank, and orders that wait for their money."""

from dataclasses import dataclass
from typing import Any, Self

import psycopg
import pytest
from books import Connection, Tenant, settle
from orders.conftest import Office, stock

PEOPLE = {"meera": "finance", "chandan": "finance", "omkar": "owner", "dev": "dispatcher"}
NUMBER = "50200012345678"


@dataclass(frozen=True)
class Counter(Office):
    """What people of the organisation do about its bank's statement."""

    def by(self, user: str, **session: str | None) -> Self:
        """The same counter, asked by one of the office."""
        told = {"user_id": user, "actor_role": PEOPLE.get(user, "finance")} | session
        return self.acting(**told)

    def account(self, **changes: Any) -> dict[str, Any]:
        """An account that Meera has entered and Chandan opened."""
        asked = {
            "holder_name": "Campus Trucking Private Limited",
            "bank_name": "HDFC Bank",
            "account_number": NUMBER,
            "ifsc": "HDFC0000123",
        }
        (row,) = self.by("meera").call("add_bank_account", **(asked | changes))
        (row,) = self.by("chandan").call("approve_bank_account", bank_account_id=row["id"])
        return row

    def order(self, reference: str = "BK-17", amount: int = 245000) -> dict[str, Any]:
        """An order that has a page, and no attempt yet."""
        (row,) = self.call(
            "open_payment_page",
            reference=reference,
            customer_external_id="SHP-1",
            amount=amount,
            currency="INR",
            title=f"Booking {reference}",
            metadata={},
            success_url="https://shop.example/payment-success",
            cancel_url="https://shop.example/payment-cancelled",
        )
        return row

    def enter(self, account: dict[str, Any], user: str = "meera", **changes: Any) -> Any:
        asked: dict[str, Any] = {
            "bank_account_id": account["id"],
            "kind": "receipt",
            "rail": "neft",
            "reference": "AXISCN1153863727",
            "amount": 245000,
            "value_date": self.today(),
            "payer_name": "Asha Logistics",
            "note": None,
            "order_display_id": None,
            "refund_id": None,
            "returned_id": None,
        }
        asked |= changes
        asked.setdefault("key", f"{asked['kind']}-{asked['reference']}")
        (row,) = self.by(user).call("record_bank_transfer", **asked)
        return row

    def approve(self, transfer: dict[str, Any], user: str = "chandan") -> dict[str, Any]:
        (row,) = self.by(user).call("approve_bank_transfer", bank_transfer_id=transfer["id"])
        return row

    def reject(self, transfer: dict[str, Any], user: str = "chandan") -> dict[str, Any]:
        (row,) = self.by(user).call(
            "reject_bank_transfer", bank_transfer_id=transfer["id"], reason="not on the statement"
        )
        return row

    def match(self, transfer: dict[str, Any], order: dict[str, Any], user: str = "meera") -> Any:
        (row,) = self.by(user).call(
            "match_bank_transfer",
            bank_transfer_id=transfer["id"],
            order_display_id=order["display_id"],
        )
        return row

    def arrive(self, account: dict[str, Any], order: dict[str, Any], **changes: Any) -> Any:
        """A receipt for an order that both people have seen."""
        return self.approve(self.enter(account, order_display_id=order["display_id"], **changes))

    def sweep(self) -> int:
        """The cron's part, as often as it finds something."""
        swept = 0
        while self.cron().call("settle_due_bank_transfer"):
            swept += 1
        return swept

    def cron(self) -> Self:
        return self.acting(organization_id=None)

    def member(self, user: str, role: str, status: str = "active") -> None:
        self.acting(actor_role="operator").call(
            "set_organization_member", user_id=user, role=role, status=status
        )

    def today(self) -> Any:
        return self.value("select (clock_now() at time zone 'UTC')::date")

    def value(self, query: str, *arguments: Any) -> Any:
        row = self.db.execute(query, arguments).fetchone()
        assert row is not None
        (value,) = row.values()
        return value

    def status(self, order: dict[str, Any]) -> str:
        status: str = self.row("payment_intents", order["payment_intent_id"])["status"]
        return status

    def state_word(self, order: dict[str, Any]) -> str:
        """How an order stands in UberTruck's words."""
        query = "select transaction_status from payment_page_states where token = %s"
        return str(self.value(query, order["token"]))

    def refused(self, function: str, *arguments: Any, **named: Any) -> str:
        """The code that a call is refused with; it must be."""
        with pytest.raises(psycopg.Error) as failure, self.db.transaction():
            getattr(self, function)(*arguments, **named)
        return str(failure.value.diag.message_primary).partition(":")[0]


def staffed(db: Connection, tenant: Tenant) -> Counter:
    office = stock(db, tenant)
    counter = Counter(office.db, office.session, office.organization_id)
    for user, role in PEOPLE.items():
        counter.member(user, role)
    return counter


@pytest.fixture
def counter(db: Connection, tenant: Tenant) -> Counter:
    return staffed(db, tenant)


@pytest.fixture
def other_counter(db: Connection) -> Counter:
    return staffed(db, settle(db))


@pytest.fixture
def account(counter: Counter) -> dict[str, Any]:
    return counter.account()
