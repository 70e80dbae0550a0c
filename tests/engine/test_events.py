import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from engine import leaps, waiting
from engine.harness import started_on_a_port_of_its_own
from engine.receiver import (
    SECONDS_MAX,
    Answer,
    Receiver,
    new_database,
    open_pool,
    receiving,
    running,
    until,
)

from sandbox.engine.errors import EngineError
from sandbox.engine.settings import SettingsError
from sandbox.engine.triggers import delivery
from sandbox.engine.triggers.delivery import Job, Pace, Pump, Result, decide
from sandbox.engine.triggers.events import EventTriggers, spell_numbers
from sandbox.engine.triggers.webhooks import Response, Retry
from sandbox.postgres import Postgres

PAID = "create table paid (id int primary key, amount numeric, note text, extra json)"
INSERT = "insert into paid values (1, 150.50, 'rent', '{}')"
COUNT = "select count(*) from hdb_catalog.event_log"
# A poll that never comes, so that what arrives was rung for; retries need the poll.
SLOW = {"HASURA_GRAPHQL_EVENTS_FETCH_INTERVAL": "600000"}
FAST = {"HASURA_GRAPHQL_EVENTS_FETCH_INTERVAL": "20"}


def trigger(name: str = "paid_changed", **changes: Any) -> dict[str, Any]:
    item = {
        "name": name,
        "definition": {operation: {"columns": "*"} for operation in ("insert", "update", "delete")},
        "webhook": "{{HOOKS}}/hook",
        "retry_conf": {"num_retries": 0, "interval_sec": 0, "timeout_sec": 60},
    }
    return item | changes


def document(*triggers: dict[str, Any], table: str = "paid") -> dict[str, Any]:
    place = {"schema": "public", "name": table}
    return {"sources": [{"tables": [{"table": place, "event_triggers": list(triggers)}]}]}


class Play:
    """A database with a table, a webhook, and engines to be made over both."""

    def __init__(self, url: str, pool: Any, receiver: Receiver) -> None:
        self.url = url
        self.pool = pool
        self.receiver = receiver

    def engine(self, *triggers: dict[str, Any], pool: Any = None, **environ: str) -> EventTriggers:
        given = document(*(triggers or (trigger(),)))
        return EventTriggers(
            pool or self.pool, given, {"HOOKS": self.receiver.url, **SLOW, **environ}
        )

    async def bodies(self, number: int) -> list[dict[str, Any]]:
        return [request.body for request in await self.receiver.wait_for(number)]

    async def settled(self, number: int) -> None:
        await until(self.pool, f"{COUNT} where delivered or error", number)


@asynccontextmanager
async def playing(url: str) -> AsyncIterator[Play]:
    async with receiving() as receiver, open_pool(url) as pool:
        await pool.execute(PAID)
        yield Play(url, pool, receiver)


@pytest.fixture
def play(bare_postgres: Postgres) -> Callable[[Callable[[Play], Awaitable[None]]], None]:
    """Run a scene against a database of its own."""

    async def run(scene: Callable[[Play], Awaitable[None]]) -> None:
        async with playing(new_database(bare_postgres)) as stage:
            await scene(stage)

    return lambda scene: asyncio.run(run(scene))


Run = Callable[[Callable[[Play], Awaitable[None]]], None]


def test_an_insert_is_delivered_at_once_with_the_body_of_the_contract(play: Run) -> None:
    async def scene(stage: Play) -> None:
        secret = [{"name": "X-Secret", "value_from_env": "SECRET"}]
        async with running(stage.engine(trigger(headers=secret), SECRET="s3")):
            await stage.pool.execute(INSERT)
            (request,) = await stage.receiver.wait_for(1)
            await stage.settled(1)
        row = await stage.pool.fetchrow("select id, created_at, tries from hdb_catalog.event_log")

        assert request.path == "/hook"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"].startswith("hasura-graphql-engine/v2.")
        assert request.headers["x-secret"] == "s3"
        assert row["tries"] == 1
        assert request.body == {
            "id": row["id"],
            "created_at": row["created_at"].isoformat(),
            "delivery_info": {"current_retry": 0, "max_retries": 0},
            "trigger": {"name": "paid_changed"},
            "table": {"schema": "public", "name": "paid"},
            "event": {
                "op": "INSERT",
                "data": {
                    "old": None,
                    "new": {"id": 1, "amount": 150.5, "note": "rent", "extra": {}},
                },
                "session_variables": None,
                "trace_context": None,
            },
        }

    play(scene)


def test_update_and_delete_tell_the_old_row(play: Run) -> None:
    async def scene(stage: Play) -> None:
        async with running(stage.engine()):
            await stage.pool.execute(INSERT)
            await stage.pool.execute("update paid set note = 'food'")
            await stage.pool.execute("delete from paid")
            bodies = await stage.bodies(3)
        data = {body["event"]["op"]: body["event"]["data"] for body in bodies}

        assert data["UPDATE"]["old"]["note"] == "rent"
        assert data["UPDATE"]["new"]["note"] == "food"
        assert data["DELETE"]["old"]["note"] == "food"
        assert data["DELETE"]["new"] is None

    play(scene)


def test_an_update_fires_only_when_a_listened_column_differs(play: Run) -> None:
    async def scene(stage: Play) -> None:
        listened = {"update": {"columns": ["amount", "extra"], "payload": ["id", "amount"]}}
        await stage.engine(trigger(definition=listened)).install()
        await stage.pool.execute(INSERT)
        await stage.pool.execute("update paid set note = 'other', amount = 150.500")
        unheard = await stage.pool.fetchval(COUNT)
        await stage.pool.execute("update paid set amount = 151")
        await stage.pool.execute("""update paid set extra = '{"a": 1}'""")
        heard = await stage.pool.fetch("select payload from hdb_catalog.event_log")

        assert unheard == 0
        assert len(heard) == 2
        assert json.loads(heard[0]["payload"])["data"]["new"] == {"id": 1, "amount": 151}

    play(scene)


def test_an_update_that_changes_nothing_is_no_event(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine(trigger(definition={"update": {"columns": "*"}})).install()
        await stage.pool.execute(INSERT)
        await stage.pool.execute("update paid set note = note")

        assert await stage.pool.fetchval(COUNT) == 0

    play(scene)


def test_a_rolled_back_change_is_no_event(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine().install()
        async with stage.pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(INSERT)
            during = await connection.fetchval(COUNT)
            await transaction.rollback()

        assert during == 1
        assert await stage.pool.fetchval(COUNT) == 0

    play(scene)


def test_any_role_that_may_write_the_table_makes_events(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine().install()
        async with stage.pool.acquire() as connection, connection.transaction():
            await connection.execute("create role stranger")
            await connection.execute("grant insert on paid to stranger")
            await connection.execute("set local role stranger; set local search_path = ''")
            await connection.execute(INSERT.replace("paid", "public.paid"))
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.fetch("select * from hdb_catalog.event_log")
            await connection.execute("reset role; drop owned by stranger; drop role stranger")

        assert await stage.pool.fetchval(COUNT) == 1

    play(scene)


def test_session_variables_and_trace_context_come_from_the_transaction(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine().install()
        async with stage.pool.acquire() as connection, connection.transaction():
            local = "select set_config($1, $2, true)"
            await connection.execute(local, "hasura.user", '{"x-hasura-role": "user"}')
            await connection.execute(local, "hasura.tracecontext", '{"trace_id": "1"}')
            await connection.execute(INSERT)
        payload = json.loads(await stage.pool.fetchval("select payload from hdb_catalog.event_log"))

        assert payload["session_variables"] == {"x-hasura-role": "user"}
        assert payload["trace_context"] == {"trace_id": "1"}

    play(scene)


def test_a_failing_webhook_gets_all_its_retries_with_one_id(play: Run) -> None:
    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda number: Answer((500, 302, 404)[number])
        retry = {"num_retries": 2, "interval_sec": 0, "timeout_sec": 60}
        async with running(stage.engine(trigger(retry_conf=retry), **FAST)):
            await stage.pool.execute(INSERT)
            bodies = await stage.bodies(3)
            await stage.settled(1)
        row = await stage.pool.fetchrow("select error, delivered, tries from hdb_catalog.event_log")
        logs = "select status from hdb_catalog.event_invocation_logs order by created_at"

        assert tuple(row) == (True, False, 3)
        assert len({body["id"] for body in bodies}) == 1
        assert [body["delivery_info"] for body in bodies] == [
            {"current_retry": tries, "max_retries": 2} for tries in range(3)
        ]
        assert [row[0] for row in await stage.pool.fetch(logs)] == [500, 302, 404]

    play(scene)


def test_retry_after_forces_another_try_when_retries_are_used_up(play: Run) -> None:
    waited = """select event.next_retry_at - log.created_at from hdb_catalog.event_log as event
        join hdb_catalog.event_invocation_logs as log on log.event_id = event.id"""
    due = "update hdb_catalog.event_log set next_retry_at = timezone('utc', now())"

    async def scene(stage: Play) -> None:
        later = Answer(503, {"Retry-After": "3600"})
        stage.receiver.answer = lambda number: Answer() if number else later
        async with running(stage.engine(**FAST)):
            await stage.pool.execute(INSERT)
            await until(stage.pool, waited, timedelta(hours=1))
            assert len(stage.receiver.requests) == 1
            await stage.pool.execute(due)
            await stage.settled(1)

        assert await stage.pool.fetchval(f"{COUNT} where delivered and tries = 2") == 1

    play(scene)


@pytest.mark.parametrize(
    ("status", "header", "tries", "expected"),
    [
        (204, "5", 0, ("delivered", None)),
        (299, "", 9, ("delivered", None)),
        (300, "", 0, ("retry", 7.0)),
        (500, "", 1, ("retry", 7.0)),
        (500, "", 2, ("error", None)),
        (500, "3", 2, ("retry", 3.0)),
        (500, "3", 0, ("retry", 3.0)),
        (500, " 3 ", 2, ("retry", 3.0)),
        (500, "0", 2, ("error", None)),
        (500, "-3", 2, ("error", None)),
        (500, "1.5", 2, ("error", None)),
        (500, "9" * 400, 2, ("retry", 999_999_999.0)),
        (500, "9" * 5000, 2, ("retry", 999_999_999.0)),
        (500, "Wed, 21 Oct 2026 07:28:00 GMT", 2, ("error", None)),
        (None, "", 1, ("retry", 7.0)),
    ],
)
def test_the_next_step_follows_from_status_header_and_tries(
    status: int | None, header: str, tries: int, expected: tuple[str, float | None]
) -> None:
    response = Response(status, headers=[("Retry-After", header)])

    assert decide(response, tries, Retry(retries=2, interval_s=7.0)) == expected


def test_a_webhook_that_does_not_answer_in_time_has_failed(play: Run) -> None:
    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda _: Answer(wait_s=600)
        retry = {"num_retries": 0, "interval_sec": 0, "timeout_sec": 0.1}
        async with running(stage.engine(trigger(retry_conf=retry))):
            await stage.pool.execute(INSERT)
            await stage.settled(1)
        logs = "select response, status from hdb_catalog.event_invocation_logs"
        row = await stage.pool.fetchrow(logs)

        assert json.loads(row["response"]) == {
            "type": "client_error",
            "version": "2",
            "data": {"message": "no answer within 0.1 seconds"},
        }
        assert row["status"] is None

    play(scene)


def test_a_fault_of_the_engine_is_a_failed_try(play: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> Response:
        raise RecursionError

    monkeypatch.setattr(delivery, "ask", broken)

    async def scene(stage: Play) -> None:
        async with running(stage.engine(trigger())):
            await stage.pool.execute(INSERT)
            await stage.settled(1)

        assert await stage.pool.fetchval(f"{COUNT} where error and tries = 1") == 1

    play(scene)


def test_a_webhook_that_is_not_there_has_failed(play: Run) -> None:
    async def scene(stage: Play) -> None:
        engine = stage.engine(trigger(webhook="http://127.0.0.1:1/none"))
        async with running(engine):
            await stage.pool.execute(INSERT)
            await stage.settled(1)

        assert await stage.pool.fetchval(f"{COUNT} where error and tries = 1") == 1

    play(scene)


def test_each_attempt_is_logged_without_the_secrets_of_its_headers(play: Run) -> None:
    async def scene(stage: Play) -> None:
        items = [{"name": "A", "value": "open"}, {"name": "B", "value_from_env": "SECRET"}]
        async with running(stage.engine(trigger(headers=items), SECRET="hidden-value")):
            await stage.pool.execute(INSERT)
            await stage.settled(1)
        row = await stage.pool.fetchrow("select * from hdb_catalog.event_invocation_logs")
        request = json.loads(row["request"])

        assert row["trigger_name"] == "paid_changed"
        assert row["status"] == 200
        assert request["payload"] == stage.receiver.requests[0].body
        assert request["version"] == "2"
        assert [header["name"] for header in request["headers"]] == [
            "Content-Type",
            "User-Agent",
            "A",
            "B",
        ]
        assert request["headers"][3] == {"name": "B", "value_from_env": "SECRET"}
        assert json.loads(row["response"])["data"]["body"] == "{}"
        assert "hidden-value" not in str(row)

    play(scene)


def test_a_refusal_is_logged_with_its_status_and_nothing_but_its_text(play: Run) -> None:
    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda _: Answer(404, {"X-A": "b"}, text="gone")
        async with running(stage.engine()):
            await stage.pool.execute(INSERT)
            await stage.settled(1)
        logs = "select status, response from hdb_catalog.event_invocation_logs"
        row = await stage.pool.fetchrow(logs)

        assert row["status"] == 404
        assert json.loads(row["response"]) == {
            "type": "client_error",
            "version": "2",
            "data": {"message": "gone"},
        }

    play(scene)


def test_what_hasura_sends_by_itself_the_metadata_cannot_replace(play: Run) -> None:
    async def scene(stage: Play) -> None:
        items = [{"name": "content-type", "value": "a/b"}, {"name": "USER-AGENT", "value": "me"}]
        async with running(stage.engine(trigger(headers=items))):
            await stage.pool.execute(INSERT)
            (request,) = await stage.receiver.wait_for(1)

        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"].startswith("hasura-graphql-engine/")

    play(scene)


def test_a_trigger_fires_for_replicated_rows_only_when_it_is_told_to(play: Run) -> None:
    async def scene(stage: Play) -> None:
        async def replicated(*, told: bool) -> int:
            await stage.engine(trigger(trigger_on_replication=told)).install()
            async with stage.pool.acquire() as connection, connection.transaction():
                await connection.execute("set local session_replication_role = replica")
                await connection.execute("delete from paid")
                await connection.execute(INSERT)
            return int(await stage.pool.fetchval(f"{COUNT} where payload ->> 'op' = 'INSERT'"))

        assert [await replicated(told=told) for told in (False, True, False)] == [0, 1, 1]

    play(scene)


def test_settings_of_other_editions_are_accepted(play: Run) -> None:
    async def scene(stage: Play) -> None:
        cleanup = {"schedule": "0 0 * * *", "clear_older_than": 168, "paused": True}
        retry = {"num_retries": None, "interval_sec": None, "timeout_sec": None, "tolerance": 1}
        engine = stage.engine(trigger(cleanup_config=cleanup, retry_conf=retry))
        async with running(engine):
            await stage.pool.execute(INSERT)
            (body,) = await stage.bodies(1)

        assert not engine.problems
        assert body["delivery_info"]["max_retries"] == 0

    play(scene)


def test_big_numbers_become_text_when_that_is_set(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.pool.execute("alter table paid add big bigint default 9007199254740993")
        await stage.engine(HASURA_GRAPHQL_STRINGIFY_NUMERIC_TYPES="true").install()
        await stage.pool.execute(INSERT)
        payload = json.loads(await stage.pool.fetchval("select payload from hdb_catalog.event_log"))

        assert payload["data"]["new"] == {
            "id": 1,
            "amount": "150.50",
            "big": "9007199254740993",
            "note": "rent",
            "extra": {},
        }

    play(scene)


@pytest.mark.parametrize(
    ("number", "spelled"),
    [
        ("150.50", "150.5"),
        ("10.00", "10.0"),
        ("0.05", "5.0e-2"),
        ("0.1", "0.1"),
        ("-0.125", "-0.125"),
        ("0.00", "0.0"),
        ("1234567.5", "1234567.5"),
        ("12345678.50", "1.23456785e7"),
        ("100000000.0", "1.0e8"),
        ("-0.0012", "-1.2e-3"),
        ("123456789012345678901234567890.5", "1.234567890123456789012345678905e29"),
        ("9007199254740993", "9007199254740993"),
        ('"10.00 \\" 20.50"', '"10.00 \\" 20.50"'),
    ],
)
def test_fractions_are_spelled_as_hasura_does(number: str, spelled: str) -> None:
    assert spell_numbers(f'{{"a": {number}, "b": 1.50}}') == f'{{"a": {spelled}, "b": 1.5}}'


def test_two_engines_share_the_events_and_send_each_once(play: Run) -> None:
    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda _: Answer(wait_s=0.01)
        pace = {**FAST, "HASURA_GRAPHQL_EVENTS_FETCH_BATCH_SIZE": "10"}
        rows = "insert into paid select number from generate_series(1, 300) as number"
        async with running(stage.engine(**pace), stage.engine(**pace)):
            await stage.pool.execute(rows)
            await stage.settled(300)
        ids = [request.body["event"]["data"]["new"]["id"] for request in stage.receiver.requests]

        assert sorted(ids) == list(range(1, 301))

    play(scene)


def test_two_engines_can_be_installed_at_once(play: Run) -> None:
    async def scene(stage: Play) -> None:
        engines = [stage.engine() for _ in range(4)]
        await asyncio.gather(*(engine.install() for engine in engines))
        await stage.pool.execute(INSERT)

        assert await stage.pool.fetchval(COUNT) == 1
        assert all(engine.problems == {} for engine in engines)

    play(scene)


def test_installing_again_leaves_what_is_right_and_replaces_the_rest(play: Run) -> None:
    async def scene(stage: Play) -> None:
        query = r"select oid, xmin, tgname from pg_trigger where tgname like 'notify\_%'"
        await stage.engine(trigger("one"), trigger("two")).install()
        before = {row["tgname"]: tuple(row) for row in await stage.pool.fetch(query)}
        only_notes = {"update": {"columns": ["note"]}}
        await stage.engine(trigger("one"), trigger("two", definition=only_notes)).install()
        after = {row["tgname"]: tuple(row) for row in await stage.pool.fetch(query)}

        assert len(before) == 6
        assert after.keys() == {
            *(f"notify_hasura_one_{operation}" for operation in ("INSERT", "UPDATE", "DELETE")),
            "notify_hasura_two_UPDATE",
        }
        assert after["notify_hasura_one_INSERT"] == before["notify_hasura_one_INSERT"]
        assert after["notify_hasura_two_UPDATE"] != before["notify_hasura_two_UPDATE"]

    play(scene)


def test_a_column_may_come_and_go_after_the_installation(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine().install()
        await stage.pool.execute("alter table paid drop note, add colour text default 'red'")
        await stage.pool.execute("alter table paid alter amount type text")
        await stage.pool.execute("insert into paid (id, amount) values (1, 'much')")
        payload = json.loads(await stage.pool.fetchval("select payload from hdb_catalog.event_log"))

        assert payload["data"]["new"] == {"id": 1, "amount": "much", "extra": None, "colour": "red"}

    play(scene)


def test_a_partition_speaks_for_its_table(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.pool.execute(
            "drop table paid; create table paid (id int) partition by range (id);"
            "create table paid_low partition of paid for values from (0) to (10)"
        )
        for _ in range(2):
            await stage.engine().install()
        await stage.pool.execute("insert into paid values (1)")

        names = await stage.pool.fetch("select table_name from hdb_catalog.event_log")
        assert [row[0] for row in names] == ["paid"]

    play(scene)


def test_a_lock_of_an_engine_that_died_runs_out(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine().install()
        await stage.pool.execute(INSERT)
        await stage.pool.execute("insert into paid values (2)")
        await stage.pool.execute(
            "update hdb_catalog.event_log set locked = now() - interval '20 minutes'"
            " * (payload->'data'->'new'->>'id')::int"
        )
        async with running(stage.engine(**FAST)):
            await stage.settled(1)
        left = await stage.engine().claim(10)

        assert left == []
        assert [body["event"]["data"]["new"]["id"] for body in await stage.bodies(1)] == [2]

    play(scene)


def test_when_a_lock_runs_out_is_a_setting(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine().install()
        await stage.pool.execute(INSERT)
        await stage.pool.execute(
            "update hdb_catalog.event_log set locked = now() - interval '20 minutes'"
        )
        patient = stage.engine(HASURA_GRAPHQL_EVENTS_LOCK_SECONDS="1300")
        hasty = stage.engine(HASURA_GRAPHQL_EVENTS_LOCK_SECONDS="1100")

        assert not await patient.claim(10)
        assert len(await hasty.claim(10)) == 1

    play(scene)


def test_a_delivery_on_its_way_is_finished_when_the_engine_stops(play: Run) -> None:
    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda _: Answer(wait_s=0.3)
        async with running(stage.engine()):
            await stage.pool.execute(INSERT)
            await stage.receiver.wait_for(1)

        assert await stage.pool.fetchval(f"{COUNT} where delivered and locked is null") == 1

    play(scene)


def test_a_delivery_that_takes_too_long_is_unlocked_when_the_engine_stops(play: Run) -> None:
    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda _: Answer(wait_s=600)
        async with running(stage.engine(HASURA_GRAPHQL_GRACEFUL_SHUTDOWN_TIMEOUT="0.1")):
            await stage.pool.execute(INSERT)
            await stage.receiver.wait_for(1)
        untouched = f"{COUNT} where locked is null and not delivered and not error and tries = 0"

        assert await stage.pool.fetchval(untouched) == 1

    play(scene)


def test_an_engine_stops_although_the_bell_rings_at_that_moment(play: Run) -> None:
    async def scene(stage: Play) -> None:
        engine = stage.engine(trigger(definition={"enable_manual": True}))
        await engine.install()
        task = asyncio.create_task(engine.run())
        await engine.invoke("paid_changed", {})
        await stage.settled(1)
        await asyncio.sleep(0.05)
        await engine.invoke("paid_changed", {})  # rings as its last deed
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=SECONDS_MAX)

        assert done == {task}

    play(scene)


def test_many_events_are_claimed_and_settled_in_batches(play: Run) -> None:
    async def scene(stage: Play) -> None:
        rows = "insert into paid select number from generate_series(1, 500) as number"
        engine = stage.engine()
        calls = {"claim": 0, "settle": 0}
        claim, settle = engine.claim, engine.settle

        async def counted_claim(limit: int) -> Any:
            calls["claim"] += 1
            return await claim(limit)

        async def counted_settle(results: Any) -> None:
            calls["settle"] += 1
            # However slow the machine is, the next ones have come before these are recorded.
            await stage.receiver.wait_for(min(500, 50 * calls["settle"]))
            await settle(results)

        engine.claim, engine.settle = counted_claim, counted_settle  # type: ignore[method-assign]  # to count
        async with running(engine):
            await stage.pool.execute(rows)
            await stage.settled(500)

        assert calls["claim"] < 50
        assert calls["settle"] < 250

    play(scene)


class Counted:
    """Twenty jobs of nobody's webhook: how many were claimed and recorded at a time."""

    def __init__(self, until_recorded: int) -> None:
        self.jobs = [Job(str(number), "nobodys", 0) for number in range(20)]
        self.due: list[Job] = []
        self.claims: list[int] = []
        self.records: list[int] = []
        self.until_recorded = until_recorded
        self.is_enough = asyncio.Event()
        self.was_claimed = asyncio.Event()

    async def claim(self, limit: int) -> list[Job]:
        taken, self.due = self.due[:limit], self.due[limit:]
        self.claims.append(len(taken))
        self.was_claimed.set()
        self._look()
        return taken

    async def next_claim(self) -> None:
        self.was_claimed.clear()
        await self.was_claimed.wait()

    async def settle(self, results: list[Result]) -> None:
        self.records.append(len(results))
        self._look()

    def _look(self) -> None:
        if sum(self.claims) == 20 and sum(self.records) >= self.until_recorded:
            self.is_enough.set()

    async def come(self, pump: Pump) -> None:
        """Come one after the other."""
        for job in self.jobs:
            await asyncio.sleep(0.01)
            self.due.append(job)
            pump.bell.set()


async def pumped(queue: Counted, pump: Pump) -> None:
    """Pump until it is enough, and stop."""
    pumping = asyncio.create_task(pump.run())
    if not queue.due:
        await queue.come(pump)
    async with asyncio.timeout(20):
        await queue.is_enough.wait()
    pumping.cancel()
    await asyncio.gather(pumping, return_exceptions=True)


def test_what_comes_in_quick_succession_is_claimed_and_recorded_together() -> None:
    queue = Counted(until_recorded=20)
    leaps.run(pumped(queue, Pump(queue, Pace(interval_s=600, gather_s=0.5))))

    assert sum(queue.claims) == sum(queue.records) == 20
    assert len(queue.claims) <= 10
    assert len(queue.records) <= 10


def test_changes_of_what_nobody_watches_cost_few_looks_and_delay_nothing_else() -> None:
    queue = Counted(until_recorded=20)
    pump = Pump(queue, Pace(interval_s=1.0, gather_s=0.02))
    waited: list[float] = []

    async def change(seconds: float) -> None:
        for _ in range(round(seconds / 0.005)):
            pump.bell.set()
            await asyncio.sleep(0.005)

    async def appear() -> None:
        loop = asyncio.get_running_loop()
        queue.due.append(queue.jobs.pop())
        begun, known = loop.time(), sum(queue.claims)
        pump.bell.set()
        while sum(queue.claims) == known:
            await queue.next_claim()
        waited.append(loop.time() - begun)

    async def scene() -> None:
        pumping = asyncio.create_task(pump.run())
        await change(10)
        looks = len(queue.claims)
        await appear()
        await asyncio.sleep(1)
        await queue.next_claim()  # the look of one who has heard nothing for a second
        await appear()
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)
        assert looks <= 10 / 0.16 + 5

    leaps.run(scene())
    assert waited[0] <= 0.17
    assert waited[1] <= 0.03


def test_what_waits_to_be_recorded_is_recorded_when_the_engine_stops() -> None:
    queue = Counted(until_recorded=1)
    queue.due = [*queue.jobs]
    leaps.run(pumped(queue, Pump(queue, Pace(gather_s=0.5, batch_max=1))))

    assert sum(queue.records) == 20
    assert queue.records[0] < 20  # so the others had to wait


def test_a_result_that_cannot_be_stored_does_not_hold_up_the_others(play: Run) -> None:
    async def scene(stage: Play) -> None:
        engine = stage.engine()
        settle = engine.settle

        async def settle_unless_first(results: list[Result]) -> None:
            if any('"new": {"id": 1,' in result.job.body for result in results):
                raise asyncpg.DataError("it has a character that cannot be stored")
            await settle(results)

        engine.settle = settle_unless_first  # type: ignore[method-assign]  # to fail on one
        async with running(engine):
            await stage.pool.execute("insert into paid values (1), (2), (3)")
            await stage.settled(2)
            await stage.bodies(3)

        assert await stage.pool.fetchval(f"{COUNT} where locked is not null") == 1

    play(scene)


def test_an_event_can_be_made_by_hand_where_that_is_allowed(play: Run) -> None:
    async def scene(stage: Play) -> None:
        engine = stage.engine(trigger(definition={"enable_manual": True}), trigger("other"))
        async with running(engine):
            event_id = await engine.invoke("paid_changed", {"a": 1.5})
            (body,) = await stage.bodies(1)

        assert body["id"] == event_id
        assert body["event"]["op"] == "MANUAL"
        assert body["event"]["data"] == {"old": None, "new": {"a": 1.5}}
        assert body["event"]["session_variables"] == {"x-hasura-role": "admin"}
        assert body["table"] == {"schema": "public", "name": "paid"}
        with pytest.raises(EngineError, match="manual mode is not enabled"):
            await engine.invoke("other", {})
        with pytest.raises(EngineError, match="does not exist"):
            await engine.invoke("none", {})

    play(scene)


def test_a_failed_event_can_be_delivered_again_with_the_same_id(play: Run) -> None:
    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda number: Answer(200 if number else 500)
        engine = stage.engine()
        async with running(engine):
            await stage.pool.execute(INSERT)
            await stage.settled(1)
            event_id = await stage.pool.fetchval("select id from hdb_catalog.event_log")
            await engine.redeliver(event_id)
            first, second = await stage.bodies(2)
            await until(stage.pool, f"{COUNT} where delivered and not error", 1)

        assert first == second

    play(scene)


def test_an_event_that_is_being_processed_or_unknown_is_not_redelivered(play: Run) -> None:
    async def scene(stage: Play) -> None:
        engine = stage.engine()
        await engine.install()
        await stage.pool.execute(INSERT)
        query = "update hdb_catalog.event_log set locked = now() returning id"
        event_id = await stage.pool.fetchval(query)
        with pytest.raises(EngineError, match="event is already being processed") as busy:
            await engine.redeliver(event_id)
        with pytest.raises(EngineError, match="event not found") as unknown:
            await engine.redeliver("none")

        assert (busy.value.code, unknown.value.code) == ("busy", "not-exists")

    play(scene)


def test_an_event_whose_trigger_is_not_known_waits_a_minute(play: Run) -> None:
    async def scene(stage: Play) -> None:
        await stage.engine(trigger("old")).install()
        await stage.pool.execute(INSERT)
        ahead = "select timezone('utc', now()) + interval '1 minute'"
        earliest = await stage.pool.fetchval(ahead)
        async with running(stage.engine(trigger("new"), **FAST)):
            await until(stage.pool, f"{COUNT} where next_retry_at is not null", 1)
        found = await stage.pool.fetchval("select next_retry_at from hdb_catalog.event_log")

        assert earliest <= found <= await stage.pool.fetchval(ahead)
        row = await stage.pool.fetchrow("select locked, tries, error from hdb_catalog.event_log")
        assert tuple(row) == (None, 0, False)
        assert stage.receiver.requests == []

    play(scene)


def test_a_trigger_that_cannot_work_is_told_and_the_others_work(play: Run) -> None:
    async def scene(stage: Play) -> None:
        given = document(
            trigger("unset", webhook="{{NOWHERE}}"), trigger("good"), trigger("n" * 43)
        )
        given["sources"] += document(trigger("lost"), table="nosuch")["sources"]
        engine = EventTriggers(stage.pool, given, {"HOOKS": stage.receiver.url})
        async with running(engine):
            await stage.pool.execute(INSERT)
            (body,) = await stage.bodies(1)

        assert body["trigger"] == {"name": "good"}
        assert engine.problems == {
            "unset": "environment variable NOWHERE is not set, {{NOWHERE}} needs it",
            "n" * 43: "its name has more than 42 characters",
            "lost": 'relation "public.nosuch" does not exist',
        }

    play(scene)


def test_an_engine_without_ownership_of_the_tables_is_enough(play: Run) -> None:
    async def scene(stage: Play) -> None:
        role = f"engine_{urlsplit(stage.url).path[-12:]}"
        await stage.pool.execute(
            f"create role {role} login password 'engine'; grant trigger on paid to {role};"
            f"create schema hdb_catalog authorization {role}"
        )
        url = f"postgresql://{role}:engine@{stage.url.rpartition('@')[2]}"
        async with open_pool(url) as pool:
            async with running(stage.engine(pool=pool)):
                await stage.pool.execute(INSERT)
                await stage.settled(1)
            for _ in range(2):
                await stage.engine(trigger("other", definition={}), pool=pool).install()
            await stage.pool.execute("update paid set note = 'silenced'")
            silenced = await stage.pool.fetchval(COUNT)
            await stage.engine(pool=pool).install()
            await stage.pool.execute("update paid set note = 'heard'")

        assert silenced == 1
        assert await stage.pool.fetchval(COUNT) == 2

    play(scene)


async def until_it_answers(pool: Any) -> None:
    async def answers() -> bool:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return bool(await pool.fetchval("select true"))
        return False

    await waiting.until(answers)


def test_deliveries_go_on_after_a_restart_of_postgres(tmp_path: Path) -> None:
    async def scene(server: Postgres) -> None:
        async with playing(new_database(server)) as stage, running(stage.engine(**FAST)):
            await stage.pool.execute(INSERT)
            await stage.settled(1)
            os.kill(server.process_id, signal.SIGINT)
            server.stop()
            await asyncio.sleep(0.2)
            server.start()
            await until_it_answers(stage.pool)
            await stage.pool.execute("insert into paid values (2)")
            await stage.settled(2)

            assert len(stage.receiver.requests) == 2

    server = started_on_a_port_of_its_own(tmp_path / "pg")
    try:
        asyncio.run(scene(server))
    finally:
        server.destroy()


def test_a_setting_that_is_no_number_is_named() -> None:
    for value in ("soon", "-1", "0"):
        with pytest.raises(SettingsError, match=f"EVENTS_FETCH_INTERVAL={value} is not"):
            EventTriggers(None, {}, {"HASURA_GRAPHQL_EVENTS_FETCH_INTERVAL": value})
