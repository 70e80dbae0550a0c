"""Metadata that changes while the engine runs: as a whole, seen by everybody, or not at all."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from engine import harness
from engine.conftest import create_shop
from engine.waiting import eventually
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sandbox.engine import api
from sandbox.engine.api.calls import CALLS
from sandbox.engine.errors import EngineError
from sandbox.postgres import Postgres

pytestmark = pytest.mark.xdist_group("changes")
ADMIN = {"x-hasura-admin-secret": harness.SECRET}
NOTE = {"schema": "public", "name": "note"}


@pytest.fixture(scope="module")
def own_url(bare_postgres: Postgres) -> str:
    return create_shop(bare_postgres)


@pytest.fixture
def engine(
    own_url: str, shop_directory: Path, handler: harness.Handler
) -> Iterator[harness.Served]:
    environ = {
        "HANDLER_URL": handler.url,
        "HASURA_GRAPHQL_EVENTS_FETCH_INTERVAL": "50",
        "HASURA_GRAPHQL_SCHEDULED_EVENTS_FETCH_SECONDS": "0.05",
    }
    with harness.serve(own_url, shop_directory, environ) as running:
        yield running


@pytest.fixture
def rows(own_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(own_url, autocommit=True) as connection:
        yield connection


def call(engine: harness.Served, kind: str, path: str = "/v1/metadata", **args: Any) -> Any:
    answer = engine.post(path, {"type": kind, "args": args})
    assert answer.status_code == 200, answer.text
    return answer.json()


def version(engine: harness.Served) -> int:
    body = {"type": "export_metadata", "version": 2, "args": {}}
    return int(engine.post("/v1/metadata", body).json()["resource_version"])


def test_the_resource_version_grows_with_each_change_and_only_then(engine: harness.Served) -> None:
    assert version(engine) == 1
    call(engine, "pg_create_select_permission", table="owner", role="g", permission={"columns": []})
    assert version(engine) == 2
    two = [
        {"type": f"pg_drop_{kind}_permission", "args": {"table": table, "role": role}}
        for kind, table, role in (("select", "owner", "g"), ("delete", "wallet", "user"))
    ]
    assert engine.post("/v1/metadata", {"type": "bulk", "args": two}).status_code == 200
    assert version(engine) == 3
    call(engine, "get_cron_triggers")
    call(engine, "reload_metadata")
    call(engine, "run_sql", "/v2/query", sql="comment on table note is 'Notes.'")
    assert engine.post("/v1/metadata", {"type": "pg_untrack_table", "args": {}}).status_code == 400
    assert version(engine) == 3


def test_the_current_resource_version_lets_a_change_pass_once(engine: harness.Served) -> None:
    body = {"type": "add_inherited_role", "resource_version": 1}
    body["args"] = {"role_name": "r", "role_set": []}
    assert engine.post("/v1/metadata", body).status_code == 200
    again = engine.post("/v1/metadata", body)

    assert (again.status_code, again.json()["code"]) == (409, "conflict")


def test_a_refused_change_leaves_the_very_state_that_was_served(engine: harness.Served) -> None:
    before = engine.engine.state
    document = deepcopy(before.document)
    refused = {"table": "owner", "role": "g", "permission": {"columns": ["gone"], "filter": {}}}
    body = {"type": "pg_create_select_permission", "args": refused}

    assert engine.post("/v1/metadata", body).status_code == 400
    assert engine.engine.state is before
    assert before.document == document


class Readers:
    """Threads that ask the same queries all the time, and count what each is told."""

    def __init__(
        self, engine: harness.Served, good: dict[str, Any], missing: dict[str, str]
    ) -> None:
        self.engine = engine
        self.good, self.missing = good, missing
        self.answers: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self.read, args=(each,)) for each in [*good] * 2]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join()

    def read(self, query: str) -> None:
        while not self.done.is_set():
            answer = self.engine.post("/v1/graphql", {"query": query})
            body = answer.json()
            if answer.status_code == 200 and body == self.good[query]:
                self.answers[query, "good"] += 1
            elif body.get("errors", [{}])[0].get("message") == self.missing[query]:
                self.answers[query, "missing"] += 1
            else:
                self.wrong.append(answer.text)

    def meet(self, *kinds: tuple[str, str]) -> None:
        """Wait until each of these has been told once more, or something wrong was."""
        before = Counter(self.answers)
        eventually(lambda: self.wrong or all(self.answers[kind] > before[kind] for kind in kinds))


def test_a_replacement_is_seen_by_each_request_as_a_whole(engine: harness.Served) -> None:
    """Readers ask while the document is replaced: every answer is of one of both schemas."""
    new = {
        "version": 3,
        "sources": [
            {
                "name": "default",
                "kind": "postgres",
                "tables": [
                    {
                        "table": "owner",
                        "configuration": {"custom_root_fields": {"select": "people"}},
                    }
                ],
            }
        ],
    }
    old = deepcopy(engine.engine.state.document)
    asked = '{ owner(where: {id: {_eq: "ann"}}) { id wallets(limit: 0) { id } } }'
    wanted = '{ people(where: {id: {_eq: "ann"}}) { id } }'
    good = {
        asked: {"data": {"owner": [{"id": "ann", "wallets": []}]}},
        wanted: {"data": {"people": [{"id": "ann"}]}},
    }
    missing = {
        asked: "field 'owner' not found in type: 'query_root'",
        wanted: "field 'people' not found in type: 'query_root'",
    }
    with Readers(engine, good, missing) as readers:
        for turn in range(12):
            args = {"allow_inconsistent_metadata": True, "metadata": old if turn % 2 else new}
            body = {"type": "replace_metadata", "version": 2, "args": args}
            assert engine.post("/v1/metadata", body).status_code == 200
            known, unknown = (asked, wanted) if turn % 2 else (wanted, asked)
            readers.meet((known, "good"), (unknown, "missing"))

    assert readers.wrong == []
    assert len(readers.answers) == 4, f"both have to be met by both: {readers.answers}"


def test_changes_that_come_together_are_all_made(engine: harness.Served) -> None:
    def add(number: int) -> None:
        call(engine, "add_inherited_role", role_name=f"role_{number}", role_set=["user"])

    writers = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    names = {item["role_name"] for item in engine.engine.state.document["inherited_roles"]}

    assert {f"role_{number}" for number in range(8)} <= names
    assert version(engine) == 9


def test_an_event_trigger_works_from_its_creation_to_its_deletion(
    engine: harness.Served, rows: psycopg.Connection[Any]
) -> None:
    call(
        engine,
        "pg_create_event_trigger",
        name="noted",
        table=NOTE,
        webhook="http://127.0.0.1:1/",
        insert={"columns": ["body"]},
        retry_conf={"num_retries": 0},
    )
    rows.execute("insert into note (author_id, body) values ('ann', 'seen')")
    (event,) = call(engine, "pg_get_event_logs", name="noted")
    assert event["payload"]["data"]["new"] == {"body": "seen"}
    eventually(lambda: call(engine, "pg_get_event_logs", name="noted", status="processed"))
    (try_,) = call(engine, "pg_get_event_invocation_logs", name="noted")
    assert (try_["event_id"], try_["status"]) == (event["id"], None)

    call(engine, "pg_redeliver_event", event_id=event["id"])
    found = eventually(
        lambda: len(call(engine, "pg_get_event_by_id", event_id=event["id"])["invocations"]) == 2
    )
    assert found

    call(engine, "pg_delete_event_trigger", name="noted")
    rows.execute("insert into note (author_id, body) values ('ann', 'unseen')")
    events = "select payload from hdb_catalog.event_log where trigger_name = 'noted'"
    assert len(rows.execute(events).fetchall()) == 1


def test_a_table_that_is_made_again_by_sql_keeps_its_trigger(
    engine: harness.Served, rows: psycopg.Connection[Any]
) -> None:
    made = "create table crate (id int)"
    call(engine, "run_sql", "/v2/query", sql=made)
    call(engine, "pg_track_table", table="crate")
    spec = {"columns": "*"}
    args = {"name": "made", "table": "crate", "webhook": "http://127.0.0.1:1/", "insert": spec}
    call(engine, "pg_create_event_trigger", **args)
    call(engine, "run_sql", "/v2/query", sql=f"drop table crate; {made}")
    rows.execute("insert into crate values (7)")

    (event,) = call(engine, "pg_get_event_logs", name="made")
    assert event["payload"]["data"]["new"] == {"id": 7}
    rows.execute("drop table crate")


def test_a_scheduled_event_is_delivered_listed_and_deleted(engine: harness.Served) -> None:
    made = call(
        engine,
        "create_scheduled_event",
        webhook="http://127.0.0.1:1/",
        schedule_at="2020-01-01T00:00:00Z",
        payload={"n": 1.5},
        comment="once",
        retry_conf={"tolerance_seconds": 10**9},
    )
    assert made["message"] == "success"

    def failed() -> Any:
        return call(engine, "get_scheduled_events", type="one_off", status=["error"])["events"]

    (event,) = eventually(failed)
    assert (event["id"], event["payload"], event["comment"]) == (
        made["event_id"],
        {"n": 1.5},
        "once",
    )
    listed = call(
        engine,
        "get_scheduled_event_invocations",
        type="one_off",
        event_id=event["id"],
        get_rows_count=True,
    )
    assert (listed["count"], listed["invocations"][0]["event_id"]) == (1, event["id"])

    call(engine, "delete_scheduled_event", type="one_off", event_id=event["id"])
    assert failed() == []


def test_a_query_is_explained_for_a_role(engine: harness.Served) -> None:
    query = {"query": "query ($n: Int) { __typename mine: wallet(limit: $n) { id } }"}
    body = {
        "query": query | {"variables": {"n": 1}},
        "user": {"X-Hasura-Role": "user", "X-Hasura-User-Id": "ann"},
    }
    first, second = engine.post("/v1/graphql/explain", body).json()

    assert first == {"field": "__typename", "sql": None, "plan": None}
    assert second["field"] == "mine"
    assert "owner_id" in second["sql"]
    assert "wallet" in "".join(second["plan"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "parse-failed"),
        ({"query": 5}, "parse-failed"),
        ({"query": {"query": "{ x }"}}, "validation-failed"),
        ({"query": {"query": "{ __typename }"}, "user": 5}, "parse-failed"),
        (
            {"query": {"query": "mutation { delete_owner(where: {}) { affected_rows } }"}},
            "invalid-params",
        ),
    ],
)
def test_what_cannot_be_explained_is_refused(engine: harness.Served, body: Any, code: str) -> None:
    answer = engine.post("/v1/graphql/explain", body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
KEYS = [
    *("table", "source", "role", "permission", "name", "using", "function", "configuration"),
    *("relationship", "definition", "action", "tables", "metadata", "webhook", "schedule"),
    *("insert", "update", "include_in_metadata", "status", "type", "trigger_name", "limit"),
    *("role_name", "role_set", "objects", "enums", "replace", "retry_conf", "payload"),
    "allow_inconsistent_metadata",
]
USUAL = st.sampled_from(
    ["owner", "wallet", "user", "guest", "default", "select", "*", "find_wallets", "topUp",
     {"schema": "public", "name": "owner"}, {"foreign_key_constraint_on": "owner_id"},
     {"columns": "*"}, {"columns": ["id"], "filter": {}}, {"filter": {"_and": [{}]}}, ["user"],
     {"version": 3, "sources": []}, {"handler": "x", "output_type": "Quote"}, "0 2 * * *"]
)  # fmt: skip
SAFE = sorted(CALLS.keys() - {"run_sql", "bulk", "bulk_keep_going", "bulk_atomic"})
USING = {"manual_configuration": {"remote_table": "wallet", "column_mapping": {"id": ["user"]}}}


@pytest.mark.timeout(600)
@settings(
    max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(
    kind=st.sampled_from(SAFE),
    args=st.dictionaries(st.sampled_from(KEYS), USUAL | JSON, max_size=6) | JSON,
    number=st.integers(1, 2),
)
@example(
    "pg_create_event_trigger",
    {"name": "*", "table": "owner", "webhook": "*", "insert": {"columns": "*"}, "retry_conf": "*"},
    1,
)
@example("pg_track_table", {"table": {"schema": None, "name": "shelf"}}, 1)
@example("pg_create_object_relationship", {"table": "owner", "name": "w", "using": USING}, 1)
@example(
    "pg_set_table_customization",
    {"table": "owner", "configuration": {"column_config": {"name": "*"}}},
    1,
)
@example(
    "pg_set_table_customization",
    {"table": "owner", "configuration": {"custom_root_fields": {"select": "a b"}}},
    1,
)
@example(
    "pg_create_select_permission",
    {"table": "owner", "role": "g", "permission": {"columns": [], "filter": {"a.b": {"_and": 5}}}},
    1,
)
def test_no_arguments_make_the_engine_fail(kind: str, args: Any, number: int) -> None:
    body = {"type": kind, "args": args, "version": number}
    refused = None
    try:
        _FUZZED[0].run(api.dispatch(_FUZZED[0].engine, json.loads(json.dumps(body))))
    except EngineError as error:
        refused = error
    assert refused is None or refused.status == 400 or "conflicting" in refused.message, refused


_FUZZED: list[harness.Served] = []


@pytest.fixture(autouse=True)
def _fuzzed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hypothesis takes no fixture that changes, so that test finds its engine here."""
    if request.function.__name__ == "test_no_arguments_make_the_engine_fail":
        _FUZZED[:] = [request.getfixturevalue("engine")]
    yield
    _FUZZED.clear()


def test_the_database_being_away_is_an_error_and_no_change(engine: harness.Served) -> None:
    before = engine.engine.state
    pool, engine.engine.pool = engine.engine.pool, _Away()
    try:
        body = {"type": "pg_untrack_table", "args": {"table": "wallet_total", "cascade": True}}
        answer = engine.post("/v1/metadata", body)
    finally:
        engine.engine.pool = pool

    assert (answer.status_code, answer.json()["code"]) == (500, "postgres-error")
    assert engine.engine.state is before


class _Away:
    """A pool whose server is gone."""

    def acquire(self) -> Any:
        raise ConnectionRefusedError


@pytest.mark.parametrize(
    ("kind", "retry", "where"),
    [
        ("create_scheduled_event", {"tolerance_seconds": "6h"}, ".tolerance_seconds"),
        ("create_scheduled_event", {"num_retries": "3"}, ".num_retries"),
        ("create_cron_trigger", {"timeout_seconds": -1}, ".timeout_seconds"),
        ("create_cron_trigger", {"num_retries": True}, ".num_retries"),
        ("create_cron_trigger", {"retry_interval_seconds": 1e300}, ".retry_interval_seconds"),
        ("create_cron_trigger", [], ""),
        ("pg_create_event_trigger", {"interval_sec": "1"}, ".interval_sec"),
    ],
)
def test_a_retry_configuration_that_is_none_is_refused(
    engine: harness.Served, kind: str, retry: object, where: str
) -> None:
    args = {
        "name": "spoilt",
        "webhook": "http://127.0.0.1:1/",
        "schedule": "0 0 1 1 *",
        "schedule_at": "2999-01-01T00:00:00Z",
        "include_in_metadata": True,
        "table": NOTE,
        "insert": {"columns": "*"},
        "retry_conf": retry,
    }
    answer = engine.post(
        "/v1/metadata",
        {"type": kind, "args": args},
        {"x-hasura-admin-secret": harness.SECRET},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "parse-failed")
    assert answer.json()["path"] == f"$.args.retry_conf{where}"
