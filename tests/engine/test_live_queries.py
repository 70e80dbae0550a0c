"""Live queries: when a frame is sent, and how few statements that takes (contract 12)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from engine import harness
from engine.conftest import create_shop
from engine.waiting import eventually, until
from engine.wire import CURRENT, LEGACY, Wire, initialised, role

from sandbox.engine.compile.steps import Sql
from sandbox.engine.subscriptions.multiplex import statement
from sandbox.postgres import Postgres

Shop = psycopg.Connection[Any]
NAMES = "subscription { owner(order_by: {id: asc}) { name } }"
MINE = "subscription { wallet(order_by: {id: asc}) { id owner_id } }"
ONE = "subscription ($id: String!) { owner_by_pk(id: $id) { name } }"


def play(served: harness.Served, scene: Callable[[Wire], Coroutine[Any, Any, Any]]) -> Any:
    async def whole() -> Any:
        async with initialised(served) as client:
            return await scene(client)

    return asyncio.run(whole())


@asynccontextmanager
async def clients(served: harness.Served, *headers: dict[str, str]) -> AsyncIterator[list[Wire]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(initialised(served, headers=item)) for item in headers
        ]


class Statements(list[int]):
    """How many watchers each statement of a subscription was for."""

    async def settle_at(self, *numbers: int) -> None:
        """Wait until those who are asked for are asked for in statements of just these numbers.

        A watcher who has just come, or whom a slow machine has made a slow one, is read apart.
        """
        rounds = 3
        await until(lambda: sorted(self[-rounds * len(numbers) :]) == sorted(numbers * rounds))


@pytest.fixture
def statements(watched: harness.Served, monkeypatch: pytest.MonkeyPatch) -> Statements:
    plain, seen = watched.engine.executor.fetch, Statements()

    async def fetch(sql: str, arguments: Any) -> Any:
        seen.append(len(arguments[0]))
        return await plain(sql, arguments)

    monkeypatch.setattr(watched.engine.executor, "fetch", fetch)
    return seen


@pytest.mark.parametrize("subprotocol", [CURRENT, LEGACY])
def test_a_frame_comes_at_once_and_then_only_when_the_answer_changes(
    watched: harness.Served, shop: Shop, subprotocol: str
) -> None:
    async def scene() -> None:
        async with initialised(watched, subprotocol) as client:
            await client.run("1", NAMES)
            assert await client.data() == {"owner": [{"name": n} for n in ("Ann", "Bob", "Cid")]}
            await client.nothing(0.4)
            shop.execute("update owner set age = 3")  # nothing that is looked at
            await client.nothing(0.4)
            shop.execute("update owner set name = 'Bo' where id = 'bob'")
            assert await client.data() == {"owner": [{"name": n} for n in ("Ann", "Bo", "Cid")]}
            await client.stop("1")
            shop.execute("update owner set name = 'Bea' where id = 'bob'")
            await client.nothing(0.4)

    asyncio.run(scene())


def test_every_kind_of_root_can_be_watched(watched: harness.Served, shop: Shop) -> None:
    roots = {
        'owner_by_pk(id: "ann") { name }': {"owner_by_pk": {"name": "Ann"}},
        'owner_by_pk(id: "nobody") { name }': {"owner_by_pk": None},
        "owner_aggregate { aggregate { count } }": {"owner_aggregate": {"aggregate": {"count": 3}}},
        "find_wallets(args: {lowest: 100}) { id }": {"find_wallets": [{"id": 1}]},
        'again: owner(where: {name: {_eq: "\'$1"}}) { id }': {"again": []},
    }

    async def scene(client: Wire) -> None:
        for query, answer in roots.items():
            await client.run("1", f"subscription {{ {query} }}")
            assert await client.data() == answer
            await client.stop("1")

    play(watched, scene)


@pytest.mark.parametrize("query", ["subscription { __typename }", "subscription S { __typename }"])
def test_what_never_changes_is_complete_at_once(watched: harness.Served, query: str) -> None:
    async def scene(client: Wire) -> None:
        await client.run("1", query)
        assert await client.hear() == {"type": "complete", "id": "1"}

    play(watched, scene)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ owner { id } wallet { id } }", "subscriptions must select one top level field"),
        (
            "{ ...F } fragment F on subscription_root { owner { id } wallet { id } }",
            "subscriptions must select one top level field",
        ),
        ("{ __schema { queryType { name } } }", "field '__schema' not found in type"),
        ("($x: Int) { owner(limit: $x) { id } }", "declared as 'Boolean'"),
        ("{ insert_owner { affected_rows } }", "field 'insert_owner' not found in type"),
    ],
)
def test_other_subscriptions_are_refused(watched: harness.Served, query: str, message: str) -> None:
    query = query.replace("$x: Int", "$x: Boolean")

    async def scene(client: Wire) -> None:
        await client.run("1", "subscription " + query)
        (error,) = (await client.hear())["payload"]
        assert message in error["message"]

    play(watched, scene)


def test_one_top_level_field_may_come_from_a_fragment(watched: harness.Served, shop: Shop) -> None:
    async def scene(client: Wire) -> None:
        query = "subscription { ...F } fragment F on subscription_root { owner { id } }"
        await client.run("1", query)
        assert len((await client.data())["owner"]) == 3

    play(watched, scene)


def test_sessions_see_their_own_rows_and_share_one_statement(
    watched: harness.Served, shop: Shop, statements: Statements
) -> None:
    async def scene() -> None:
        people = [role("user", user_id=name) for name in ("ann", "bob", "cid")]
        async with clients(watched, *people) as wires:
            for wire in wires:
                await wire.run("1", MINE)
            answers = [[row["owner_id"] for row in (await wire.data())["wallet"]] for wire in wires]
            assert answers == [["ann", "ann"], ["bob"], []]
            began = time.monotonic()
            statements.clear()
            await asyncio.sleep(0.55)
            await statements.settle_at(3)
            most = (time.monotonic() - began) / 0.1 + 2
            assert statements.count(3) <= most
            shop.execute("insert into wallet (id, owner_id) values (9, 'cid')")
            assert await wires[2].data() == {"wallet": [{"id": 9, "owner_id": "cid"}]}
            await wires[0].nothing(0.3)

    asyncio.run(scene())


def test_variables_of_one_document_share_one_statement(
    watched: harness.Served, shop: Shop, statements: Statements
) -> None:
    async def scene(client: Wire) -> None:
        for name in ("ann", "bob", "cid"):
            await client.run(name, ONE, id=name)
            assert await client.data() == {"owner_by_pk": {"name": name.title()}}
        await statements.settle_at(3)
        shop.execute("update owner set name = 'Bo' where id = 'bob'")
        heard = await client.hear()
        assert (heard["id"], heard["payload"]["data"]) == ("bob", {"owner_by_pk": {"name": "Bo"}})
        await client.nothing(0.3)

    play(watched, scene)


def test_lists_of_variables_share_one_statement(
    watched: harness.Served, shop: Shop, statements: Statements
) -> None:
    query = (
        "subscription ($l: [String!]) { owner(where: {id: {_in: $l}}, order_by: {id: asc}) { id } }"
    )
    lists = [["ann"], ["bob", "cid", "a,b"], [], ['"{}\\', "ann"]]

    async def scene(client: Wire) -> None:
        for at, wanted in enumerate(lists):
            await client.run(str(at), query, l=wanted)
            found = [row["id"] for row in (await client.data())["owner"]]
            assert found == [name for name in ("ann", "bob", "cid") if name in wanted]
        await statements.settle_at(len(lists))

    play(watched, scene)


def test_equal_watchers_are_one_row_and_a_batch_has_its_size(
    watched: harness.Served, shop: Shop, statements: Statements
) -> None:
    async def scene() -> None:
        async with clients(watched, *[role("admin")] * 4) as wires:
            for wire in wires:
                for name in ("ann", "bob", "cid"):
                    await wire.run(name, ONE, id=name)
                    await wire.data()
            await statements.settle_at(3)
            for at in range(8):
                await wires[at % 4].run(f"more {at // 4}", ONE, id=f"nobody {at}")
                await wires[at % 4].data()
            await statements.settle_at(10, 1)

    asyncio.run(scene())


def test_nothing_is_asked_when_nobody_listens(
    watched: harness.Served, shop: Shop, statements: Statements
) -> None:
    async def scene(client: Wire) -> None:
        await client.run("1", NAMES)
        await client.data()
        await client.stop("1")
        await asyncio.to_thread(eventually, lambda: not watched.engine.subscriptions.tasks)
        statements.clear()
        await asyncio.sleep(0.3)
        assert statements == []

    play(watched, scene)
    eventually(lambda: not watched.engine.subscriptions.pollers)


def test_a_newcomer_is_answered_at_once_and_the_others_hear_nothing(
    shop_url: str, shop_directory: Path, shop: Shop
) -> None:
    environ = {"HASURA_GRAPHQL_LIVE_QUERIES_MULTIPLEXED_REFETCH_INTERVAL": "600000"}

    async def scene(served: harness.Served) -> None:
        async with clients(served, role("admin"), role("admin")) as (one, two):
            await one.run("1", NAMES)
            await one.data()
            shop.execute("update owner set age = 4")
            await two.run("1", NAMES)
            await two.data()  # the next look is ten minutes away
            await one.nothing(0.2)

    with harness.serve(shop_url, shop_directory, environ) as served:
        asyncio.run(scene(served))


def test_a_value_that_postgres_cannot_read_ends_its_own_subscription_only(
    watched: harness.Served, shop: Shop
) -> None:
    query = "subscription ($c: uuid) { entry(where: {code: {_eq: $c}}) { id } }"

    async def scene(client: Wire) -> None:
        good = "c0a80000-0000-4000-8000-000000000001"
        await client.run("good", query, c=good)
        assert await client.data() == {"entry": [{"id": 1}]}
        for at, bad in enumerate(("nonsense", "more of it")):
            await client.run(str(at), query, c=bad)
            told = await client.hear()
            assert (told["type"], told["id"]) == ("error", str(at))
            assert told["payload"][0]["extensions"] == {"path": "$", "code": "data-exception"}
            assert (await client.hear())["type"] == "complete"
        shop.execute("update entry set code = null")
        heard = await client.hear()
        assert (heard["id"], heard["payload"]) == ("good", {"data": {"entry": []}})

    play(watched, scene)


def test_one_watcher_that_fails_later_does_not_disturb_the_others(
    watched: harness.Served, shop: Shop
) -> None:
    query = """subscription ($i: Int!) {
      wallet(where: {id: {_eq: $i}}) { id scaled(args: {factor: 1, plus: $i}) } }"""

    async def scene(client: Wire) -> None:
        await client.run("1", query, i=1)
        await client.run("3", query, i=3)
        await client.data()
        await client.data()
        # One more than the largest bigint: only the first watcher's row fails.
        shop.execute("update wallet set balance_minor = %s where id = 1", (2**63 - 1,))
        heard = await client.hear()
        assert heard["id"] == "1"
        assert heard["payload"]["errors"][0]["extensions"]["code"] == "data-exception"
        shop.execute("update wallet set balance_minor = 60 where id = 3")
        while heard["id"] == "1":
            heard = await client.hear()
        assert heard["payload"]["data"] == {"wallet": [{"id": 3, "scaled": 63}]}
        shop.execute("update wallet set balance_minor = 5 where id = 1")
        while heard["id"] == "3" or "errors" in heard["payload"]:
            heard = await client.hear()
        assert heard["payload"]["data"] == {"wallet": [{"id": 1, "scaled": 6}]}

    play(watched, scene)


@pytest.fixture
def own_shop(bare_postgres: Postgres, shop_directory: Path) -> Iterator[tuple[str, harness.Served]]:
    url = create_shop(bare_postgres)
    environ = {
        "HASURA_GRAPHQL_LIVE_QUERIES_MULTIPLEXED_REFETCH_INTERVAL": "100",
        "HASURA_GRAPHQL_STREAMING_QUERIES_MULTIPLEXED_REFETCH_INTERVAL": "100",
    }
    with harness.serve(url, shop_directory, environ) as served:
        yield url, served


KILL = """select pg_terminate_backend(pid) from pg_stat_activity
  where pid <> pg_backend_pid() and datname = %s"""


def test_a_killed_backend_is_not_noticed(own_shop: tuple[str, harness.Served]) -> None:
    url, served = own_shop

    async def scene(client: Wire) -> None:
        await client.run("1", NAMES)
        await client.data()
        with psycopg.connect(url, autocommit=True) as database:
            database.execute(KILL, (database.info.dbname,))
            await client.nothing(0.4)
            database.execute("update owner set name = 'A' where id = 'ann'")
        assert (await client.data())["owner"][0] == {"name": "A"}

    play(served, scene)


def test_an_outage_is_told_and_ends(
    own_shop: tuple[str, harness.Served], bare_postgres: Postgres
) -> None:
    url, served = own_shop
    name = url.rsplit("/", 1)[1]

    async def scene(client: Wire) -> None:
        await client.run("1", NAMES)
        first = await client.data()
        stream = (
            "subscription { entry_stream(batch_size: 9, cursor: {initial_value: {id: 0}}) { id } }"
        )
        await client.run("2", stream)
        await client.data()
        with psycopg.connect(bare_postgres.url, autocommit=True) as admin:
            admin.execute(f"alter database {name} allow_connections false")
            admin.execute(KILL, (name,))
            heard = [await client.hear() for _ in range(2)]
            while {item["id"] for item in heard} != {"1", "2"}:
                heard.append(await client.hear())
            admin.execute(f"alter database {name} allow_connections true")
        error = {
            "message": "connection error",
            "extensions": {"path": "$", "code": "postgres-error"},
        }
        assert all(item["payload"] == {"errors": [error]} for item in heard)
        while "errors" in (again := await client.hear())["payload"]:
            pass
        assert (again["id"], again["payload"]["data"]) == ("1", first)

    play(served, scene)


def test_a_namespace_is_watched_as_it_is_queried(
    atlas_renamed: harness.Served, watched: harness.Served
) -> None:
    async def scene(client: Wire) -> None:
        field = "my_city_by_pk_now(id: 3) { name }"
        await client.run("1", f"subscription {{ spot: maps {{ {field} }} }}")
        assert await client.data() == {"spot": {"my_city_by_pk_now": {"name": "Vienna"}}}
        await client.run("2", f"subscription {{ maps {{ a: {field} b: {field} }} }}")
        (error,) = (await client.hear())["payload"]
        assert error["message"] == "subscriptions must select one top level field"

    play(atlas_renamed, scene)


def test_only_parameters_are_rewritten() -> None:
    def bind(_leaves: Any, _session: Any) -> str:
        return ""

    quoted = """'$1', 'it''s $1', "a$1", E'\\\\$1'"""
    sql = f"SELECT $2::text, {quoted}, $1::text[] LIMIT ($2::text)::int"
    found = statement(Sql("k", sql, (bind, bind)))

    one, two = '"_subs"."a1"', '"_subs"."a2"'
    assert f"(SELECT {two}::text, {quoted}, {one}::text[] LIMIT ({two}::text)::int)" in found
    assert 'FROM unnest($1::text[], $2::text[], $3::text[]) AS "_subs"("id", "a1", "a2")' in found
