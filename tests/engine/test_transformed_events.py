"""Event and cron triggers whose requests and answers are transformed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from engine.receiver import Answer, Receiver, new_database, open_pool, receiving, running, until

from sandbox.engine.triggers.crons import CronTriggers
from sandbox.engine.triggers.events import EventTriggers
from sandbox.postgres import Postgres

EVENTS = "hdb_catalog.event_log"
CRONS = "hdb_catalog.hdb_cron_events"
LOGS = "select status, request, response from hdb_catalog.event_invocation_logs order by created_at"
FAST = {
    "HASURA_GRAPHQL_EVENTS_FETCH_INTERVAL": "20",
    "HASURA_GRAPHQL_SCHEDULED_EVENTS_FETCH_SECONDS": "0.02",
}
RETRY = {"num_retries": 1, "interval_sec": 0, "timeout_sec": 60}
INSERT = "insert into paid values (1, 150.50)"
DUE = (
    f"insert into {CRONS} (trigger_name, scheduled_time)"
    " values ('nightly', date_trunc('second', now()) - interval '5 seconds')"
)


class Play:
    """A database with a table, a webhook, and triggers to be made over both."""

    def __init__(self, pool: Any, receiver: Receiver) -> None:
        self.pool = pool
        self.receiver = receiver
        self.environ = {"HOOKS": receiver.url, "KEY": "k", **FAST}

    def events(self, **changes: Any) -> EventTriggers:
        item = {
            "name": "paid_changed",
            "definition": {"insert": {"columns": "*"}},
            "webhook": "{{HOOKS}}/hook",
            "retry_conf": RETRY,
            "headers": [{"name": "X-Key", "value_from_env": "KEY"}],
        } | changes
        place = {"schema": "public", "name": "paid"}
        tables = [{"table": place, "event_triggers": [item]}]
        return EventTriggers(self.pool, {"sources": [{"tables": tables}]}, self.environ)

    def crons(self, **changes: Any) -> CronTriggers:
        item = {"name": "nightly", "webhook": "{{HOOKS}}/cron", "schedule": "0 0 1 1 *"} | changes
        return CronTriggers(self.pool, {"cron_triggers": [item]}, self.environ)

    async def settled(self, table: str, state: str) -> None:
        await until(self.pool, f"select count(*)::int from {table} where {state}", 1)

    async def logs(self) -> list[tuple[int | None, Any, Any]]:
        rows = await self.pool.fetch(LOGS)
        return [(row[0], json.loads(row[1]), json.loads(row[2])) for row in rows]


Run = Callable[[Callable[[Play], Awaitable[None]]], None]


@pytest.fixture
def play(bare_postgres: Postgres) -> Run:
    """Run a scene against a database of its own."""

    async def run(scene: Callable[[Play], Awaitable[None]]) -> None:
        url = new_database(bare_postgres)
        async with receiving() as receiver, open_pool(url) as pool:
            await pool.execute("create table paid (id int primary key, amount numeric)")
            await scene(Play(pool, receiver))

    return lambda scene: asyncio.run(run(scene))


def test_an_event_is_sent_and_logged_as_transformed(play: Run) -> None:
    async def scene(stage: Play) -> None:
        transform = {
            "version": 2,
            "template_engine": "Kriti",
            "method": "PUT",
            "url": "{{$base_url}}/{{$body.event.data.new.id}}",
            "query_params": {
                "role": '{{ getSessionVariable("X-Hasura-Role") }}',
                "trigger": "{{$body.trigger.name}}",
            },
            "body": {"action": "transform", "template": '{"sum": {{$body.event.data.new.amount}}}'},
        }
        async with running(stage.events(request_transform=transform)):
            async with stage.pool.acquire() as connection, connection.transaction():
                user = '{"x-hasura-role": "owner"}'
                await connection.execute("select set_config('hasura.user', $1, true)", user)
                await connection.execute(INSERT)
            (request,) = await stage.receiver.wait_for(1)
            await stage.settled(EVENTS, "delivered")
        ((status, logged, _),) = await stage.logs()

        assert (request.method, request.path) == ("PUT", "/hook/1?role=owner&trigger=paid_changed")
        assert request.text == '{"sum":150.5}'
        assert request.headers["x-key"] == "k"
        assert request.headers["content-type"] == "application/json"
        assert (status, logged["payload"]) == (200, {"sum": 150.5})
        assert {"name": "X-Key", "value_from_env": "KEY"} in logged["headers"]

    play(scene)


def test_a_form_has_no_payload_in_the_log(play: Run) -> None:
    async def scene(stage: Play) -> None:
        form = {"op": "{{$body.event.op}}"}
        body = {"action": "x_www_form_urlencoded", "form_template": form}
        async with running(stage.events(request_transform={"version": 2, "body": body})):
            await stage.pool.execute(INSERT)
            (request,) = await stage.receiver.wait_for(1)
            await stage.settled(EVENTS, "delivered")
        ((_, logged, _),) = await stage.logs()

        assert request.text == "op=INSERT"
        assert logged["payload"] is None

    play(scene)


def test_an_event_whose_template_fails_is_an_error_without_a_try(play: Run) -> None:
    async def scene(stage: Play) -> None:
        async with running(stage.events(request_transform={"body": "{{ $session_variables.x }}"})):
            await stage.pool.execute(INSERT)
            await stage.settled(EVENTS, "error and tries = 0 and locked is null")

        assert not stage.receiver.requests
        assert not await stage.logs()

    play(scene)


def test_only_a_success_has_its_response_transformed(play: Run) -> None:
    async def scene(stage: Play) -> None:
        stage.receiver.answer = lambda number: Answer(200 if number else 500, text='{"a": 1}')
        template = '{"was": {{$body.a}}, "status": {{$response.status}}}'
        async with running(stage.events(response_transform={"body": template})):
            await stage.pool.execute(INSERT)
            await stage.settled(EVENTS, "delivered")
        first, second = await stage.logs()

        assert (first[0], first[2]) == (
            500,
            {"type": "client_error", "version": "2", "data": {"message": '{"a": 1}'}},
        )
        assert second[2]["type"] == "webhook_response"
        assert second[2]["data"]["body"] == '{"status":200,"was":1}'

    play(scene)


def test_a_response_whose_template_fails_is_a_failed_delivery(play: Run) -> None:
    async def scene(stage: Play) -> None:
        async with running(stage.events(response_transform={"body": "{{ $body.gone }}"})):
            await stage.pool.execute(INSERT)
            await stage.settled(EVENTS, "error and tries = 2")
        first, second = await stage.logs()
        message = json.loads(json.loads(first[2]["data"]["message"]))

        assert (first[0], second[0]) == (500, 500)
        assert first[2]["type"] == "client_error"
        assert message[0]["error_code"] == "Attribute Error"
        assert len(stage.receiver.requests) == 2

    play(scene)


def test_a_cron_event_is_sent_as_transformed(play: Run) -> None:
    async def scene(stage: Play) -> None:
        transform = {"method": "PATCH", "body": "[{{$body.name}}, {{$session_variables}}]"}
        async with running(stage.crons(request_transform=transform)):
            await stage.pool.execute(DUE)
            (request,) = await stage.receiver.wait_for(1)
            await stage.settled(CRONS, "status = 'delivered'")
        query = "select request from hdb_catalog.hdb_cron_event_invocation_logs"
        logged = json.loads(await stage.pool.fetchval(query))

        assert (request.method, request.text) == ("PATCH", '["nightly",null]')
        assert (logged["version"], logged["payload"]) == ("1", ["nightly", None])

    play(scene)


def test_a_cron_event_whose_template_fails_is_an_error(play: Run) -> None:
    async def scene(stage: Play) -> None:
        async with running(stage.crons(request_transform={"url": "{{ $body.payload.gone }}"})):
            await stage.pool.execute(DUE)
            await stage.settled(CRONS, "status = 'error' and tries = 0")

        assert not stage.receiver.requests

    play(scene)


def test_a_trigger_whose_template_does_not_parse_is_a_problem(play: Run) -> None:
    async def scene(stage: Play) -> None:
        wrong = {"request_transform": {"body": "{{"}, "response_transform": {"body": "}}"}}
        for triggers in (stage.events(**wrong), stage.crons(**wrong)):
            (reason,) = triggers.problems.values()
            assert reason.startswith("request transform validation failed: ")
            assert reason.count(";") == 1

    play(scene)
