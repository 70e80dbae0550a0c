"""Money on its way back, as tests send it: paid purchases, refunds, disputes, gateways' words."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from books import Connection, Money, Tenant


@dataclass(frozen=True)
class Desk(Money):
    """The money functions with those that give money back."""

    def paid(self, key: str = "key-1", amount: int = 2500) -> dict[str, Any]:
        """A purchase that is paid and granted: 250 credits for 25 dollars."""
        row = self.open(key=key, amount=amount)
        event = self.receive(row["payment_attempt_id"], amount=amount, gateway_session_id=None)
        assert event["status"] == "applied"
        return row

    def refund(self, intent_id: UUID, **changes: Any) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "payment_intent_id": intent_id,
            "payment_attempt_id": None,
            "amount": None,
            "type": None,
            "reason": "requested_by_customer",
            "note": None,
            "key": "refund-1",
        }
        (row,) = self.call("open_refund", **(asked | changes))
        return row

    def tell(self, **said: Any) -> dict[str, Any]:
        """Hand in a gateway's message: what it says, and what belongs to the message itself."""
        event: dict[str, Any] = {
            "gateway": "stripe",
            "gateway_account": "",
            "livemode": False,
            "event_id": f"evt_{uuid4().hex}",
            "type": "refund.updated",
            "occurred_at": "2026-11-21T12:00:00Z",
            "payload": {"id": "evt"},
        }
        for name in list(event):
            event[name] = said.pop(name, event[name])
        (row,) = self.call("receive_gateway_event", **event, notice=said)
        return row

    def say(self, refund: dict[str, Any], outcome: str, **changes: Any) -> dict[str, Any]:
        """What the gateway says of a refund of ours."""
        said = {
            "subject": "refund",
            "outcome": outcome,
            "refund_id": str(refund["id"]),
            "gateway_refund_id": f"re_{refund['id']}",
            "gateway_payment_id": f"pi_{refund['payment_attempt_id']}",
            "amount": refund["amount"],
            "currency": refund["currency"],
        }
        return self.tell(**(said | changes))

    def dispute(self, attempt_id: UUID, outcome: str, **changes: Any) -> dict[str, Any]:
        """What the gateway says of a dispute about a payment."""
        said = {
            "subject": "dispute",
            "outcome": outcome,
            "gateway_dispute_id": "dp_1",
            "gateway_payment_id": f"pi_{attempt_id}",
            "amount": 2500,
            "currency": "USD",
            "reason": "fraudulent",
        }
        return self.tell(**(said | changes))

    def row(self, table: str, row_id: object) -> dict[str, Any]:
        found = self.db.execute(f"select * from {table} where id = %s", [row_id]).fetchone()
        assert found is not None
        return found

    def acting(self, **session: str | None) -> "Desk":
        """The same desk, asked by another session; None takes a variable out."""
        changed = self.session | {
            f"x-hasura-{name.replace('_', '-')}": value for name, value in session.items()
        }
        return Desk(self.db, {key: value for key, value in changed.items() if value is not None})


def balances(db: Connection, tenant: Tenant) -> dict[str, int]:
    """Every account with a balance, by code and currency; a gateway's as `gateway`."""
    rows = db.execute(
        "select split_part(code, ':', 1) as code, currency, sum(balance)::bigint as balance"
        " from ledger_balances where organization_id = %s and balance <> 0 group by 1, 2",
        [tenant.organization_id],
    ).fetchall()
    return {f"{row['code']} {row['currency']}": row["balance"] for row in rows}


def listed(db: Connection) -> set[str]:
    """The classes of exceptions that are open."""
    rows = db.execute("select class from exceptions where resolved_at is null").fetchall()
    return {row["class"] for row in rows}


def told(db: Connection, object_id: object) -> list[str]:
    rows = db.execute(
        "select type from events where object_id = %s order by sequence", [object_id]
    ).fetchall()
    return [row["type"] for row in rows]


def resolve_by_hand(money: Money, class_: str) -> None:
    """Have somebody of finance take the one open line of a class off the list."""
    money.db.execute(
        "insert into organization_members (user_id, organization_id, role, set_by)"
        " values ('meera', %s, 'finance', 'test')",
        [money.session["x-hasura-organization-id"]],
    )
    (line,) = money.db.execute(
        "select id from exceptions where class = %s and resolved_at is null", [class_]
    ).fetchall()
    words = {"x-hasura-user-id": "meera", "x-hasura-actor-role": "finance"}
    replace(money, session=money.session | words).call(
        "resolve_exception_by_hand", exception_id=line["id"], reason="seen", key="seen"
    )
