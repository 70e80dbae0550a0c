import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from engine.receiver import Answer, Receiver, new_database, open_pool, receiving, running, until

from sandbox.engine.triggers import crons
from sandbox.engine.triggers.crons import CronTriggers
from sandbox.postgres import Postgres

COUNT = "select count(*)::int from hdb_catalog.hdb_cron_events"
DUE = (
    "insert into hdb_catalog.hdb_cron_events (trigger_name, scheduled_time)"
    " values ('nightly', date_trunc('second', now()) - $1::int * interval '1 second')"
)
FAST = {"HASURA_GRAPHQL_SCHEDULED_EVENTS_FETCH_SECONDS": "0.02"}
FAR_HOUR = (datetime.now(UTC).hour + 12) % 24  # which does not come while the tests run


def trigger(**changes: Any) -> dict[str, Any]:
    item = {
        "name": "nightly",
        "webhook": "{{HOOKS}}/cron",
        "schedule": f"0 {FAR_HOUR} * * *",
        "include_in_metadata": True,
        "payload": {"kind": "settle"},
    }
    return item | changes


class Play:
    """A database, a webhook, and engines to be made over both."""

    def __init__(self, pool: Any, receiver: Receiver) -> None:
        self.pool = pool
        self.receiver = receiver

    def engine(self, *triggers: dict[str, Any], **environ: str) -> CronTriggers:
        given = {"cron_triggers": list(triggers or (trigger(),))}
        return CronTriggers(self.pool, given, {"HOOKS": self.receiver.url, **FAST, **environ})

    async def statuses(self) -> dict[str, int]:
        query = "select status, count(*) from hdb_catalog.hdb_cron_events group by 1"
        return {row[0]: row[1] for row in await self.pool.fetch(query)}

    async def settled(self, status: str, number: int) -> None:
        await until(self.pool, f"{COUNT} where status = '{status}'", number)


Run = Callable[[Callable[[Play], Awaitable[None]]], None]


@pytest.fixture
def play(bare_postgres: Postgres) -> Run:
    """Run a scene against a database of its own."""

    async def run(scene: Callable[[Play], Awaitable[None]]) -> None:
        url = new_database(bare_postgres)
        async with receiving() as receiver, open_pool(url) as pool:
            await scene(Play(pool, receiver))

    return lambda scene: asyncio.run(run(scene))


def test_a_hundred_events_lie_ahead_at_the_times_of_the_schedule_in_utc(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine().install()
        query = "select scheduled_time from hdb_catalog.hdb_cron_events order by 1"
        times = [row[0] for row in await stage.pool.fetch(query)]
        now = datetime.now(UTC)

        assert len(times) == 100
        assert now < times[0] <= now + timedelta(days=1)
        assert {(time.hour, time.minute, time.second) for time in times} == {(FAR_HOUR, 0, 0)}
        assert times[-1] - times[0] == timedelta(days=99)

    play(scene)


def test_a_due_event_is_delivered_with_the_body_of_the_contract(play: Run) -> None:
    async def scene(stage: Play) -> None:
        secret = [{"name": "X-Secret", "value_from_env": "SECRET"}]
        async with running(stage.engine(trigger(headers=secret, comment="why"), SECRET="s3")):
            await stage.pool.execute(DUE, 5)
            (request,) = await stage.receiver.wait_for(1)
            await stage.settled("delivered", 1)
        query = "select id, scheduled_time from hdb_catalog.hdb_cron_events order by 2 limit 1"
        row = await stage.pool.fetchrow(query)

        assert request.path == "/cron"
        assert request.headers["x-secret"] == "s3"
        assert request.headers["content-type"] == "application/json"
        assert request.body == {
            "id": row["id"],
            "name": "nightly",
            "scheduled_time": row["scheduled_time"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "payload": {"kind": "settle"},
            "comment": "why",
        }

    play(scene)


def test_no_digit_of_a_payload_is_lost(play: Run) -> None:
    async def scene(stage: Play) -> None:
        async with running(stage.engine()):
            await stage.pool.execute(
                "insert into hdb_catalog.hdb_scheduled_events"
                " (webhook_conf, scheduled_time, payload, retry_conf)"
                """ values (to_json($1::text), now(), '{"sum": 12345678901234567890.125}',"""
                """ '{"tolerance_seconds": null, "num_retries": null}')""",
                f"{stage.receiver.url}/once",
            )
            (request,) = await stage.receiver.wait_for(1)

        assert '"sum":1.2345678901234567890125e19' in request.text

    play(scene)


def test_without_a_comment_the_key_is_absent(play: Run) -> None:
    async def scene(stage: Play) -> None:
        async with running(stage.engine()):
            await stage.pool.execute(DUE, 5)
            (request,) = await stage.receiver.wait_for(1)

        assert request.body.keys() == {"id", "name", "scheduled_time", "payload"}

    play(scene)


def test_an_event_that_lies_ahead_is_not_delivered(play: Run) -> None:
    async def scene(stage: Play) -> None:
        async with running(stage.engine()):
            for number in (1, 2):  # the second look that finds something has passed over the others
                await stage.pool.execute(DUE, number * 60)
                await stage.settled("delivered", number)

        assert len(stage.receiver.requests) == 2
        assert await stage.statuses() == {"scheduled": 100, "delivered": 2}

    play(scene)


def test_an_event_found_too_late_is_dead_and_not_sent(play: Run) -> None:
    async def scene(stage: Play) -> None:
        late = trigger(retry_conf={"tolerance_seconds": 600})
        async with running(stage.engine(late)):
            await stage.pool.execute(DUE, 601)
            await stage.pool.execute(DUE, 300)
            await stage.settled("delivered", 1)
            await stage.settled("dead", 1)

        assert len(stage.receiver.requests) == 1

    play(scene)


def test_the_tolerance_is_six_hours_where_none_is_given(play: Run) -> None:
    async def scene(stage: Play) -> None:
        async with running(stage.engine()):
            await stage.pool.execute(DUE, 6 * 3600 - 300)
            await stage.pool.execute(DUE, 6 * 3600 + 300)
            await stage.settled("delivered", 1)
            await stage.settled("dead", 1)

    play(scene)


def test_a_failing_webhook_gets_its_retries_and_then_the_event_is_an_error(play: Run) -> None:
    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda _: Answer(500)
        retry = {"num_retries": 2, "retry_interval_seconds": 0, "timeout_seconds": 60}
        async with running(stage.engine(trigger(retry_conf=retry))):
            await stage.pool.execute(DUE, 1)
            await stage.settled("error", 1)
        logs = "select status, request from hdb_catalog.hdb_cron_event_invocation_logs"
        rows = await stage.pool.fetch(logs)

        assert len({request.body["id"] for request in stage.receiver.requests}) == 1
        assert [row["status"] for row in rows] == [500, 500, 500]
        assert json.loads(rows[0]["request"])["payload"] == stage.receiver.requests[0].body
        assert await stage.pool.fetchval(f"{COUNT} where tries = 3") == 1

    play(scene)


def test_retry_after_is_honoured(play: Run) -> None:
    waited = """select event.next_retry_at - log.created_at
        from hdb_catalog.hdb_cron_events as event
        join hdb_catalog.hdb_cron_event_invocation_logs as log on log.event_id = event.id"""
    due = "update hdb_catalog.hdb_cron_events set next_retry_at = now() where tries = 1"

    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda n: Answer() if n else Answer(429, {"Retry-After": "3600"})
        async with running(stage.engine()):
            await stage.pool.execute(DUE, 1)
            await until(stage.pool, waited, timedelta(hours=1))
            assert len(stage.receiver.requests) == 1
            await stage.pool.execute(due)
            await stage.settled("delivered", 1)

        assert len(stage.receiver.requests) == 2

    play(scene)


def test_two_engines_send_each_event_once(play: Run) -> None:
    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda _: Answer(wait_s=0.01)
        async with running(stage.engine(), stage.engine()):
            await stage.pool.execute(
                "insert into hdb_catalog.hdb_cron_events (trigger_name, scheduled_time)"
                " select 'nightly', now() - number * interval '1 second'"
                " from generate_series(1, 40) as number"
            )
            await stage.settled("delivered", 40)

        assert len(stage.receiver.requests) == 40
        assert (await stage.statuses())["scheduled"] == 100

    play(scene)


def test_engines_that_start_at_once_plan_each_time_once(play: Run) -> None:
    async def scene(stage: Play) -> None:
        engines = [stage.engine() for _ in range(4)]
        await asyncio.gather(*(engine.install() for engine in engines))

        assert await stage.pool.fetchval(COUNT) == 100

    play(scene)


def test_a_changed_schedule_replaces_what_lies_ahead_and_keeps_what_is_due(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine().install()
        await stage.pool.execute(DUE, 30)
        hour = (FAR_HOUR + 2) % 24
        await stage.engine(trigger(schedule=f"30 {hour} * * *")).install()
        query = (
            "select distinct extract(hour from scheduled_time at time zone 'utc')::int"
            " from hdb_catalog.hdb_cron_events where scheduled_time > now()"
        )

        assert [row[0] for row in await stage.pool.fetch(query)] == [hour]
        assert await stage.pool.fetchval(f"{COUNT} where scheduled_time < now()") == 1

    play(scene)


def test_a_removed_trigger_takes_its_events_along(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine().install()
        await stage.pool.execute(DUE, 30)
        await stage.pool.execute(
            "update hdb_catalog.hdb_cron_events set tries = 1 where scheduled_time ="
            " (select max(scheduled_time) from hdb_catalog.hdb_cron_events)"
        )
        await stage.engine(trigger(name="other", schedule="* * * * *")).install()
        names = await stage.pool.fetch(
            "select distinct trigger_name from hdb_catalog.hdb_cron_events"
        )

        assert [row[0] for row in names] == ["other"]

    play(scene)


def test_a_trigger_that_cannot_work_keeps_what_is_due(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine().install()
        await stage.pool.execute(DUE, 30)
        await stage.engine(trigger(webhook="{{NOWHERE}}")).install()

        assert await stage.statuses() == {"scheduled": 1}

    play(scene)


def test_more_is_planned_when_little_lies_ahead(play: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crons, "PLANNING_SECONDS", 0.05)

    async def scene(stage: Play) -> None:
        async with running(stage.engine()):
            await stage.pool.execute(
                "delete from hdb_catalog.hdb_cron_events where id in"
                " (select id from hdb_catalog.hdb_cron_events"
                " order by scheduled_time desc limit 60)"
            )
            await stage.settled("scheduled", 100)
        query = "select max(scheduled_time) - min(scheduled_time) from hdb_catalog.hdb_cron_events"

        assert await stage.pool.fetchval(query) == timedelta(days=99)

    play(scene)


def test_a_lock_of_an_engine_that_died_runs_out(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine().install()
        for seconds in (25 * 60, 35 * 60):
            await stage.pool.execute(DUE, seconds)
        await stage.pool.execute(
            "update hdb_catalog.hdb_cron_events set status = 'locked', locked_at = scheduled_time"
            " where scheduled_time < now()"
        )
        async with running(stage.engine()):
            await stage.settled("delivered", 1)
            await stage.pool.execute(DUE, 1)  # and another look
            await stage.settled("delivered", 2)

        assert (await stage.statuses())["locked"] == 1

    play(scene)


def test_a_delivery_on_its_way_is_finished_when_the_engine_stops(play: Run) -> None:
    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda _: Answer(wait_s=0.3)
        async with running(stage.engine()):
            await stage.pool.execute(DUE, 1)
            await stage.receiver.wait_for(1)

        assert (await stage.statuses())["delivered"] == 1

    play(scene)


def test_a_delivery_that_takes_too_long_is_released_when_the_engine_stops(play: Run) -> None:
    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda _: Answer(wait_s=600)
        async with running(stage.engine(HASURA_GRAPHQL_GRACEFUL_SHUTDOWN_TIMEOUT="0.1")):
            await stage.pool.execute(DUE, 1)
            await stage.receiver.wait_for(1)

        assert await stage.statuses() == {"scheduled": 101}

    play(scene)


@pytest.mark.parametrize(
    "schedule", ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 31 2 *", "@"]
)
def test_a_schedule_that_cannot_be_is_told_and_the_others_work(play: Run, schedule: str) -> None:
    async def scene(stage: Play) -> None:
        engine = stage.engine(trigger(name="bad", schedule=schedule), trigger())
        await engine.install()

        assert engine.problems.keys() == {"bad"}
        assert await stage.pool.fetchval(COUNT) == 100

    play(scene)


def test_a_one_off_event_is_delivered_when_its_time_has_come(play: Run) -> None:
    async def scene(stage: Play) -> None:
        engine = stage.engine(ONCE="yes")
        async with running(engine):
            event = {
                "webhook": "{{HOOKS}}/once",
                "schedule_at": "2026-01-02T03:04:05Z",
                "payload": {"a": 1},
                "headers": [{"name": "X-Once", "value_from_env": "ONCE"}],
                "retry_conf": {"tolerance_seconds": 10**9},
                "comment": "why",
            }
            event_id = await engine.schedule(event)
            later = await engine.schedule(event | {"schedule_at": "2999-01-01T00:00:00Z"})
            (request,) = await stage.receiver.wait_for(1)
            query = "select status from hdb_catalog.hdb_scheduled_events where id = '{}'"
            await until(stage.pool, query.format(event_id), "delivered")
        created_at = request.body.pop("created_at")

        assert request.path == "/once"
        assert request.headers["x-once"] == "yes"
        assert created_at.endswith("Z")
        assert request.body == {
            "id": event_id,
            "scheduled_time": "2026-01-02T03:04:05Z",
            "payload": {"a": 1},
            "comment": "why",
        }
        assert await stage.pool.fetchval(query.format(later)) == "scheduled"

    play(scene)


def test_a_one_off_event_that_is_too_late_is_dead(play: Run) -> None:
    async def scene(stage: Play) -> None:
        engine = stage.engine()
        async with running(engine):
            event = {"webhook": stage.receiver.url, "schedule_at": "2020-01-01T00:00:00Z"}
            event_id = await engine.schedule(event)
            query = f"select status from hdb_catalog.hdb_scheduled_events where id = '{event_id}'"
            await until(stage.pool, query, "dead")

        assert stage.receiver.requests == []

    play(scene)


@pytest.mark.parametrize("retry", [{"tolerance_seconds": "6h"}, {"num_retries": "3"}, {"a": []}])
def test_a_row_that_nobody_can_read_holds_up_no_other(play: Run, retry: dict[str, Any]) -> None:
    async def scene(stage: Play) -> None:
        async with running(stage.engine()):
            for conf in (json.dumps(retry), "{}"):
                await stage.pool.execute(
                    "insert into hdb_catalog.hdb_scheduled_events"
                    " (webhook_conf, scheduled_time, retry_conf)"
                    " values (to_json($1::text), now(), $2::json)",
                    f"{stage.receiver.url}/once",
                    conf,
                )
            await stage.receiver.wait_for(1)
            await stage.pool.execute(DUE, 5)
            await stage.settled("delivered", 1)

    play(scene)


def test_a_fault_of_the_engine_itself_stops_no_delivery(
    play: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [ValueError("a fault nobody thought of")]
    replan = CronTriggers.replan

    async def spoilt(triggers: CronTriggers) -> None:
        if faults:
            raise faults.pop()
        await replan(triggers)

    async def scene(stage: Play) -> None:
        monkeypatch.setattr(CronTriggers, "replan", spoilt)
        monkeypatch.setattr("sandbox.engine.triggers.delivery.PAUSE_SECONDS", 0.01)
        async with running(stage.engine()):
            await stage.pool.execute(DUE, 5)
            await stage.receiver.wait_for(1)
        assert not faults

    play(scene)
