"""What gateways said word for word is forgotten after a while, and nothing else is."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from books import Connection, Money, Tenant, broken_invariants
from in_process import House
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from app.retention.crons import forget_messages

WORDS = {"id": "evt", "customer": {"name": "Ada"}}
DAY = 86_400


def said(db: Connection, status: str = "applied", days_ago: float = 0, **changes: Any) -> str:
    """A message that came so many days ago."""
    row = db.execute(
        "insert into gateway_events (gateway, gateway_account, livemode, event_id, type,"
        " occurred_at, payload, notice, status, reason, created_at)"
        " values ('stripe', '', %s, %s, 'x', clock_now(), %s, '{}', %s, 'why',"
        " clock_now() - make_interval(secs => %s)) returning id",
        [
            changes.get("livemode", False), uuid4().hex, Jsonb(WORDS), status, days_ago * DAY,
        ],
    ).fetchone()  # fmt: skip
    assert row is not None
    return str(row["id"])


def words_of(db: Connection, message: str) -> Any:
    row = db.execute("select payload from gateway_events where id = %s", [message]).fetchone()
    assert row is not None
    return row["payload"]


def forget(money: Money, days: int = 180) -> int:
    """Call as often as there is something; answers the steps."""
    steps = 0
    while money.call("forget_gateway_messages", days=days):
        steps += 1
        assert steps < 100
    return steps


def test_what_is_old_and_done_with_is_forgotten(db: Connection, money: Money) -> None:
    old, ignored = said(db, days_ago=181), said(db, "ignored", days_ago=400)
    young = said(db, days_ago=179)

    assert forget(money) == 2
    assert [words_of(db, each) for each in (old, ignored, young)] == [{}, {}, WORDS]


@pytest.mark.parametrize("status", ["received", "parked"])
def test_what_waits_for_somebody_stays_whole(db: Connection, money: Money, status: str) -> None:
    message = said(db, status, days_ago=400)
    forget(money)

    assert words_of(db, message) == WORDS


def test_the_other_mode_is_not_ours(db: Connection, money: Money) -> None:
    message = said(db, days_ago=400, livemode=True)

    assert forget(money) == 0
    assert words_of(db, message) == WORDS


def test_it_goes_on_where_it_was(db: Connection, money: Money) -> None:
    first = [said(db, days_ago=200 - hour / 24) for hour in range(3)]
    assert forget(money) == 3
    later = said(db)
    db.execute("update clock set skew_seconds = skew_seconds + 181 * 86400")
    assert forget(money) == 1
    assert forget(money) == 0

    assert [words_of(db, each) for each in (*first, later)] == [{}] * 4
    mark = db.execute("select forgotten_until < clock_now() as past from retention_marks")
    assert mark.fetchall() == [{"past": True}]


def test_years_of_silence_are_one_step(db: Connection, money: Money) -> None:
    said(db, days_ago=2000)
    last = said(db, days_ago=181)

    assert forget(money) == 2
    assert words_of(db, last) == {}


def test_a_message_that_is_forgotten_is_still_known(
    db: Connection, money: Money, tenant: Tenant
) -> None:
    attempt = money.open()["payment_attempt_id"]
    event = money.receive(attempt, event_id="evt_1")
    db.execute("update clock set skew_seconds = skew_seconds + 400 * 86400")
    forget(money)
    assert words_of(db, str(event["id"])) == {}

    again = money.receive(attempt, event_id="evt_1")
    assert (again["id"], again["status"]) == (event["id"], "applied")
    assert again["notice"] == event["notice"]
    assert broken_invariants(db) == {}


LOG = """
create schema if not exists hdb_catalog;
create table if not exists hdb_catalog.event_log (
    id text primary key, delivered boolean not null default false,
    error boolean not null default false, archived boolean not null default false,
    created_at timestamp not null
);
create table if not exists hdb_catalog.event_invocation_logs (id text, event_id text);
grant usage on schema hdb_catalog to munim_hasura;
grant select, update, delete on all tables in schema hdb_catalog to munim_hasura;
"""


def delivered(db: Connection, event: str, days_ago: int, **state: bool) -> None:
    state = state or {"delivered": True}
    (name,) = state
    db.execute(
        f"insert into hdb_catalog.event_log (id, {name}, created_at) values (%s, true,"
        " clock_now() at time zone 'UTC' - make_interval(days => %s))",
        [event, days_ago],
    )
    db.execute("insert into hdb_catalog.event_invocation_logs values (%s, %s)", [event, event])


def test_hasuras_log_keeps_what_is_young_or_still_to_be_delivered(
    db: Connection, money: Money
) -> None:
    db.execute(LOG)
    delivered(db, "old", 181)
    delivered(db, "failed", 181, error=True)
    delivered(db, "young", 179)
    db.execute(
        "insert into hdb_catalog.event_log (id, created_at)"
        " values ('waiting', clock_now() - interval '400 days')"
    )

    assert len(money.call("forget_deliveries", days=180)) == 1
    assert money.call("forget_deliveries", days=180) == []
    left = db.execute("select id from hdb_catalog.event_log order by id").fetchall()
    calls = db.execute("select event_id from hdb_catalog.event_invocation_logs").fetchall()
    assert [row["id"] for row in left] == ["waiting", "young"]
    assert [row["event_id"] for row in calls] == ["young"]


def test_where_hasura_keeps_its_log_elsewhere_nothing_happens(money: Money) -> None:
    assert money.call("forget_deliveries", days=180) == []


def test_nobody_but_the_service_forgets(db: Connection, money: Money, tenant: Tenant) -> None:
    stranger = Money(db, tenant.session | {"x-hasura-role": "operator"})
    with pytest.raises(psycopg.Error, match="forbidden: "), db.transaction():
        stranger.call("forget_gateway_messages", days=180)
    db.execute(LOG)
    delivered(db, "old", 181)

    assert stranger.call("forget_deliveries", days=180) == []


def test_the_cron_forgets_in_steps_and_not_at_all_if_it_is_told_so(database: str) -> None:
    with psycopg.connect(database, row_factory=dict_row) as db:
        for days in (200, 300):
            said(db, days_ago=days)
    house = House(database, {"x-hasura-role": "service", "x-hasura-livemode": "false"})

    for_ever = replace(house.ctx, settings=replace(house.ctx.settings, message_days=0))
    assert forget_messages(for_ever)["steps"] == 0
    assert forget_messages(house.ctx)["steps"] == 2
    assert forget_messages(house.ctx)["steps"] == 0
