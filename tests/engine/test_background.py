"""Triggers follow the metadata through reloads, in databases that had some and that had none."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml
from engine import harness
from engine.receiver import new_database, open_pool
from engine.waiting import eventually

from sandbox.engine.triggers.background import triggers
from sandbox.postgres import Postgres

NOWHERE = "http://127.0.0.1:1/"
RETRY = {"num_retries": 0}
PAID: dict[str, Any] = {"table": {"schema": "public", "name": "paid"}}
EVENT = {
    "name": "paid_changed",
    "definition": {"insert": {"columns": "*"}},
    "webhook": NOWHERE,
    "retry_conf": RETRY,
}
CRON = {
    "name": "nightly",
    "webhook": NOWHERE,
    "schedule": f"0 {(datetime.now(UTC).hour + 12) % 24} * * *",  # not while the tests run
    "include_in_metadata": True,
}
DUE = (
    "insert into hdb_catalog.hdb_cron_events (trigger_name, scheduled_time, next_retry_at)"
    " values ('nightly', now() - interval '1 minute', now() + interval '1 hour')"
)
NONE: dict[str, Any] = {"sources": [{"tables": [PAID]}]}


@pytest.fixture
def url(bare_postgres: Postgres) -> str:
    """A database with one table and no engine's tables."""
    url = new_database(bare_postgres)
    with psycopg.connect(url) as connection:
        connection.execute("create table paid (id int generated always as identity)")
    return url


def write(directory: Path, *, with_triggers: bool) -> Path:
    table = PAID | ({"event_triggers": [EVENT]} if with_triggers else {})
    source = {"name": "default", "kind": "postgres", "tables": [table]}
    if not directory.exists():
        harness.write_metadata({"sources": [source]}, directory)
    (directory / "databases" / "databases.yaml").write_text(yaml.safe_dump([source]))
    crons = [CRON] if with_triggers else []
    (directory / "cron_triggers.yaml").write_text(yaml.safe_dump(crons))
    return directory


def count(connection: psycopg.Connection[Any], table: str) -> int:
    (number,) = connection.execute(f"select count(*) from hdb_catalog.{table}").fetchall()[0]
    return int(number)


def wait_until_one(connection: psycopg.Connection[Any], table: str) -> None:
    eventually(lambda: count(connection, table) == 1)


def test_removed_triggers_write_nothing_and_leave_nothing_to_deliver(
    url: str, tmp_path: Path
) -> None:
    directory = write(tmp_path / "metadata", with_triggers=True)
    reload = {"type": "reload_metadata", "args": {}}
    with harness.serve(url, directory, {}) as served, psycopg.connect(url) as connection:
        connection.autocommit = True
        connection.execute("insert into paid default values")
        assert count(connection, "event_log") == 1
        connection.execute(DUE)
        assert count(connection, "hdb_cron_events") == 101

        write(directory, with_triggers=False)
        assert served.post("/v1/metadata", reload).json()["message"] == "success"
        connection.execute("insert into paid default values")
        assert count(connection, "event_log") == 1
        assert count(connection, "hdb_cron_events") == 0
        assert count(connection, "hdb_cron_event_invocation_logs") == 0

        write(directory, with_triggers=True)
        served.post("/v1/metadata", reload)
        connection.execute("insert into paid default values")
        assert count(connection, "event_log") == 2
        assert count(connection, "hdb_cron_events") == 100


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/graphql", {"query": "mutation { insert_paid(objects: [{}]) { affected_rows } }"}),
        ("/v2/query", {"type": "run_sql", "args": {"sql": "insert into paid default values"}}),
    ],
)
def test_the_engine_finds_the_events_of_its_own_changes_by_itself(
    url: str, tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    directory = write(tmp_path / "metadata", with_triggers=True)
    never = {"HASURA_GRAPHQL_EVENTS_FETCH_INTERVAL": "600000"}
    with (
        harness.serve(url, directory, never) as served,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute("listen hdb_events")
        assert served.post(path, body).status_code == 200
        wait_until_one(connection, "event_log where error")
        assert list(connection.notifies(timeout=0)) == []

        connection.execute("insert into paid default values")
        assert len(list(connection.notifies(timeout=60, stop_after=1))) == 1


def test_triggers_removed_while_no_engine_runs_are_gone_at_the_next_start(
    url: str, tmp_path: Path
) -> None:
    directory = write(tmp_path / "metadata", with_triggers=True)
    with harness.serve(url, directory, {}):
        pass
    write(directory, with_triggers=False)
    with harness.serve(url, directory, {}), psycopg.connect(url) as connection:
        connection.execute("insert into paid default values")
        assert count(connection, "event_log") == 0
        assert count(connection, "hdb_cron_events") == 0


def test_a_database_that_never_had_triggers_stays_untouched(url: str, tmp_path: Path) -> None:
    directory = write(tmp_path / "metadata", with_triggers=False)
    with harness.serve(url, directory, {}), psycopg.connect(url) as connection:
        row = connection.execute("select to_regnamespace('hdb_catalog')").fetchone()
    assert row == (None,)


def test_tables_of_another_engine_are_left_alone(url: str) -> None:
    async def found() -> tuple[int, int]:
        role = f"guest_{urlsplit(url).path[-12:]}"
        async with open_pool(url) as owner:
            await owner.execute(
                "create schema hdb_catalog; create table hdb_catalog.event_log ();"
                "create table hdb_catalog.hdb_cron_events ();"
                f"create role {role} login password 'guest'"
            )
            mine = await triggers(owner, NONE, {})
        async with open_pool(f"postgresql://{role}:guest@{url.rpartition('@')[2]}") as guest:
            others = await triggers(guest, NONE, {})
        return len(mine), len(others)

    assert asyncio.run(found()) == (2, 0)
