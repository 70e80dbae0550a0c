"""Volatile functions that are exposed as queries: each call may change something."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import psycopg
import pytest
from engine import harness
from engine.conftest import create_shop

from sandbox.postgres import Postgres

# A sequence is the one thing that a rollback leaves as it is: it counts the calls.
SQL = """
create sequence calls;
create function called(cut boolean default false) returns setof wallet
language plpgsql volatile as $$
begin
  perform nextval('calls');
  if cut then
    perform pg_terminate_backend(pg_backend_pid());
    perform pg_sleep(60);
  end if;
  return query select * from wallet order by id;
end;
$$;
create function cut() returns trigger language plpgsql as $$
begin
  perform pg_terminate_backend(pg_backend_pid());
  perform pg_sleep(60);
  return new;
end;
$$;
create trigger cut before insert on wallet for each row when (new.currency = 'cut')
execute function cut();
"""


@pytest.fixture(scope="module")
def url(bare_postgres: Postgres) -> str:
    found = create_shop(bare_postgres)
    with psycopg.connect(found) as rows:
        rows.execute(SQL)
    return found


@pytest.fixture(scope="module")
def exposing(
    url: str, shop_metadata: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[harness.Served]:
    """The engine over a shop whose volatile function is a query."""
    document = deepcopy(shop_metadata)
    function = {"schema": "public", "name": "called"}
    document["sources"][0]["functions"].append(
        {"function": function, "configuration": {"exposed_as": "query"}}
    )
    directory = harness.write_metadata(document, tmp_path_factory.mktemp("calls") / "metadata")
    with harness.serve(url, directory, {"HANDLER_URL": "http://127.0.0.1:1"}) as running:
        yield running


@pytest.fixture
def rows(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter sequence calls restart")
        yield connection


def calls(rows: psycopg.Connection[Any]) -> int:
    found = rows.execute("select case when is_called then last_value else 0 end from calls")
    return int((found.fetchone() or (0,))[0])


@pytest.mark.parametrize(
    "query",
    [
        "{ called(args: {cut: true}) { id } }",
        "{ called_aggregate(args: {cut: true}) { aggregate { count } } }",
    ],
)
def test_one_whose_connection_was_cut_is_not_called_again(
    exposing: harness.Served, rows: psycopg.Connection[Any], query: str
) -> None:
    answer = exposing.graphql(query)

    assert answer["errors"][0]["message"] in ("connection error", "database query error")
    assert calls(rows) == 1


def test_one_is_called_once_and_whoever_waits_for_changes_is_told(
    exposing: harness.Served, rows: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(exposing.engine.executor, "on_change", lambda: told.append(calls(rows)))
    exposing.graphql("{ wallet { id } }")
    assert told == []

    query = "{ wallet { id } called_aggregate { aggregate { count } nodes { id } } }"
    found = exposing.graphql(query)["data"]["called_aggregate"]

    assert found == {"aggregate": {"count": 3}, "nodes": [{"id": 1}, {"id": 2}, {"id": 3}]}
    assert told == [1]


CUT_MOVE = """mutation { insert_wallet_one(object: {
  id: 9, owner_id: "ann", currency: "cut", balance_minor: 1}) { id } }"""


def test_a_mutation_whose_connection_was_cut_says_so(
    exposing: harness.Served, rows: psycopg.Connection[Any]
) -> None:
    answer = exposing.graphql(CUT_MOVE)

    assert answer["errors"][0]["message"] in ("connection error", "database query error")
    assert rows.execute("select count(*) from wallet where id = 9").fetchone() == (0,)
