"""Statements with many values: written in a time that grows with their number, sent whole."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
import pytest
from engine import harness
from engine.wire import initialised, role

from sandbox.engine import database
from sandbox.engine.compile import sql
from sandbox.engine.compile.sql import Constant, SessionVariable, Slot, Statement
from sandbox.engine.errors import EngineError
from sandbox.engine.session import Session
from sandbox.engine.values import encode_text

SESSION = Session("user", {"x-hasura-role": "user", "x-hasura-user-id": "ann"})
INSERT = """
mutation ($rows: [owner_insert_input!]!) {
  insert_owner(objects: $rows) { affected_rows returning { id } }
}
"""


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few values get a parameter of their own."""
    monkeypatch.setattr(sql, "PLAIN_MAX", 3)
    monkeypatch.setattr(sql, "PACKED_MAX", 2)


def test_the_same_value_is_bound_once_and_another_by_itself() -> None:
    statement = Statement()
    ids = [Slot(0, encode_text, "$"), SessionVariable("x-hasura-user-id"), Constant("a")]
    texts = [statement.bind(bind) for bind in (*ids, *ids)]

    assert texts == ["$1::text", "$2::text", "$3::text"] * 2
    assert statement.bind(Constant(["no", "hash"])) == "$4::text"
    assert statement.bind_many(Constant(["no", "hash"])) == "$5::text[]"


def test_values_beyond_the_parameters_share_arrays(packed: None) -> None:
    assert packed is None
    statement = Statement()
    texts = [statement.bind(Constant(letter)) for letter in "abcdefcf"]

    assert texts[2:] == [
        "$3::text",
        "($4::text[])[1]",
        "($4::text[])[2]",
        "($5::text[])[1]",
        "$3::text",
        "($5::text[])[1]",
    ]
    given = [bind([], SESSION) for bind in statement.binds]
    assert given == ["a", "b", "c", ["d", "e"], ["f"]]


def test_more_lists_than_there_are_parameters_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "PARAMETERS_MAX", 2)
    statement = Statement()
    statement.bind_many(Constant(["a"]))
    statement.bind_many(Constant(["b"]))
    with pytest.raises(EngineError, match="too many values"):
        statement.bind_many(Constant(["c"]))


def test_ten_thousands_of_values_are_bound_in_no_time() -> None:
    statement, started = Statement(), time.process_time()
    for number in range(25_000):
        statement.bind(Constant(str(number)))
    assert time.process_time() - started < 5  # a look at all that came before takes minutes


@pytest.mark.usefixtures("packed")
def test_packed_values_reach_the_database(
    served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    rows = [{"id": f"p{at}", "name": f"n{at}", "age": at or None} for at in range(9)]
    found = served.graphql(INSERT, {"rows": rows})["data"]["insert_owner"]
    assert found == {"affected_rows": 9, "returning": [{"id": row["id"]} for row in rows]}
    query = "select id, name, age from owner where id like 'p%' order by id"
    assert [dict(zip(row, one, strict=True)) for row, one in _pairs(shop, query)] == rows


def _pairs(shop: psycopg.Connection[Any], query: str) -> list[tuple[Any, Any]]:
    return [(("id", "name", "age"), row) for row in shop.execute(query).fetchall()]


@pytest.mark.usefixtures("packed", "shop")
def test_packed_values_are_watched(watched: harness.Served) -> None:
    query = "subscription ($w: wallet_bool_exp) { wallet(where: $w, order_by: {id: asc}) { id } }"
    where = {"_or": [{"id": {"_eq": number}} for number in (1, 3, 5, 7, 9)]}

    async def scene() -> list[Any]:
        found = []
        for user in ("ann", "bob"):
            async with initialised(watched, headers=role("user", user_id=user)) as client:
                await client.run("1", query, w=where)
                found.append(await client.data())
        return found

    assert asyncio.run(scene()) == [{"wallet": [{"id": 1}]}, {"wallet": [{"id": 3}]}]


def test_more_values_than_parameters_are_inserted(
    served: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    rows = [{"id": f"p{at}", "name": f"n{at}", "age": at, "email": f"{at}"} for at in range(9000)]
    query = INSERT.replace("returning { id }", "")
    found = served.graphql(query, {"rows": rows})

    assert found == {"data": {"insert_owner": {"affected_rows": 9000}}}
    counted = "select count(*), sum(age), max(name) from owner where email = age::text"
    assert shop.execute(counted).fetchone() == (9000, 8999 * 4500, "n999")


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("number", [1, 50, 51, 120])
def test_a_selection_of_an_aggregate_may_be_as_long_as_any_other(
    served: harness.Served, number: int
) -> None:
    """More fields than a function of Postgres takes arguments, on each level that calls one."""
    names = [f"n{at}" for at in range(number)]
    sums = " ".join(f"{name}: balance_minor" for name in names)
    counts = " ".join(f"{name}: count" for name in names)
    nodes = " ".join(f"{name}: nodes {{ id }}" for name in names)
    query = '{ wallet_aggregate(where: {owner_id: {_eq: "ann"}}, order_by: {id: asc}) { %s } }'

    found = served.graphql(query % f"aggregate {{ sum {{ {sums} __typename }} }}")
    assert list(found["data"]["wallet_aggregate"]["aggregate"]["sum"].items()) == [
        *((name, 9_007_199_254_741_993) for name in names),
        ("__typename", "wallet_sum_fields"),
    ]
    found = served.graphql(query % f"aggregate {{ {counts} }}")
    assert list(found["data"]["wallet_aggregate"]["aggregate"].items()) == [
        (name, 2) for name in names
    ]
    found = served.graphql(query % nodes)
    assert list(found["data"]["wallet_aggregate"].items()) == [
        (name, [{"id": 1}, {"id": 2}]) for name in names
    ]


@pytest.mark.usefixtures("shop")
def test_many_long_names_are_written_as_they_are(served: harness.Served) -> None:
    names = [f"{'n' * 70}{at}" for at in range(60)]
    fields = " ".join(f"{name}: rate" for name in names)
    query = f"{{ entry(where: {{id: {{_eq: 1}}}}) {{ {fields} }} }}"
    answer = served.post("/v1/graphql", {"query": query})

    (row,) = answer.json()["data"]["entry"]
    assert list(row.items()) == [(name, 1.5) for name in names]
    assert answer.text.count(": 1.50") + answer.text.count(":1.50") == 60


def test_long_statements_are_not_kept_by_the_database(served: harness.Served) -> None:
    where = {"_or": [{"id": {"_eq": str(at)}} for at in range(1000)]}
    query = "query ($w: owner_bool_exp) { owner(where: $w) { id } }"
    assert served.graphql(query, {"w": where}) == {"data": {"owner": []}}

    async def longest() -> int:
        """Look through every connection that is idle."""
        leases, found = served.engine.executor.leases, 0
        taken = [await leases.take() for _ in range(len(leases._idle) or 1)]  # noqa: SLF001 -- to see all of them
        for connection in taken:
            sql = "select coalesce(max(length(statement)), 0) from pg_prepared_statements"
            found = max(found, await connection.fetchval(sql))
            await leases.give(connection, failed=False)
        return found

    assert 0 < served.run(longest()) <= database.LONGEST_KEPT
