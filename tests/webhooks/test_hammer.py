"""A thousand events through outages: each arrives at least once, and a receiver can order them."""

import json
import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from threading import Barrier
from typing import Any

import psycopg
import pytest
import responses
from books import broken_invariants
from books import settle as settle_tenant
from in_process import CrashError
from psycopg.rows import dict_row

from app.webhooks.crons import publish_events
from app.webhooks.events import publish_event

from .outbox import publish_to
from .senders import ENDPOINT, EventBridge, Publisher

SECONDS_MAX = 60
TROUBLES = ["throttled", "broken", "lost", "partly", None, None, None]


@pytest.fixture
def publisher(database: str) -> Publisher:
    with psycopg.connect(database, row_factory=dict_row) as db:
        tenant = settle_tenant(db)
        publish_to(db, tenant)
        return Publisher(database, tenant.session)


@pytest.mark.timeout(600)
def test_a_thousand_events_through_outages_arrive_each_and_can_be_put_in_order(
    publisher: Publisher, aws: responses.RequestsMock
) -> None:
    """Of seven requests three are well; answers get lost, entries fail, and senders die."""
    chance = random.Random(20261121)
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge(lambda _: chance.choice(TROUBLES)))
    fill(publisher, objects=50, facts=20)
    for tick in count():
        publisher.plan(chance.randint(1, 40), is_after=chance.random() < 0.5)
        try:
            publish_events(publisher.ctx)
            publish_event(publisher.ctx, {"destination": "eventbridge"})
        except CrashError:
            publisher.plan(0, is_after=False)
        publisher.wait(60)
        if not pending(publisher):
            break
        assert tick < 3000

    with psycopg.connect(publisher.url, row_factory=dict_row) as db:
        rows = db.execute(
            "select events.id::text, object_id::text, sequence, data, status"
            " from events join event_publications on event_id = events.id"
        ).fetchall()
        assert broken_invariants(db) == {}
        assert len(rows) == 1000
        exceptions = {
            str(row["object_id"]) for row in db.execute("select object_id from exceptions")
        }
    poison = {row["id"] for row in rows if row["data"].get("poison")}
    assert len(poison) == 20
    assert {row["id"] for row in rows if row["status"] == "parked"} == poison == exceptions
    assert received_in_order(bridge.taken) == expected(rows, poison)
    assert len(bridge.taken) > 980, "answers were lost, so some came twice"
    assert max(map(len, bridge.asked)) == 10


def test_senders_at_once_send_each_event_once(
    publisher: Publisher, aws: responses.RequestsMock
) -> None:
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge(meeting := Meeting(4)))
    fill(publisher, objects=6, facts=50)
    with ThreadPoolExecutor(4) as senders:
        told = list(senders.map(lambda _: publish_events(publisher.ctx), range(12)))
    with psycopg.connect(publisher.url) as db:
        query = "select count(*) from events where not data ? 'poison'"
        (good,) = db.execute(query).fetchone()

    assert 250 < good < 300
    assert sum(one["eventbridge"]["published"] for one in told) == good
    assert len(bridge.taken) == len({one["Detail"] for one in bridge.taken}) == good
    assert sum(one["eventbridge"]["published"] > 0 for one in told) >= 4, "one did it all"
    assert meeting.took_place


@dataclass
class Meeting:
    """Keeps so many senders on the line until all have claimed what they send."""

    senders: int
    took_place: bool = False
    _everybody: Barrier = field(init=False)

    def __post_init__(self) -> None:
        self._everybody = Barrier(self.senders)

    def __call__(self, _: object) -> None:
        if not self.took_place:
            self._everybody.wait(SECONDS_MAX)
            self.took_place = True


def fill(publisher: Publisher, *, objects: int, facts: int) -> None:
    """Facts of many objects in turn, one in fifty of them poisonous."""
    with psycopg.connect(publisher.url) as db:
        db.execute(
            "select record_event(%s, false, 'thing.happened', 'thing',"
            " ('00000000-0000-4000-8000-' || lpad(object::text, 12, '0'))::uuid,"
            " case when (fact * 7 + object) %% 50 = 7 then '{\"poison\": true}'"
            " else jsonb_build_object('n', fact) end)"
            " from generate_series(1, %s) as fact, generate_series(1, %s) as object"
            " order by fact, object",
            [publisher.session["x-hasura-organization-id"], facts, objects],
        )


def received_in_order(entries: list[dict[str, Any]]) -> dict[str, list[str]]:
    """What a receiver makes of it: doubles dropped by id, each object's in order of sequence."""
    known = {event["id"]: event for one in entries if (event := json.loads(one["Detail"])["event"])}
    found: dict[str, list[str]] = defaultdict(list)
    for event in sorted(known.values(), key=lambda event: event["sequence"]):
        found[event["object_id"]].append(event["id"])
    return dict(found)


def expected(rows: list[dict[str, Any]], poison: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["sequence"]):
        if row["id"] not in poison:
            found[row["object_id"]].append(row["id"])
    return dict(found)


def pending(publisher: Publisher) -> int:
    with psycopg.connect(publisher.url) as db:
        query = "select count(*) from event_publications where status = 'pending'"
        return db.execute(query).fetchone()[0]
