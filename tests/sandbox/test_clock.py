"""The time machine: from due time to due time, never below what is recorded, never in live."""

import argparse
import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from books import settle
from psycopg.rows import dict_row

from sandbox import clock, commands, running
from sandbox.clock import Mover
from sandbox.journey import WATCHERS, Cron, Journey, crons, on_the_minute
from sandbox.queues import Queues, crons_of
from sandbox.world import Ports, WorldError

BATCH = 100
CHORES = """
create table chores (id bigserial, due_at timestamptz not null, times integer not null default 0);
create index chores_to_do on chores (due_at) where times < 12;
"""
DO_CHORES = """
update chores set times = times + 1, due_at = due_at + interval '1 month'
where id in (
    select id from chores where times < 12 and due_at <= clock_now() order by due_at limit %s
)
returning clock_now() as now
"""


class App:
    """Stands in for the service and the simulator: notes what it is told, and does the chores."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls: list[str] = []
        self.skews: list[int] = []
        self.told: list[datetime] = []  # what the time was when the simulator heard of it
        self.done: list[datetime] = []
        self.timers: list[datetime] = []  # of the simulator
        self.works = True
        self.pair: set[str] = set()  # whose first calls wait for each other
        self.meeting = threading.Barrier(2, timeout=30)
        app = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(app.take(self.path, body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                answer = json.dumps({"next_due": app.next_timer()}).encode()
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Say nothing: tests have a log of their own."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.database = psycopg.connect(url, autocommit=True, row_factory=dict_row)

    def take(self, path: str, body: dict[str, Any]) -> int:
        if path == "/_sandbox/clock":
            self.skews.append(body["skew_seconds"])
            self.told.append(now(self))
            return 200
        name = path.removeprefix("/crons/")
        self.calls.append(name)
        if name in self.pair:
            self.pair.remove(name)
            self.meeting.wait()
        if not self.works:
            return 503
        if path == "/crons/apply_gateway_events":
            rows = self.database.execute(DO_CHORES, [BATCH]).fetchall()
            self.done += [row["now"] for row in rows]
        return 200

    def next_timer(self) -> float | None:
        to_come = [timer for timer in self.timers if timer > now(self)]
        return min(to_come).timestamp() if to_come else None

    @property
    def ports(self) -> Ports:
        port = self.server.server_address[1]
        return Ports(port, port, port)


@pytest.fixture
def app(database: str) -> Iterator[App]:
    app = App(database)
    app.database.execute(CHORES)
    thread = threading.Thread(target=app.server.serve_forever, args=(0.02,))
    thread.start()
    yield app
    app.server.shutdown()
    thread.join()
    app.server.server_close()
    app.database.close()


def move(app: App, step: Callable[[Mover], Awaitable[None]]) -> None:
    asyncio.run(clock.do(running.Running(app.ports, app.url), step))


def now(app: App) -> datetime:
    (row,) = app.database.execute("select clock_now() as now").fetchall()
    return row["now"]


def chore(app: App, due: datetime, times: int = 11) -> None:
    app.database.execute("insert into chores (due_at, times) values (%s, %s)", [due, times])


def stops(app: App, length: timedelta) -> int:
    stories: list[int] = []

    async def go(mover: Mover) -> None:
        journey = Journey(mover.database, mover.web, app.ports)
        story = await journey.go(now(app) + length, lambda _now, _story: None)
        stories.append(story.stops)

    move(app, go)
    return stories[0]


def test_what_a_gateway_does_by_itself_is_a_stop(app: App) -> None:
    start = now(app)
    app.timers = [start + timedelta(days=3, seconds=7), start + timedelta(hours=5)]

    assert stops(app, timedelta(days=10)) == 3
    late = [found - due for found, due in zip(app.told, sorted(app.timers), strict=False)]
    assert all(timedelta() <= one < timedelta(minutes=2) for one in late)


def test_every_due_time_is_a_stop_and_the_minutes_between_are_not(app: App) -> None:
    start = now(app)
    dues = [start + timedelta(days=days, seconds=7) for days in (2, 9, 5)]
    for due in dues:
        chore(app, due)
    assert stops(app, timedelta(days=10)) == 4
    late = [found - due for found, due in zip(app.done, sorted(dues), strict=True)]
    assert all(timedelta() <= one < timedelta(minutes=2) for one in late)
    assert now(app) >= start + timedelta(days=10)
    assert app.skews == sorted(app.skews)


def test_a_year_of_a_thousand_monthly_chores_takes_seconds(app: App) -> None:
    start = now(app)
    for number in range(1000):
        chore(app, start + timedelta(days=1 + number % 7 * 4, hours=3), times=0)

    move(app, lambda mover: mover.advance(timedelta(days=366)))
    assert len(app.done) == 12_000
    assert app.database.execute("select from chores where times <> 12").fetchall() == []


def test_more_work_than_a_tick_can_do_goes_on_at_the_next_tick(app: App) -> None:
    start = now(app)
    for _ in range(BATCH * 3):
        chore(app, start + timedelta(hours=1))

    move(app, lambda mover: mover.advance(timedelta(days=1)))
    ticks = sorted({on_the_minute(moment - timedelta(seconds=50)) for moment in app.done})
    assert len(ticks) == 3
    assert ticks[2] - ticks[0] == timedelta(minutes=2)


def test_work_that_nobody_does_is_not_waited_for_minute_by_minute(app: App) -> None:
    app.works = False
    chore(app, now(app) + timedelta(hours=1))

    move(app, lambda mover: mover.advance(timedelta(days=30)))
    assert app.calls.count("apply_gateway_events") < 60


def test_at_the_end_every_cron_was_called_and_watchers_last(app: App) -> None:
    move(app, lambda mover: mover.advance(timedelta(hours=2)))

    assert set(app.calls) == {cron.name for cron in crons()}
    assert set(app.calls[-len(WATCHERS) :]) == WATCHERS


def test_crons_that_fail_are_named(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    app.works = False
    move(app, lambda mover: mover.advance(timedelta(hours=2)))

    assert "apply_gateway_events failed at last: 503" in capsys.readouterr().out


def test_the_queues_of_the_product_are_found(app: App) -> None:
    found: list[str] = []

    async def look(mover: Mover) -> None:
        found.extend(queue.table for queue in await Queues(mover.database).due())

    move(app, look)
    assert {"chores", "gateway_events"} <= set(found)


def test_a_cron_is_called_on_the_way_only_where_it_may_find_work(app: App) -> None:
    app.database.execute("comment on index chores_to_do is 'Queue of apply_gateway_events.'")
    chore(app, now(app) + timedelta(hours=1))

    assert stops(app, timedelta(days=1)) == 2
    assert app.calls.count("apply_gateway_events") == 2  # there, and at the end as every other
    assert app.calls.count("seal_ledger") == 2  # which no queue names
    assert app.calls.count("check_refunds") == 1


@pytest.mark.parametrize(("piled", "calls"), [(0, 1), (3, 2)])
def test_a_pile_makes_no_stop_and_is_looked_at_while_something_is_on_it(
    app: App, piled: int, calls: int
) -> None:
    app.database.execute("comment on index chores_to_do is 'Queue of apply_gateway_events.'")
    app.database.execute("create index chores_done on chores ((id + 1)) where times = 12")
    app.database.execute("comment on index chores_done is 'Pile of check_refunds.'")
    for _ in range(piled):
        app.database.execute("insert into chores (due_at, times) values (clock_now(), 12)")
    chore(app, now(app) + timedelta(hours=1))

    assert stops(app, timedelta(days=1)) == 2  # the chore's, and the end
    assert app.calls.count("check_refunds") == calls  # at the end it is called anyhow


def test_a_queue_that_names_no_cron_is_anybodys(app: App) -> None:
    chore(app, now(app) + timedelta(hours=1))

    assert stops(app, timedelta(days=1)) == 2
    assert app.calls.count("check_refunds") == 2


def test_what_ticks_together_is_called_together(app: App) -> None:
    app.pair = {"one", "other"}
    chore(app, now(app) + timedelta(hours=1))

    async def go(mover: Mover) -> None:
        journey = Journey(mover.database, mover.web, app.ports)
        names = ("first", "one", "other")
        journey.crons = [Cron(name, f"/crons/{name}", "* * * * *") for name in names]
        await journey.go(now(app) + timedelta(hours=2), lambda _now, _story: None)

    move(app, go)
    assert app.calls[0] == "first"  # alone: then the service knows the time
    assert app.pair == set()
    assert not app.meeting.broken


@pytest.mark.parametrize(
    ("about", "named"),
    [
        ("Queue of check_refunds.", {"check_refunds"}),
        ("Queue of one, two and three. It is long.", {"one", "two", "three"}),
        ("Pile of one and two.", {"one", "two"}),
        ("A queue of nobody.", set()),
        ("", set()),
    ],
)
def test_a_queues_comment_names_its_crons(about: str, named: set[str]) -> None:
    assert crons_of(about) == named


def test_the_queues_of_the_product_name_crons_that_there_are(app: App) -> None:
    found: dict[str, frozenset[str]] = {}

    async def look(mover: Mover) -> None:
        found.update({queue.name: queue.crons for queue in await Queues(mover.database).due()})

    move(app, look)
    assert frozenset().union(*found.values()) <= {cron.name for cron in crons()}
    assert {name for name, named in found.items() if not named} == {"chores_to_do"}


def test_time_goes_back_while_nothing_is_recorded(app: App) -> None:
    move(app, lambda mover: mover.advance(timedelta(days=3)))
    move(app, Mover.reset)

    assert datetime.now(UTC) <= now(app) <= datetime.now(UTC)
    assert app.skews[-1] == 0


def test_time_goes_back_to_the_worlds_however_long_it_takes(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = clock.newest_row

    async def look_long(database: Any) -> tuple[str, datetime | None]:
        await asyncio.sleep(0.6)
        return await look(database)

    monkeypatch.setattr(clock, "newest_row", look_long)
    move(app, Mover.reset)

    assert app.skews == [0]


def test_time_does_not_go_below_what_is_recorded(app: App) -> None:
    move(app, lambda mover: mover.advance(timedelta(days=3)))
    app.database.execute(
        "insert into exceptions (livemode, class, object_type, object_id, detail)"
        " values (false, 'some-trouble', 'event', gen_random_uuid(), 'for a person')"
    )

    with pytest.raises(WorldError, match=r"exceptions has a row of .*make reset"):
        move(app, Mover.reset)
    assert now(app) - datetime.now(UTC) > timedelta(days=2)


def test_a_database_with_live_customers_keeps_its_time(app: App) -> None:
    with psycopg.connect(app.url, row_factory=dict_row) as connection:
        tenant = settle(connection)
        connection.execute(
            "insert into customers (id, organization_id, livemode, user_id, email)"
            " values (%s, %s, true, %s, 'ada@example.com')",
            [uuid4(), tenant.organization_id, tenant.user_id],
        )

    with pytest.raises(WorldError, match="live"):
        move(app, Mover.show)


def test_a_live_environment_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUNIM_ENV", "live")
    with pytest.raises(SystemExit, match="live time does not move"):
        commands.main(["--state", str(tmp_path), "clock", "advance", "1d"])


def test_without_a_running_sandbox_there_is_no_clock(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="make run"):
        commands.main(["--state", str(tmp_path), "clock"])


def test_two_movers_at_once_are_one_too_many(app: App) -> None:
    with psycopg.connect(app.url) as other:
        other.execute("select pg_advisory_lock(%s)", [clock.ADVISORY_LOCK])
        with pytest.raises(WorldError, match="another command"):
            move(app, Mover.reset)
        move(app, Mover.show)  # looking is free


@pytest.mark.parametrize(
    ("text", "length"),
    [("3d", timedelta(days=3)), ("1w2d", timedelta(days=9)), ("1h30m", timedelta(minutes=90))],
)
def test_a_length_of_time_is_read(text: str, length: timedelta) -> None:
    assert clock.length(text) == length


@pytest.mark.parametrize("text", ["", "3", "d", "-3d", "3 d", "2d1w", "٣d", "9999w"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        clock.length(text)


@pytest.mark.parametrize("text", ["", "tomorrow", "2027-01-31T10:00", "2027-02-30T10:00Z"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        clock.moment(text)
