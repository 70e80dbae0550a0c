"""What commits together, and how the engine lives through trouble with Postgres."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from engine import harness
from engine.conftest import create_shop
from engine.waiting import eventually

MOVE = "mutation { move_money(args: {p_from: 1, p_to: 3, p_amount: 1}) { id } }"
# It waits until each of them has gone.
CUT = """select pg_terminate_backend(pid, 30000) from pg_stat_activity
  where pid <> pg_backend_pid() and datname = current_database() and backend_type = 'client backend'
"""
WAITING = "select count(*) from pg_locks where not granted and pid <> pg_backend_pid()"
OPEN = """select query from pg_stat_activity where datname = current_database()
  and pid <> pg_backend_pid() and xact_start is not null and backend_type = 'client backend'"""


def open_transactions(shop: psycopg.Connection[Any]) -> list[Any]:
    return shop.execute(OPEN).fetchall()


def test_many_moves_at_once_lose_no_money(
    served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: served.graphql(MOVE), range(60)))

    assert answers == [{"data": {"move_money": [{"id": 1}]}}] * 60
    row = shop.execute("select array_agg(balance_minor order by id) from wallet where id <> 2")
    assert row.fetchall() == [([940, 110],)]


def test_a_mutation_waits_for_a_lock_and_then_sees_the_latest_row(
    served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    """READ COMMITTED: the condition is checked again on the row that the other left."""
    query = """mutation { update_wallet(where: {id: {_eq: 3}}, _inc: {balance_minor: 1}) {
      affected_rows } }"""
    answers: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: answers.append(served.graphql(query)))
    with shop.transaction():
        shop.execute("update wallet set balance_minor = 100 where id = 3")
        waiting.start()
        eventually(lambda: shop.execute(WAITING).fetchone() == (1,))
        assert answers == []
    waiting.join(60)

    assert answers == [{"data": {"update_wallet": {"affected_rows": 1}}}]
    assert shop.execute("select balance_minor from wallet where id = 3").fetchall() == [(101,)]


def test_a_failed_transaction_leaves_its_connection_usable(
    served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    failing = """mutation {
      a: update_wallet_by_pk(pk_columns: {id: 1}, _inc: {balance_minor: 1}) { id }
      b: move_money(args: {p_from: 9, p_to: 1, p_amount: 1}) { id } }"""
    for _ in range(30):
        assert "errors" in served.graphql(failing)
    assert served.graphql("{ wallet_by_pk(id: 1) { balance_minor } }") == {
        "data": {"wallet_by_pk": {"balance_minor": 1000}}
    }
    eventually(lambda: not open_transactions(shop))


def test_the_session_of_one_request_never_reaches_the_next(
    served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    add = 'mutation { insert_Note(objects: {authorId: "ann", body: "x"}) { affected_rows } }'
    for user in ("ann", "bob") * 5:
        query = add.replace("ann", user)
        served.graphql(query, role="user", user_id=user)
    rows = shop.execute("select who ->> 'x-hasura-user-id' from audit.log order by id").fetchall()
    assert [name for (name,) in rows] == ["ann", "bob"] * 5


def test_the_engine_outlives_a_restart_of_postgres(
    tmp_path: Path, shop_directory: Path, handler: harness.Handler
) -> None:
    server = harness.started_on_a_port_of_its_own(tmp_path / "own")
    try:
        url = create_shop(server)
        with harness.serve(url, shop_directory, {"HANDLER_URL": handler.url}) as served:
            query = '{ owner_by_pk(id: "ann") { id } }'
            expected = {"data": {"owner_by_pk": {"id": "ann"}}}
            assert served.graphql(query) == expected

            server.stop()
            down = served.graphql(query)
            assert down["errors"][0]["extensions"]["code"] == "postgres-error"
            assert down["errors"][0]["message"] == "connection error"

            server.start()
            assert served.graphql(query) == expected
            assert "data" in served.graphql(MOVE)
    finally:
        server.destroy()


def test_a_query_whose_connection_was_cut_is_tried_again(
    served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    served.graphql("{ __typename owner { id } }")
    shop.execute(CUT)
    answer = served.graphql('{ owner_by_pk(id: "ann") { id } }')
    assert answer == {"data": {"owner_by_pk": {"id": "ann"}}}


def test_a_mutation_takes_a_new_connection_when_the_old_ones_are_gone(
    served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    both = MOVE.replace("{ move", "{ a: move").removesuffix("}") + MOVE.removeprefix("mutation {")
    for query in (MOVE, both):
        assert all(is_cut for (is_cut,) in shop.execute(CUT).fetchall())
        for _ in range(5):  # turns of the engine's loop, which reads that its connections are gone
            served.run(asyncio.sleep(0.01))
        assert "data" in served.graphql(query)
    row = shop.execute("select balance_minor from wallet where id = 1").fetchall()
    assert row == [(997,)]


@pytest.mark.parametrize("text", ["\ud800", "\0"])
def test_text_that_no_database_keeps_leaves_no_transaction_open(
    served: harness.Served, shop: psycopg.Connection[Any], text: str
) -> None:
    field = f"alias_{uuid4().hex}"  # a statement that no connection has prepared yet
    query = f"query ($t: String!) {{ owner(where: {{id: {{_neq: $t}}}}) {{ {field}: id }} }}"

    body = json.dumps({"query": query, "variables": {"t": text}})
    headers = {"x-hasura-admin-secret": harness.SECRET}
    answer = served.client.post(f"{served.url}/v1/graphql", content=body, headers=headers)

    assert "errors" in answer.json()
    eventually(lambda: not open_transactions(shop))
