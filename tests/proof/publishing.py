"""Events that leave: whatever was spoilt, the bus has each of them, and the books say so."""

from __future__ import annotations

from proof.buying import create_payment, pay
from proof.cases import JANITOR, Case, Flow, Step

from sandbox import tokens

CRONS = ("apply_gateway_events", "check_payments", "store_missing_receipts", "publish_events")


def want_events(case: Case) -> None:
    """The shop's events go to the bus from now on."""
    case.sql(
        "insert into event_destinations (organization_id, livemode, destination)"
        " values (%s, false, 'eventbridge') on conflict do nothing returning destination",
        tokens.TIGER_CAMPUS,
    )


def trigger(case: Case) -> None:
    """Hasura tells that an event is to leave; once, and it may well not."""
    row = {"destination": "eventbridge"}
    body = {"event": {"op": "INSERT", "data": {"old": None, "new": row}}}
    case.says(case.stage.rest("POST", "/events/publish_event", json=body))


def sweep(case: Case) -> None:
    case.stage.advance(70)
    case.says(case.stage.tick("publish_events"))


def the_bus_has_them(case: Case) -> list[str]:
    taken = {
        event["detail"]["event"]["id"]
        for event in case.stage.gateway_objects("event", case.gateway_from, "eventbridge")
    }
    rows = case.sql("select event_id::text as id, status from event_publications")
    lost = [row["id"] for row in rows if row["status"] == "published" and row["id"] not in taken]
    complaints = [f"event {event_id} is said to be published" for event_id in lost]
    if JANITOR in case.powers:
        statuses = sorted({row["status"] for row in rows})
        if statuses != ["published"]:
            complaints.append(f"events are {statuses or 'not there'}")
    return complaints


FLOWS = (
    Flow(
        "events put on a bus",
        (
            Step("wanting events", want_events, by="payer"),
            Step("createPayment", create_payment),
            Step("paying", pay, by="payer"),
            Step("the event trigger", trigger, by="cron"),
            Step("the sweep", sweep, by="cron"),
        ),
        the_bus_has_them,
        crons=CRONS,
        alone=True,
    ),
)
