"""Events on their way out: claimed by one, put off before they are sent, never lost."""

from dataclasses import replace
from typing import Any

import psycopg
import pytest
from books import Connection, Money, Tenant, broken_invariants
from books import settle as settle_tenant
from money_back import Desk, listed
from psycopg.rows import dict_row
from sides import Stage, at

from app.errors import from_database

from .outbox import claim, happen, pass_time, publish_to, settle, states


@pytest.fixture
def desk(db: Connection, tenant: Tenant) -> Desk:
    publish_to(db, tenant)
    return Desk(db, tenant.session)


def test_an_event_is_to_be_published_where_its_organisation_wants_it(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    publish_to(db, tenant, "url")
    event = happen(db, tenant)

    rows = db.execute("select event_id::text, destination from event_publications").fetchall()
    assert sorted((row["event_id"], row["destination"]) for row in rows) == [
        (event, "eventbridge"),
        (event, "url"),
    ]


def test_without_a_destination_of_its_own_nothing_leaves(db: Connection, desk: Desk) -> None:
    stranger = settle_tenant(db)
    happen(db, stranger)

    assert states(db) == {}
    assert claim(desk) == []


def test_a_destination_that_is_off_gets_what_was_recorded_before(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    before = happen(db, tenant)
    db.execute("update event_destinations set is_active = false")
    happen(db, tenant)

    assert [str(row["id"]) for row in claim(desk)] == [before]


def test_what_is_claimed_is_nobody_elses_for_a_minute(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    event = happen(db, tenant)

    assert [str(row["id"]) for row in claim(desk)] == [event]
    assert claim(desk) == []
    pass_time(db, 59)
    assert claim(desk) == []
    pass_time(db, 1)
    assert [str(row["id"]) for row in claim(desk)] == [event]


def test_what_is_published_is_not_sent_again(db: Connection, tenant: Tenant, desk: Desk) -> None:
    event = happen(db, tenant)
    claim(desk)
    (row,) = settle(desk, "published", event)
    pass_time(db, 86400)

    assert (row["status"], row["due_at"]) == ("published", None)
    assert row["published_at"] is not None
    assert claim(desk) == []


def test_at_most_so_many_are_claimed_and_the_oldest_first(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    events = []
    for _ in range(5):
        events.append(happen(db, tenant))
        pass_time(db, 1)

    assert [str(row["id"]) for row in claim(desk, limit=2)] == events[:2]
    assert [str(row["id"]) for row in claim(desk, limit=9)] == events[2:]


def test_destinations_do_not_wait_for_each_other(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    publish_to(db, tenant, "url")
    event = happen(db, tenant)
    claim(desk)
    settle(desk, "published", event)

    assert [str(row["id"]) for row in claim(desk, "url")] == [event]


def test_a_refusal_is_believed_the_third_time_and_listed(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    event, other = happen(db, tenant), happen(db, tenant)
    for _ in range(3):
        assert claim(desk)
        settle(desk, "refused", event)
        pass_time(db, 3600)

    assert states(db) == {event: "parked", other: "pending"}
    assert listed(db) == {"event-not-published"}
    (row,) = db.execute("select * from exceptions").fetchall()
    assert (str(row["object_id"]), row["organization_id"]) == (event, tenant.organization_id)
    assert "thing.happened to eventbridge, tried 3 times: it was refused" in row["detail"]
    assert [str(row["id"]) for row in claim(desk)] == [other]
    assert broken_invariants(db) == {}


def test_silence_is_waited_for_during_three_days(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    event = happen(db, tenant)
    (started,) = db.execute("select clock_now() as now").fetchall()
    tries = 0
    while states(db)[event] == "pending":
        tries += bool(claim(desk))
        settle(desk, "silent", event)
        db.execute(
            "update clock set skew_seconds = skew_seconds + (select ceil(extract(epoch from"
            " min(due_at) - clock_now()))::int from event_publications) where exists"
            " (select from event_publications where due_at is not null)"
        )

    (ended,) = db.execute("select clock_now() as now").fetchall()
    assert tries == 78
    assert 3 <= (ended["now"] - started["now"]).total_seconds() / 86400 < 3.2
    assert listed(db) == {"event-not-published"}


def test_a_person_may_send_what_was_parked_again(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    event = happen(db, tenant)
    park(db, desk, event)

    (row,) = desk.call("publish_events_again", destination="eventbridge")
    assert (row["status"], row["attempts"]) == ("pending", 0)
    assert [str(row["id"]) for row in claim(desk)] == [event]
    settle(desk, "published", event)

    assert listed(db) == set()
    assert desk.call("publish_events_again", destination="eventbridge") == []


def test_one_of_two_that_were_parked_may_be_sent_again(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    event, other = happen(db, tenant), happen(db, tenant)
    park(db, desk, event, other)
    desk.call("publish_events_again", destination="eventbridge", event_id=event)

    assert states(db) == {event: "pending", other: "parked"}


def test_what_was_parked_in_the_other_mode_stays_so(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    event = happen(db, tenant)
    park(db, desk, event)
    live = replace(desk, session=desk.session | {"x-hasura-livemode": "true"})

    for named in ({}, {"event_id": event}):
        assert live.call("publish_events_again", destination="eventbridge", **named) == []
    assert states(db) == {event: "parked"}


def park(db: Connection, desk: Desk, *events: str) -> None:
    for _ in range(3):
        claim(desk)
        settle(desk, "refused", *events)
        pass_time(db, 3600)


def test_the_exception_stays_while_one_destination_has_not_taken_the_event(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    publish_to(db, tenant, "url")
    event = happen(db, tenant)
    park(db, desk, event)
    claim(desk, "url")
    settle(desk, "published", event, destination="url")

    assert listed(db) == {"event-not-published"}


@pytest.mark.parametrize("late", ["silent", "refused", "published"])
def test_published_stays_published_whatever_a_slower_sender_says(
    db: Connection, tenant: Tenant, desk: Desk, late: str
) -> None:
    event = happen(db, tenant)
    claim(desk)
    (first,) = settle(desk, "published", event)
    (again,) = settle(desk, late, event)

    assert again == first


def test_an_event_that_one_sender_parked_may_have_been_published_by_another(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    event = happen(db, tenant)
    park(db, desk, event)
    (row,) = settle(desk, "published", event)

    assert row["status"] == "published"
    assert listed(db) == set()


def test_an_unpublished_event_nobody_sees_is_found(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    event = happen(db, tenant)
    park(db, desk, event)
    db.execute("delete from exceptions")

    (row,) = broken_invariants(db)["invariant_parked_events_are_listed"]
    assert str(row["event_id"]) == event


@pytest.mark.parametrize("mode", ["true", "false"])
def test_a_sender_gets_the_events_of_its_mode(db: Connection, tenant: Tenant, mode: str) -> None:
    publish_to(db, tenant)
    happen(db, tenant)
    session = tenant.session | {"x-hasura-livemode": mode}

    assert len(claim(Desk(db, session))) == (mode == "false")


FUNCTIONS: dict[str, dict[str, Any]] = {
    "claim_event_messages": {"destination": "url", "limit": 1},
    "settle_event_messages": {"destination": "url", "results": []},
    "publish_events_again": {"destination": "url"},
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_the_service_publishes(db: Connection, tenant: Tenant, function: str) -> None:
    session = tenant.session | {"x-hasura-role": "owner"}

    with pytest.raises(psycopg.Error) as refusal:
        Money(db, session).call(function, **FUNCTIONS[function])
    refused = from_database(str(refusal.value.diag.message_primary))
    assert refused is not None
    assert refused.code == "forbidden"


def test_hasura_writes_no_publication(db: Connection, tenant: Tenant, desk: Desk) -> None:
    happen(db, tenant)
    for attack in (
        "update event_publications set status = 'published', due_at = null, published_at = now()",
        "delete from event_publications",
        "insert into event_destinations select id, true, 'url' from organizations",
        "update event_words set source = 'aws.me'",
    ):
        db.execute("set local role munim_hasura")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
            db.execute(attack)


def test_a_trigger_of_hasuras_on_publications_can_do_no_more_than_hasura(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    db.execute("set local role munim_hasura")
    db.execute("create schema spy")
    db.execute(
        "create function spy.look() returns trigger language plpgsql as $$ begin"
        " perform set_config('spy.seen', current_setting('spy.seen', true) || ' ' || current_user,"
        " true); return new; end $$"
    )
    db.execute(
        "create trigger spy before insert or update on public.event_publications"
        " for each row execute function spy.look()"
    )
    db.execute("reset role")
    event = happen(db, tenant)
    claim(desk)
    settle(desk, "refused", event)
    (row,) = db.execute("select current_setting('spy.seen') as seen").fetchall()

    assert set(row["seen"].split()) == {"munim_outbox"}


def test_two_senders_never_have_one_event(database: str) -> None:
    with (
        psycopg.connect(database, row_factory=dict_row) as one,
        psycopg.connect(database, row_factory=dict_row) as two,
    ):
        tenant = settle_tenant(one)
        publish_to(one, tenant)
        events = {happen(one, tenant) for _ in range(4)}
        one.commit()
        first = {str(row["id"]) for row in claim(Desk(one, tenant.session), limit=2)}
        second = {str(row["id"]) for row in claim(Desk(two, tenant.session), limit=9)}

    assert len(first) == len(second) == 2
    assert first | second == events


def waiting(db: Connection) -> list[tuple[str, str]]:
    rows = db.execute(
        "select object_id, detail from exceptions"
        " where class = 'event-not-published' and resolved_at is null order by detail"
    ).fetchall()
    return [(str(row["object_id"]), row["detail"]) for row in rows]


def test_what_nobody_has_sent_for_a_day_is_listed_the_oldest_of_a_destination_until_it_is_sent(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    first = happen(db, tenant)
    pass_time(db, 60)
    happen(db, tenant)
    pass_time(db, 86_000)
    desk.call("end_invariant_checks")
    assert waiting(db) == []

    pass_time(db, 800)
    for _ in range(2):
        desk.call("end_invariant_checks")
    ((listed_event, detail),) = waiting(db)
    assert listed_event == first
    assert "to eventbridge waits since" in detail

    settle(desk, "published", *[row["id"] for row in claim(desk)])
    desk.call("end_invariant_checks")
    assert waiting(db) == []


def test_each_destination_that_takes_nothing_is_listed(
    db: Connection, tenant: Tenant, desk: Desk
) -> None:
    before = happen(db, tenant)
    publish_to(db, tenant, "url")
    event = happen(db, tenant)
    pass_time(db, 90_000)
    desk.call("end_invariant_checks")

    assert {name for name, _ in waiting(db)} == {before, event}


def test_an_event_stays_listed_that_one_destination_parks_while_another_one_takes_it(
    stage: Stage,
) -> None:
    with psycopg.connect(stage.url, row_factory=dict_row) as db:
        tenant = settle_tenant(db)
        desk = Desk(db, tenant.session)
        for destination in ("url", "eventbridge"):
            publish_to(db, tenant, destination)
        event = happen(db, tenant)
        db.execute("update event_publications set attempts = 3")
        # It was parked before, and a person has it sent again.
        settle(desk, "refused", event, destination="url")
        desk.call("publish_events_again", destination="url", event_id=event)
        db.execute("update event_publications set attempts = 3")
    url, bus = stage.side(), stage.side()
    url.do(lambda db: settle(at(desk, db), "refused", event, destination="url"))
    taken = bus.begin(lambda db: settle(at(desk, db), "published", event))
    stage.waits(bus)
    url.commit()
    taken.result()
    bus.commit()

    states = stage.rows("select destination, status from event_publications order by 1")
    assert [(row["destination"], row["status"]) for row in states] == [
        *[("eventbridge", "published"), ("url", "parked")]
    ]
    assert len(stage.rows("select from exceptions where resolved_at is null")) == 1


def test_an_event_that_is_sent_while_the_list_is_made_is_not_on_it(stage: Stage) -> None:
    with psycopg.connect(stage.url, row_factory=dict_row) as db:
        tenant = settle_tenant(db)
        desk = Desk(db, tenant.session)
        publish_to(db, tenant)
        event = happen(db, tenant)
        pass_time(db, 90_000)
    sender, watcher = stage.side(), stage.side()
    sender.do(lambda db: claim(at(desk, db)))
    sender.do(lambda db: settle(at(desk, db), "published", event))
    listing = watcher.begin(lambda db: at(desk, db).call("end_invariant_checks"))
    stage.waits(watcher)
    sender.commit()
    listing.result()
    watcher.commit()

    assert stage.rows("select from exceptions where resolved_at is null") == []
