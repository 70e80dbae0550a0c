"""The outbox of a tenant that publishes, as tests fill it and read it."""

from typing import Any
from uuid import UUID, uuid4

from books import Connection, Tenant
from money_back import Desk
from psycopg.types.json import Jsonb


def publish_to(
    db: Connection, tenant: Tenant, destination: str = "eventbridge", profile: str = "munim"
) -> None:
    """From now on the tenant's events go there."""
    db.execute(
        "insert into event_destinations (organization_id, livemode, destination, profile)"
        " values (%s, false, %s, %s)",
        [tenant.organization_id, destination, profile],
    )


def happen(
    db: Connection, tenant: Tenant, data: object = None, object_id: UUID | None = None
) -> str:
    """Write a fact as money functions do. Answers the event's id."""
    object_id = object_id or uuid4()
    db.execute(
        "select record_event(%s, false, 'thing.happened', 'thing', %s, %s)",
        [tenant.organization_id, object_id, Jsonb({"n": 1} if data is None else data)],
    )
    row = db.execute(
        "select id::text from events where object_id = %s order by sequence desc limit 1",
        [object_id],
    ).fetchone()
    assert row is not None
    found: str = row["id"]
    return found


def claim(desk: Desk, destination: str = "eventbridge", limit: int = 10) -> list[dict[str, Any]]:
    return desk.call("claim_event_messages", destination=destination, limit=limit)


def settle(
    desk: Desk, outcome: str, *event_ids: object, destination: str = "eventbridge"
) -> list[dict[str, Any]]:
    results = [
        {"event_id": str(event_id), "outcome": outcome, "detail": f"it was {outcome}"}
        for event_id in event_ids
    ]
    return desk.call("settle_event_messages", destination=destination, results=results)


def pass_time(db: Connection, seconds: int) -> None:
    db.execute("update clock set skew_seconds = skew_seconds + %s", [seconds])


def states(db: Connection) -> dict[str, str]:
    rows = db.execute("select event_id::text as id, status from event_publications").fetchall()
    return {row["id"]: row["status"] for row in rows}
