"""Autopay as tests drive it: a mandate set up, a clock that moves, a gateway's answers."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from books import Connection, Money, Tenant

DECLINES = {
    "soft": "insufficient_funds",
    "hard": "stolen_card",
    "fraud": "fraudulent",
    "authentication": "authentication_required",
    "gateway": "processing_error",
}

# An active mandate whose month was paid by the one purchase there is, past all triggers.
A_PAID_MONTH = """
with mandates as (
    insert into autopay_mandates (
        organization_id, livemode, customer_id, idempotency_key, requested_by, gateway,
        payment_method_id, amount, currency, day_of_month, local_time, timezone, status, anchor_on,
        next_due_on, next_notice_at, customer_email, success_url, cancel_url, setup_expires_at,
        consented_by, consented_at
    )
    select
        organization_id, livemode, customer_id, 'key', 'user:ada', 'stripe', gen_random_uuid(),
        amount, currency, 20, '09:00', 'UTC', 'active', date '2026-01-20', date '2026-02-20',
        created_at, 'ada@example.com', '', '', created_at, 'ada', created_at
    from credit_purchases
    returning *
)
insert into autopay_charges (
    organization_id, livemode, autopay_mandate_id, customer_id, period, due_on, due_at, amount,
    currency, status, payment_intent_id, tries
)
select
    organization_id, livemode, mandates.id, customer_id, '2026-01', date '2026-01-20',
    timestamptz '2026-01-20 09:00Z', mandates.amount, mandates.currency, 'succeeded',
    credit_purchases.payment_intent_id, 1
from mandates inner join credit_purchases using (organization_id, livemode, customer_id);
"""
BREACHES = {
    "invariant_autopay_charges_a_month_once": (
        "drop index customer_pays_a_month_once;"
        " insert into autopay_charges (organization_id, livemode, autopay_mandate_id, customer_id,"
        " period, due_on, due_at, amount, currency, status, payment_intent_id)"
        " select organization_id, livemode, gen_random_uuid(), customer_id, period, due_on, due_at,"
        " amount, currency, status, gen_random_uuid() from autopay_charges"
    ),
    "invariant_autopay_follows_its_anchor": "update autopay_charges set due_on = due_on + 1",
    "invariant_autopay_follows_its_payment": "update autopay_charges set amount = amount + 1",
    "invariant_autopay_keeps_moving": "update autopay_charges set status = 'charging'",
    "invariant_autopay_stops_when_told": (
        "update payment_attempts set payment_method_id = gen_random_uuid();"
        " update autopay_mandates set status = 'canceled', reason = '', next_due_on = null,"
        " next_notice_at = null, canceled_at = created_at - interval '1 second'"
    ),
}


def move_clock(db: Connection, moment: str | datetime) -> None:
    """Move the database's clock to a moment, in UTC unless it says otherwise."""
    db.execute(
        "update clock set skew_seconds = ceil(extract(epoch from %s::timestamptz - now()))",
        [moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)],
    )


@dataclass
class Autopay:
    """One customer's autopay. Every `at` is a moment of the database's clock."""

    db: Connection
    money: Money
    tenant: Tenant

    def at(self, moment: str | datetime) -> None:
        move_clock(self.db, moment)

    def now(self) -> datetime:
        return self.db.execute("select clock_now() as now").fetchone()["now"].astimezone(UTC)

    def zone(self, name: str) -> None:
        self.db.execute("update organizations set timezone = %s", [name])

    def settings(self, **changes: object) -> None:
        for name, value in changes.items():
            self.db.execute(f"update autopay_settings set {name} = %s", [value])

    def open(self, **changes: object) -> dict[str, Any]:
        asked = {
            "key": uuid4().hex,
            "amount": 2500,
            "currency": None,
            "day_of_month": 15,
            "gateway": "stripe",
            "success_url": "https://shop.example/set",
            "cancel_url": "https://shop.example/not-set",
        }
        (row,) = self.money.call("open_autopay_setup", **(asked | changes))
        return row

    def record(self, mandate_id: UUID) -> dict[str, Any]:
        (row,) = self.money.call(
            "record_autopay_setup",
            autopay_mandate_id=mandate_id,
            gateway_session_id=f"cs_{mandate_id}",
            url=f"https://pay.example/{mandate_id}",
        )
        return row

    def hear(self, mandate_id: UUID | None, outcome: str = "succeeded", **changes: Any) -> Any:
        """Receive a message about a setup."""
        said = {
            "subject": "setup",
            "outcome": outcome,
            "autopay_mandate_id": mandate_id and str(mandate_id),
            "gateway_session_id": f"cs_{mandate_id}",
            "gateway_customer_id": f"cus_{self.tenant.customer_id}",
            "gateway_payment_method_id": f"pm_{mandate_id}",
            "method": "card",
            "failure_code": None,
        }
        (row,) = self.money.call(
            "receive_gateway_event",
            gateway="stripe",
            gateway_account="",
            livemode=False,
            event_id=f"evt_{uuid4().hex}",
            type=changes.pop("type", "setup_intent.succeeded"),
            occurred_at=self.now(),
            payload={"id": "evt"},
            notice=said | changes,
        )
        return row

    def set_up(self, **changes: object) -> UUID:
        """Set a mandate up whose page the customer finished."""
        mandate_id: UUID = self.record(self.open(**changes)["id"])["id"]
        event = self.hear(mandate_id, card_last4="4242")
        assert event["status"] == "applied", event["reason"]
        return mandate_id

    def materialise(self) -> int:
        """Tick the hourly cron until it finds nothing."""
        moved = 0
        while rows := self.money.call("materialise_autopay_charges", limit=1000):
            moved += len(rows)
        return moved

    def claim(self, limit: int = 100, lease_seconds: int = 60) -> list[dict[str, Any]]:
        return self.money.call("claim_autopay_charges", limit=limit, lease_seconds=lease_seconds)

    def begin(self, claims: list[dict[str, Any]]) -> list[dict[str, Any]]:
        said = [{"id": str(claim["id"]), "fence": claim["fence"]} for claim in claims]
        return self.money.call("begin_autopay_attempts", claims=said)

    def answer(self, order: dict[str, Any], outcome: str = "paid", **changes: Any) -> Any:
        """Keep what the gateway says of an order. A decline is named by its class."""
        declined = {"outcome": "failed", "decline_class": outcome} if outcome in DECLINES else {}
        return self.money.receive(
            order["payment_attempt_id"],
            **{
                "outcome": outcome,
                "amount": order["amount"],
                "currency": order["currency"],
                "gateway_session_id": None,
                "failure_code": DECLINES.get(outcome),
                "occurred_at": self.now(),
                "type": "answer",
            }
            | declined
            | changes,
        )

    def said(self, order: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Word that the gateway charged an order."""
        return self.money.message(
            order["payment_attempt_id"],
            **{
                "amount": order["amount"],
                "currency": order["currency"],
                "receipt_url": "https://pay.example/receipt",
                "event_id": f"answer:{order['payment_attempt_id']}",
                "occurred_at": self.now().isoformat(),
                "type": "answer",
            }
            | changes,
        )

    def answer_together(self, orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Keep that the gateway charged each order, all in one call."""
        return self.money.receive_together(*map(self.said, orders))

    def run(self, outcome: str = "paid", **changes: Any) -> list[dict[str, Any]]:
        """Tick both crons, and let the gateway answer everything alike."""
        self.materialise()
        orders = self.begin(self.claim())
        for order in orders:
            self.answer(order, outcome, **changes)
        return orders

    def mandate(self, mandate_id: UUID) -> dict[str, Any]:
        rows = self.db.execute("select * from autopay_mandates where id = %s", [mandate_id])
        return rows.fetchone()

    def charges(self) -> list[dict[str, Any]]:
        return self.db.execute("select * from autopay_charges order by due_on").fetchall()

    def states(self) -> dict[str, str]:
        return {charge["period"]: charge["status"] for charge in self.charges()}

    def told(self) -> list[str]:
        """Answer the types of autopay's events, in order."""
        rows = self.db.execute(
            "select type from events where type like 'autopay.%'"
            " order by created_at, sequence, type"
        )
        return [row["type"] for row in rows]

    def credits(self) -> int:
        rows = self.db.execute(
            "select balance from credit_wallets where customer_id = %s", [self.tenant.customer_id]
        )
        return int(rows.fetchone()["balance"])
