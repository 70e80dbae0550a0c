"""Events leave by trigger and by sweep, at least once whatever goes wrong."""

import json
from typing import Any

import psycopg
import pytest
import responses
from books import Tenant
from books import settle as settle_tenant
from in_process import CrashError
from money_back import listed
from psycopg.rows import dict_row

from app.webhooks import publishing
from app.webhooks.crons import publish_events
from app.webhooks.events import publish_event

from .outbox import happen, publish_to, states
from .senders import ENDPOINT, URL, EventBridge, Publisher


@pytest.fixture
def tenant(database: str) -> Tenant:
    with psycopg.connect(database, row_factory=dict_row) as db:
        tenant = settle_tenant(db)
        publish_to(db, tenant)
        return tenant


@pytest.fixture
def publisher(database: str, tenant: Tenant) -> Publisher:
    return Publisher(database, tenant.session)


def record(url: str, tenant: Tenant, *facts: object) -> list[str]:
    with psycopg.connect(url, row_factory=dict_row) as db:
        return [happen(db, tenant, data) for data in facts]


def all_states(url: str) -> dict[str, str]:
    with psycopg.connect(url, row_factory=dict_row) as db:
        return states(db)


def ids(entries: list[dict[str, Any]]) -> list[str]:
    return [json.loads(entry["Detail"])["event"]["id"] for entry in entries]


def test_an_event_is_sent_when_its_trigger_says_so(
    database: str, tenant: Tenant, publisher: Publisher, aws: responses.RequestsMock
) -> None:
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge())
    (event,) = record(database, tenant, {"n": 1})
    told = publish_event(publisher.ctx, {"event_id": event, "destination": "eventbridge"})

    assert told == {"published": 1, "refused": 0, "silent": 0}
    assert ids(bridge.taken) == [event]
    assert all_states(database) == {event: "published"}


def test_a_trigger_sends_a_batch_and_leaves_the_rest_to_the_others(
    database: str, tenant: Tenant, publisher: Publisher, aws: responses.RequestsMock
) -> None:
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge())
    record(database, tenant, *({"n": n} for n in range(25)))

    sizes = []
    for _ in range(5):
        publish_event(publisher.ctx, {"destination": "eventbridge"})
        sizes.append(len(bridge.taken))
    assert sizes == [10, 20, 25, 25, 25]


def test_the_sweeper_sends_all_that_is_due(
    database: str, tenant: Tenant, publisher: Publisher, aws: responses.RequestsMock
) -> None:
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge())
    events = record(database, tenant, *({"n": n} for n in range(25)))
    told = publish_events(publisher.ctx)

    nothing = {"published": 0, "refused": 0, "silent": 0}
    assert told == {"eventbridge": nothing | {"published": 25}, "url": nothing}
    assert sorted(ids(bridge.taken)) == sorted(events)


def test_both_destinations_get_what_both_want(
    database: str, tenant: Tenant, publisher: Publisher, aws: responses.RequestsMock
) -> None:
    with psycopg.connect(database, row_factory=dict_row) as db:
        publish_to(db, tenant, "url")
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge())
    aws.add("POST", URL["EVENTS_URL"], status=500)
    (event,) = record(database, tenant, {"n": 1})
    told = publish_events(publisher.ctx)

    assert ids(bridge.taken) == [event]
    assert told["url"] == {"published": 0, "refused": 0, "silent": 1}


def test_a_poison_event_is_parked_and_holds_up_nobody(
    database: str, tenant: Tenant, publisher: Publisher, aws: responses.RequestsMock
) -> None:
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge())
    bad = record(database, tenant, ["no", "object"], {"poison": True}, {"x": "x" * 2**18})
    good = record(database, tenant, *({"n": n} for n in range(9)))
    for _ in range(4):
        publish_events(publisher.ctx)
        publisher.wait(600)

    assert sorted(ids(bridge.taken)) == sorted(good)
    found = all_states(database)
    assert {found[event] for event in bad} == {"parked"}
    assert {found[event] for event in good} == {"published"}
    with psycopg.connect(database, row_factory=dict_row) as db:
        assert listed(db) == {"event-not-published"}
        details = " ".join(row["detail"] for row in db.execute("select detail from exceptions"))
    assert "its facts are no object" in details
    assert "Detail is malformed" in details
    assert "larger than 256 KB" in details


def test_a_bus_that_is_silent_is_asked_a_few_times_and_left_alone(
    database: str, tenant: Tenant, publisher: Publisher, aws: responses.RequestsMock
) -> None:
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge(lambda _: "broken"))
    record(database, tenant, *({"n": n} for n in range(99)))
    publish_events(publisher.ctx)

    assert len(bridge.asked) == publishing.SILENCES_MAX


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", [1, 2])
def test_a_sender_that_dies_anywhere_loses_nothing(
    database: str,
    tenant: Tenant,
    publisher: Publisher,
    aws: responses.RequestsMock,
    at: int,
    is_after: bool,
) -> None:
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge())
    events = record(database, tenant, {"n": 1}, {"n": 2})
    publisher.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        publish_events(publisher.ctx)
    publisher.plan(0, is_after=False)
    publisher.wait(61)
    publish_events(publisher.ctx)

    assert set(ids(bridge.taken)) == set(events)
    assert set(all_states(database).values()) == {"published"}
    # Sent before it died, and not written down: the only way to two.
    assert len(bridge.taken) == (4 if (at, is_after) == (2, False) else 2)
