"""Streams: rows past a cursor, each sent once (contract 12)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest
from engine import harness
from engine.waiting import eventually, until
from engine.wire import Wire, initialised, role

Shop = psycopg.Connection[Any]


def play(
    served: harness.Served,
    scene: Callable[[Wire], Coroutine[Any, Any, Any]],
    headers: dict[str, str] | None = None,
) -> Any:
    async def whole() -> Any:
        async with initialised(served, headers=headers) as client:
            return await scene(client)

    return asyncio.run(whole())


def stream(cursor: str, batch: int = 10, fields: str = "id", more: str = "") -> str:
    arguments = f"batch_size: {batch}, cursor: {cursor}{more}"
    return f"subscription {{ entry_stream({arguments}) {{ {fields} }} }}"


async def ids(client: Wire) -> list[int]:
    return [row["id"] for row in (await client.data())["entry_stream"]]


INSERT = "insert into entry (wallet_id, kind, amount_minor) values (%s, 'debit', 5)"


def test_rows_come_in_batches_then_as_they_are_inserted(
    watched: harness.Served, shop: Shop
) -> None:
    async def scene(client: Wire) -> None:
        await client.run("1", stream("{initial_value: {id: 1}}", 2))
        assert await ids(client) == [2, 3]
        assert await ids(client) == [4]
        await client.nothing(0.4)
        shop.execute("update entry set amount_minor = 1")  # rows that have passed
        await client.nothing(0.3)
        for _ in range(3):
            shop.execute(INSERT, (1,))
        heard: list[int] = []
        while len(heard) < 3:
            heard += await ids(client)
        assert heard == [5, 6, 7]
        await client.stop("1")
        shop.execute(INSERT, (1,))
        await client.nothing(0.3)

    play(watched, scene)


def test_a_stream_may_go_down(watched: harness.Served, shop: Shop) -> None:
    async def scene(client: Wire) -> None:
        await client.run("1", stream("[{initial_value: {id: 4}, ordering: DESC}]", 2))
        assert await ids(client) == [3, 2]
        assert await ids(client) == [1]
        await client.nothing(0.3)

    play(watched, scene)


@pytest.mark.parametrize(
    ("initial", "found"),
    [
        ('{code: "00000000-0000-0000-0000-000000000000"}', [1]),
        ('{booked_on: "2026-01-05"}', [2, 4]),
        ('{rate: "1.5"}', [2]),
        ("{weight: 1}", [2, 4]),
        ("{kind: credit}", [3]),
        ("{feeling: sad}", None),
        ('{feeling: "sad"}', [2, 1]),
        ("{booked_on: null}", []),
    ],
    ids=str,
)
def test_a_cursor_may_be_of_any_type(
    watched: harness.Served, shop: Shop, initial: str, found: list[int] | None
) -> None:
    async def scene(client: Wire) -> None:
        await client.run("1", stream(f"{{initial_value: {initial}}}"))
        if found is None:
            assert (await client.hear())["type"] == "error"
            assert (await client.hear())["type"] == "complete"
        elif found:
            assert await ids(client) == found
        await client.nothing(0.3)

    play(watched, scene)


def test_a_timestamp_is_kept_to_the_microsecond(watched: harness.Served, shop: Shop) -> None:
    query = """subscription ($from: timestamptz) {
      wallet_stream(batch_size: 1, cursor: {initial_value: {created_at: $from}}) { id } }"""
    shop.execute("update wallet set created_at = '2026-01-02T12:34:56.789001Z' where id = 3")

    async def scene(client: Wire) -> None:
        await client.run("1", query, **{"from": "2026-01-01T00:00:00+00:00"})
        assert await client.data() == {"wallet_stream": [{"id": 2}]}
        assert await client.data() == {"wallet_stream": [{"id": 3}]}
        await client.nothing(0.3)

    play(watched, scene)


def test_a_stream_has_a_where_and_the_permissions_of_the_role(
    watched: harness.Served, shop: Shop
) -> None:
    async def scene(client: Wire) -> None:
        where = ', where: {kind: {_eq: credit}, wallet: {currency: {_eq: "USD"}}}'
        await client.run(
            "1", stream("{initial_value: {id: 0}}", 9, "id kind wallet { owner_id }", where)
        )
        rows = (await client.data())["entry_stream"]
        assert [(row["id"], row["wallet"]["owner_id"]) for row in rows] == [(1, "ann"), (2, "ann")]
        await client.nothing(0.3)

    play(watched, scene, role("user", user_id="ann"))


def test_the_row_limit_of_a_role_bounds_the_batch(watched: harness.Served, shop: Shop) -> None:
    shop.execute("insert into wallet (id, owner_id, currency) values (4, 'ann', 'EUR')")
    query = """subscription { wallet_stream(batch_size: 9, cursor: {initial_value: {id: 0}})
      { id label viewer } }"""

    async def scene(client: Wire) -> None:
        await client.run("1", query)
        first = (await client.data())["wallet_stream"]
        assert first[0] == {"id": 1, "label": "USD:1", "viewer": "user"}
        assert [row["id"] for row in first] == [1, 2]
        assert [row["id"] for row in (await client.data())["wallet_stream"]] == [4]

    play(watched, scene, role("user", user_id="ann"))


def test_each_watcher_stands_at_its_own_place(
    watched: harness.Served, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    plain = watched.engine.executor.fetch

    async def fetch(sql: str, arguments: Any) -> Any:
        seen.append(len(arguments[0]))
        return await plain(sql, arguments)

    monkeypatch.setattr(watched.engine.executor, "fetch", fetch)
    query = """subscription ($id: bigint!) {
      entry_stream(batch_size: 2, cursor: {initial_value: {id: $id}}) { id } }"""

    async def scene(client: Wire) -> None:
        for start in (0, 2, 3, 4):
            await client.run(str(start), query, id=start)
        found: dict[str, list[int]] = {}
        while sum(map(len, found.values())) < 7:
            message = await client.hear()
            rows = message["payload"]["data"]["entry_stream"]
            found.setdefault(message["id"], []).extend(row["id"] for row in rows)
        assert found == {"0": [1, 2, 3, 4], "2": [3, 4], "3": [4]}
        seen.clear()
        await until(lambda: len(seen) >= 3)
        assert set(seen) == {1}  # all stand at the end now, and are one
        shop.execute(INSERT, (1,))
        heard = [await client.hear() for _ in range(4)]
        assert sorted(item["id"] for item in heard) == ["0", "2", "3", "4"]
        assert all(item["payload"]["data"]["entry_stream"] == [{"id": 5}] for item in heard)
        await client.stop("0")
        shop.execute(INSERT, (1,))
        assert sorted([(await client.hear())["id"] for _ in range(3)]) == ["2", "3", "4"]

    play(watched, scene)
    eventually(lambda: not watched.engine.subscriptions.pollers)


@pytest.mark.parametrize(
    ("query", "message", "place"),
    [
        (stream("[]"), "one streaming column field is expected", "args"),
        (stream("[null]"), "one streaming column field is expected", "args"),
        (stream("{initial_value: {}}"), "one streaming column field is expected", "args"),
        (
            stream("{initial_value: {id: 1, kind: credit}}"),
            "multiple column cursors are not supported yet",
            "args",
        ),
        (
            stream("[{initial_value: {id: 1}}, {initial_value: {id: 2}}]"),
            "multiple column cursors are not supported yet",
            "args",
        ),
        (stream("{ordering: ASC}"), "missing required field 'initial_value'", "cursor"),
        (stream("{initial_value: {id: null}}"), "unexpected null value for type 'bigint'", "id"),
        (stream("{initial_value: {id: 1}}", -1), "expected a non-negative 32-bit integer", "size"),
        (stream("{initial_value: {id: 1}, ordering: UP}"), "expected one of the values", "order"),
        (
            "subscription { entry_stream(batch_size: 1) { id } }",
            "missing required field 'cursor'",
            "cursor",
        ),
    ],
)
def test_a_wrong_cursor_is_refused(
    watched: harness.Served, query: str, message: str, place: str
) -> None:
    async def scene(client: Wire) -> None:
        await client.run("1", query)
        (error,) = (await client.hear())["payload"]
        assert message in error["message"]
        assert place in error["extensions"]["path"]

    play(watched, scene)
