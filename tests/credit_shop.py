"""A shop that takes credits: the doors of spending in few words, and the lots as they stand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from books import Connection, Money, Tenant, broken_invariants

ACTOR = "x-hasura-actor-role"


@dataclass(frozen=True)
class Shop:
    """Acts for the organisation of a tenant, on behalf of its customer."""

    db: Connection
    tenant: Tenant
    customer_id: UUID = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "customer_id", self.tenant.customer_id)

    def acting(self, role: str | None = None, **session: str) -> Money:
        actor: Mapping[str, str] = {ACTOR: role} if role else {}
        return Money(self.db, {**self.tenant.session, **actor, **session})

    def spend(self, amount: object, key: str | None = None, **changes: Any) -> dict[str, Any]:
        asked = {
            "customer_id": self.customer_id,
            "amount": Decimal(str(amount)),
            "key": key or uuid4().hex,
            "description": "Lunch",
            "reference": None,
        }
        (row,) = self.acting(changes.pop("role", None)).call("spend_credits", **(asked | changes))
        return row

    def give_back(
        self, spend: dict[str, Any], amount: object = None, key: str | None = None, **changes: Any
    ) -> dict[str, Any]:
        asked = {
            "credit_spend_id": spend["id"],
            "amount": None if amount is None else Decimal(str(amount)),
            "key": key or uuid4().hex,
            "reason": "Order canceled",
        }
        (row,) = self.acting(changes.pop("role", None)).call("return_credits", **(asked | changes))
        return row

    def grant(self, amount: object, key: str | None = None, **changes: Any) -> dict[str, Any]:
        asked = {
            "customer_id": self.customer_id,
            "amount": Decimal(str(amount)),
            "key": key or uuid4().hex,
            "reason": "Welcome",
            "expires_at": None,
        }
        role = changes.pop("role", "finance")
        (row,) = self.acting(role).call("grant_credits", **(asked | changes))
        return row

    def buy(self, amount: int = 2500, **changes: Any) -> UUID:
        """A purchase that is paid; answers its id."""
        money = self.acting()
        row = money.open(key=uuid4().hex, amount=amount, **changes)
        money.receive(row["payment_attempt_id"], amount=amount, currency=row["currency"])
        return row["id"]

    def expire(self, limit: int = 100) -> list[dict[str, Any]]:
        return self.acting().call("expire_credits", limit=limit)

    def set(self, key: str, value: str) -> None:
        self.db.execute(
            "insert into system_settings values (%s, %s, %s)"
            " on conflict (organization_id, key) do update set value = excluded.value",
            [self.tenant.organization_id, key, value],
        )

    def wait(self, **time: int) -> None:
        """Move the clock of the database on."""
        days, hours = time.get("days", 0), time.get("hours", 0)
        self.db.execute(
            "update clock set skew_seconds = skew_seconds + %s", [days * 86400 + hours * 3600]
        )

    def lots(self) -> list[dict[str, Any]]:
        return self.db.execute(
            "select * from credit_lots where customer_id = %s order by expires_at, id",
            [self.customer_id],
        ).fetchall()

    def wallet(self) -> dict[str, Any]:
        return self.db.execute(
            "select * from credit_wallets where customer_id = %s", [self.customer_id]
        ).fetchone()

    def books(self) -> dict[str, int]:
        """The chart with its balances, as `code currency`; what is zero is left out."""
        rows = self.db.execute(
            "select split_part(code, ':', 1) as code, currency, balance from ledger_balances"
            " where organization_id = %s and balance <> 0",
            [self.tenant.organization_id],
        ).fetchall()
        return {f"{row['code']} {row['currency']}": row["balance"] for row in rows}


def faults(db: Connection) -> dict[str, list[dict[str, Any]]]:
    """What is broken, where a test holds and releases credits without a refund that asks for it."""
    found = broken_invariants(db)
    found.pop("invariant_recalls_follow_their_refunds", None)
    return found
