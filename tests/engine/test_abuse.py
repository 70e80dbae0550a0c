"""Bounds: what costs too much is refused before anything is executed, and quickly."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import abuse, harness
from graphql import get_introspection_query

from sandbox.engine import settings
from sandbox.engine.database import Connection
from sandbox.engine.documents import parsing
from sandbox.engine.documents.coerce import Coercion
from sandbox.engine.settings import Bounds

ADMIN = {"x-hasura-admin-secret": harness.SECRET, "content-type": "application/json"}
CORPUS = abuse.corpus()
SECONDS_MAX = 3.0  # of the engine's thread; what grows with a square takes far longer
STEPS_MAX = 5000  # of checking values, before a request is refused: some 15 ms
TABLES = '"public".'  # in every statement of a plan


@pytest.fixture(scope="module")
def clock(served: harness.Served) -> int:
    """Return the clock of what the engine's thread computes, which no neighbour slows down."""

    async def thread() -> int:
        return threading.get_ident()

    return time.pthread_getcpuclockid(served.run(thread()))


@pytest.fixture(scope="module")
def slowest() -> Iterator[list[tuple[float, str]]]:
    found: list[tuple[float, str]] = []
    yield found
    for seconds, name in sorted(found, reverse=True)[:12]:
        print(f"abuse: {seconds * 1000:6.1f} ms  {name}")  # noqa: T201 -- to look at, not to judge


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the statements about tables that are sent from now on."""
    sent: list[str] = []

    def watch(name: str) -> None:
        method = getattr(Connection, name)

        async def watched(self: Connection, sql: str, *arguments: Any, **more: Any) -> Any:
            if TABLES in sql:
                sent.append(sql)
            return await method(self, sql, *arguments, **more)

        monkeypatch.setattr(Connection, name, watched)

    for name in ("execute", "fetch", "fetchrow", "fetchval"):
        watch(name)
    return sent


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the steps of the work on values that is done from now on."""
    done: list[int] = []
    spend = Coercion.spend

    def counted(self: Coercion, steps: int, subqueries: int = 0) -> None:
        done.append(steps)
        spend(self, steps, subqueries)

    monkeypatch.setattr(Coercion, "spend", counted)
    return done


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 150


@pytest.mark.parametrize("item", [pytest.param(item, id=item.name) for item in CORPUS])
def test_an_abuse_is_refused_unexecuted_or_answered(
    served: harness.Served,
    executed: list[str],
    steps: list[int],
    slowest: list[tuple[float, str]],
    clock: int,
    item: abuse.Abuse,
) -> None:
    started = time.clock_gettime(clock)
    answer = served.client.post(served.url + "/v1/graphql", content=item.body, headers=ADMIN)
    seconds = time.clock_gettime(clock) - started
    slowest.append((seconds, f"{item.outcome}: {item.name}"))
    assert seconds < SECONDS_MAX

    found = answer.json()
    if item.outcome == abuse.ANSWERED:
        assert "data" in found, answer.text[:500]
        assert len(executed) == 1
    else:
        (error,) = found["errors"]
        assert error["extensions"]["code"] != "unexpected", answer.text[:500]
        assert "internal error" not in error["message"]
        assert executed == []
        assert sum(steps) < STEPS_MAX


def test_what_clients_ask_of_the_schema_is_within_the_bounds(served: harness.Served) -> None:
    query = get_introspection_query(
        specified_by_url=False, directive_is_repeatable=False, input_value_deprecation=False
    )
    found = served.graphql(query)
    assert found["data"]["__schema"]["queryType"]["name"] == "query_root"


@pytest.mark.parametrize(
    ("name", "query", "message"),
    [
        ("DEPTH", "{ owner { boss { boss { id } } } }", "the query is nested too deeply"),
        (
            "DEPTH",
            "{ owner(where: {_not: {_not: {_not: {}}}}) { id } }",
            "a value is nested too deeply",
        ),
        (
            "ROOT_FIELD",
            "{ a: owner { id } b: owner { id } c: owner { id } d: owner { id } }",
            "the query has more than 3 root fields",
        ),
        ("ALIAS", "{ owner { a: id b: id c: id d: id } }", "the query has more than 3 aliases"),
        ("FIELD", "{ owner { id name age } }", "the query has more than 3 fields"),
        ("QUERY_LENGTH", "{ owner { id } }", "the query has more than 3 characters"),
        ("TOKEN", "{ owner { id } }", "the query has more than 3 tokens"),
        (
            "LIST",
            "{ owner(where: {age: {_in: [1, 2, 3, 4]}}) { id } }",
            "a list has more than 3 items",
        ),
        (
            "VALUE",
            "{ owner(where: {_and: [{}, {}, {}]}) { id } }",
            "the request has more than 3 values",
        ),
        (
            "VALUE",
            "{ owner_aggregate(where: {}) { a: nodes {id} b: nodes {id} c: nodes {id} nodes {id}}}",
            "the request has more than 3 values",
        ),
        (
            "JOIN",
            "{ owner(where: {boss: {boss: {}}, wallets: {}, total: {}}) { id } }",
            "the conditions on one list lead over more than 3 relationships",
        ),
    ],
)
def test_every_bound_is_a_setting(
    shop_url: str, shop_directory: Path, name: str, query: str, message: str
) -> None:
    environ = {f"HASURA_GRAPHQL_{name}_LIMIT": "3", "HANDLER_URL": "http://127.0.0.1:1"}
    with harness.serve(shop_url, shop_directory, environ) as running:
        found = running.graphql(query)
    extensions = {"path": "$", "code": "validation-failed"}
    assert found == {"errors": [{"message": message, "extensions": extensions}]}


def test_work_that_no_limit_has_foreseen_ends_nevertheless(
    shop_url: str, shop_directory: Path
) -> None:
    limits = dict.fromkeys(
        ("HASURA_GRAPHQL_VALUE_LIMIT", "HASURA_GRAPHQL_CONDITION_LIMIT"), "9999999"
    )
    environ = {**limits, "HANDLER_URL": "http://127.0.0.1:1"}
    parts = " ".join(f"a{n}: aggregate {{ count }}" for n in range(45))
    query = f"query ($v: owner_bool_exp) {{ owner_aggregate(where: $v) {{ {parts} }} }}"
    many = {"_or": [{"id": {"_eq": f"z{n}"}} for n in range(1500)]}
    with harness.serve(shop_url, shop_directory, environ) as running:
        (error,) = running.graphql(query, {"v": many})["errors"]

    assert error["message"] == "the request asks for too much"


def test_conditions_count_as_often_as_they_are_named(shop_url: str, shop_directory: Path) -> None:
    environ = {"HASURA_GRAPHQL_CONDITION_LIMIT": "8", "HANDLER_URL": "http://127.0.0.1:1"}
    query = "query ($w: owner_bool_exp!, $ids: [String!]) {{ owner(where: {}) {{ id }} }}"
    four = {"_or": [{"id": {"_eq": "ann"}}, {}]}
    given = {"w": four, "ids": [f"z{n}" for n in range(500)]}
    with harness.serve(shop_url, shop_directory, environ) as running:
        twice = running.graphql(query.format("{_or: [$w, $w, {id: {_in: $ids}}]}"), given)
        thrice = running.graphql(query.format("{_or: [$w, $w, $w]}"), given)

    assert "data" in twice
    (error,) = thrice["errors"]
    assert error["message"] == "the conditions have more than 8 parts"


def test_each_list_has_relationships_of_its_own(shop_url: str, shop_directory: Path) -> None:
    condition = "(where: {boss: {}, wallets: {}})"
    environ = {"HASURA_GRAPHQL_JOIN_LIMIT": "2", "HANDLER_URL": "http://127.0.0.1:1"}
    query = f"{{ a: owner{condition} {{ boss {{ id }} }} b: owner{condition} {{ id }} }}"
    with harness.serve(shop_url, shop_directory, environ) as running:
        assert "data" in running.graphql(query)


def test_a_variable_counts_as_often_as_it_is_named(shop_url: str, shop_directory: Path) -> None:
    environ = {"HASURA_GRAPHQL_VALUE_LIMIT": "8", "HANDLER_URL": "http://127.0.0.1:1"}
    named = "query ($w: owner_bool_exp) {{ {} }} "
    named += "fragment F on query_root {{ b: owner(where: $w) {{ id }} }}"
    given = {"w": {"id": {"_eq": "ann"}}}  # two values, and one where it is named
    with harness.serve(shop_url, shop_directory, environ) as running:
        twice = running.graphql(named.format("a: owner(where: $w) { id } ...F"), given)
        thrice = running.graphql(
            named.format("a: owner(where: {_or: [$w, $w]}) { id } ...F"), given
        )

    assert twice == {"data": {"a": [{"id": "ann"}], "b": [{"id": "ann"}]}}
    assert thrice["errors"][0]["message"] == "the request has more than 8 values"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ owner(where: " + "{_not: " * 100 + "}" * 100 + ") { id } }", "nested too deeply"),
        ("{ " * 83, "nested too deeply"),
        ("id " * 3000, "more than 2500 tokens"),
        ('{ owner(x: "' + "x" * 80_000, "not a valid graphql query"),
        ('{ owner(x: """' + "x" * 80_000, "not a valid graphql query"),
    ],
)
def test_a_document_is_measured_before_it_is_parsed(
    served: harness.Served, monkeypatch: pytest.MonkeyPatch, query: str, message: str
) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(parsing, "parse", lambda text, **_: parsed.append(text))
    (error,) = served.graphql(query)["errors"]

    assert message in error["message"]
    assert parsed == []


def test_batches_and_bodies_are_bounded_by_settings(shop_url: str, shop_directory: Path) -> None:
    environ = {
        "HASURA_GRAPHQL_BATCH_LIMIT": "2",
        "HASURA_GRAPHQL_BODY_LIMIT": "100",
        "HANDLER_URL": "http://127.0.0.1:1",
    }
    one = {"query": "{__typename}"}
    with harness.serve(shop_url, shop_directory, environ) as running:
        two = running.post("/v1/graphql", [one] * 2)
        three = running.post("/v1alpha1/graphql", [one] * 3)
        long = running.post("/v1alpha1/graphql", {"query": "{__typename}" + " " * 100})

    assert two.json() == [{"data": {"__typename": "query_root"}}] * 2
    assert three.status_code == long.status_code == 413
    extensions = {"path": "$", "code": "bad-request"}
    text = "the batch has more than 2 requests"
    assert three.json() == {"errors": [{"message": text, "extensions": extensions}]}


def test_a_row_limit_holds_for_every_role_but_the_admin(
    shop_url: str, shop_directory: Path, shop: object
) -> None:
    assert shop
    environ = {"HASURA_GRAPHQL_ROW_LIMIT": "1", "HANDLER_URL": "http://127.0.0.1:1"}
    ann = {"role": "user", "user_id": "ann"}
    with harness.serve(shop_url, shop_directory, environ) as running:
        user = running.graphql("{ owner(limit: 1000) { id } }", **ann)["data"]["owner"]
        nested = running.graphql("{ owner { wallets { id } } }", **ann)["data"]["owner"]
        counted = running.graphql("{ owner_aggregate { aggregate { count } } }", **ann)["data"]
        admin = running.graphql("{ owner { id } }")["data"]["owner"]

    assert len(user) == len(nested) == len(nested[0]["wallets"]) == 1
    assert len(admin) > 1
    assert counted == {"owner_aggregate": {"aggregate": {"count": len(admin)}}}


@pytest.mark.parametrize("name", ["DEPTH", "ALIAS", "TOKEN", "BATCH", "LIST"])
@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_bound_that_makes_no_sense_is_refused_at_the_start(name: str, value: str) -> None:
    with pytest.raises(settings.SettingsError):
        settings.read(
            {f"HASURA_GRAPHQL_{name}_LIMIT": value}, {"database_url": "x", "metadata": "y"}
        )


def test_there_is_no_row_limit_unless_somebody_wants_one() -> None:
    assert Bounds().rows == 0
