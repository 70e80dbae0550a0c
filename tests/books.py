"""The books as tests keep them: a tenant, the money functions as Hasura calls them, invariants."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

ROOT = Path(__file__).parent.parent
MIGRATIONS = ROOT / "migrations" / "default"

Connection = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class Tenant:
    """An organisation that sells 10 credits for a dollar, and one customer of it."""

    organization_id: UUID
    customer_id: UUID
    user_id: str

    @property
    def session(self) -> dict[str, str]:
        """The session that the service acts with for this customer."""
        return {
            "x-hasura-role": "service",
            "x-hasura-livemode": "false",
            "x-hasura-user-id": self.user_id,
            "x-hasura-organization-id": str(self.organization_id),
            "x-hasura-customer-id": str(self.customer_id),
        }


def settle(connection: Connection) -> Tenant:
    """Write a tenant of random ids."""
    tenant = Tenant(uuid4(), uuid4(), str(uuid4()))
    connection.execute(
        "insert into organizations (id, name, default_currency) values (%s, 'Campus', 'USD')",
        [tenant.organization_id],
    )
    connection.execute(
        "insert into customers (id, organization_id, livemode, user_id, email)"
        " values (%s, %s, false, %s, 'ada@example.com')",
        [tenant.customer_id, tenant.organization_id, tenant.user_id],
    )
    connection.execute(
        "insert into payment_settings values (%s, 'USD', 100, 100000), (%s, 'JPY', 50, 9000000)",
        [tenant.organization_id, tenant.organization_id],
    )
    connection.execute(
        "insert into system_settings values"
        " (%s, 'credit_rate_usd', '10'), (%s, 'credit_rate_jpy', '0.075')",
        [tenant.organization_id, tenant.organization_id],
    )
    return tenant


def repeat_ids(connection: Connection, table: str) -> None:
    """Give rows ids that look random, and are the same when the same is done in another life.

    Another life in the same database begins with `begin_ids_again`.

    What is done in the order of ids would otherwise take another course each time that Hypothesis
    plays the same steps, which it takes for a fault.
    """
    connection.execute(f"create sequence {table}_ids")
    connection.execute(
        f"alter table {table} alter id set default md5(nextval('{table}_ids')::text)::uuid"
    )


def begin_ids_again(connection: Connection, table: str) -> None:
    connection.execute(f"select setval('{table}_ids', 1, false)")


@dataclass(frozen=True)
class Money:
    """The money functions as Hasura calls them: its role, the session first, rows as dicts."""

    db: Connection
    session: dict[str, str]

    def call(self, function: str, **arguments: object) -> list[dict[str, Any]]:
        names = "".join(f", p_{name} => %({name})s" for name in arguments)
        values = {
            name: Jsonb(value) if isinstance(value, dict | list) else value
            for name, value in arguments.items()
        }
        # Which call it was stays in the journal: see lock_order.
        call = f"select pg_logical_emit_message(true, 'call {function}', '')"
        self.db.execute(f"{call}; set local role munim_hasura")
        rows = self.db.execute(
            f"select * from {function}(hasura_session => %(session)s{names})",
            {"session": json.dumps(self.session), **values},
        ).fetchall()
        self.db.execute("reset role")
        return rows

    def open(self, **changes: object) -> dict[str, Any]:
        asked = {
            "key": "key-1",
            "amount": 2500,
            "currency": None,
            "email": "ada@example.com",
            "gateway": "stripe",
            "success_url": "https://shop.example/paid",
            "cancel_url": "https://shop.example/cancelled",
        }
        (row,) = self.call("open_credit_purchase", **(asked | changes))
        return row

    def record(
        self, attempt_id: UUID, session_id: str = "cs_1", **details: object
    ) -> dict[str, Any]:
        (row,) = self.call(
            "record_checkout_session",
            payment_attempt_id=attempt_id,
            gateway_session_id=session_id,
            url=f"https://pay.example/{session_id}",
            **details,
        )
        return row

    def message(self, attempt_id: UUID | None, outcome: str = "paid", **changes: Any) -> Any:
        """Word what a gateway says of an attempt, as a row of the inbox."""
        said = {
            "outcome": outcome,
            "payment_attempt_id": attempt_id and str(attempt_id),
            "gateway_session_id": "cs_1",
            "gateway_payment_id": f"pi_{attempt_id}",
            "amount": 2500,
            "currency": "USD",
            "subject": "payment",
            "captured_amount": None,
            "receipt_url": None,
            "failure_code": None,
            "failure_message": None,
            "decline_class": None,
            "declined_at": None,
        }
        event = {
            "gateway": "stripe",
            "gateway_account": "",
            "livemode": False,
            "event_id": f"evt_{uuid4().hex}",
            "type": "checkout.session.completed",
            "occurred_at": "2026-11-21T10:00:00Z",
            "payload": {"id": "evt"},
        }
        event |= {name: value for name, value in changes.items() if name in event}
        said |= {name: value for name, value in changes.items() if name in said}
        return event | {"notice": said}

    def receive(self, attempt_id: UUID | None, outcome: str = "paid", **changes: Any) -> Any:
        message = self.message(attempt_id, outcome, **changes)
        (row,) = self.call("receive_gateway_event", **message)
        return row

    def receive_together(self, *messages: dict[str, Any]) -> list[dict[str, Any]]:
        """Receive them in one call, and answer the rows of those that are kept so."""
        return self.call("receive_gateway_events", messages=list(messages))


def broken_invariants(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Every row of every invariant view; an empty dict is a healthy database.

    All are looked at in one statement, which a connection that looks again has ready.
    """
    views = connection.execute(
        "select viewname from pg_views where viewname like 'invariant\\_%' order by viewname"
    ).fetchall()
    assert len(views) >= 6
    broken = connection.execute(
        " union all ".join(
            f"select '{view['viewname']}' as name where exists (select from {view['viewname']})"
            for view in views
        ),
        prepare=True,
    ).fetchall()
    names = [row["name"] for row in broken]
    return {name: connection.execute(f"select * from {name}").fetchall() for name in names}


# Which parts of a shared account there are is chance; their sums are not.
TABLES = """
select tablename from pg_tables where schemaname = 'public' and tablename <> 'ledger_accounts'
union all select 'ledger_balances'
"""


def books_of(db: Connection) -> dict[str, list[str]]:
    """Read every table; what is made anew each time (ids, and what follows their order) is left."""
    return {
        table: sorted(
            str({name: value for name, value in row.items() if is_told(name, value)})
            for row in db.execute(f"select * from {table}").fetchall()
        )
        for (table,) in [row.values() for row in db.execute(TABLES).fetchall()]
    }


def is_told(name: str, value: object) -> bool:
    return not isinstance(value, UUID | dict) and name not in {
        *("id", "key", "code", "part", "last_entry_at"),
        *("debit_balance_after", "credit_balance_after", "debited_at", "credited_at"),
        *("event_id", "gateway_payment_id", "idempotency_key", "updated_at"),
    }
