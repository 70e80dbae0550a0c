"""A watcher whose answer takes long is slow by itself: those who share its statement are not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from engine import harness, leaps
from engine.conftest import create_shop
from engine.wire import initialised

from sandbox.engine.errors import EngineError
from sandbox.engine.settings import Pace
from sandbox.engine.subscriptions.cohorts import Answer, Arguments
from sandbox.engine.subscriptions.multiplex import Row
from sandbox.engine.subscriptions.poller import LivePoller
from sandbox.postgres import Postgres

PACE = Pace(interval_ms=20, batch=100, patience_ms=100)


class Rows:
    """A database that takes the longer, the slower the watchers it is asked for."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = seconds
        self.ticks = 0
        self.asked: list[tuple[str | None, ...]] = []
        self.at_work = self.most_at_work = 0

    async def rows(self, batch: Sequence[Arguments]) -> list[Row]:
        names = tuple(name for (name,) in batch)
        self.asked.append(names)
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await asyncio.sleep(sum(self.seconds.get(str(name), 0.0) for name in names))
        finally:
            self.at_work -= 1
        self.ticks += 1
        return [(f'"{name} {self.ticks}"', None) for name in names]


class Watcher:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.told = asyncio.Event()

    def answered(self, answer: Answer) -> None:
        self.heard.append(answer.text)
        self.told.set()

    async def hears(self, more: int) -> None:
        """Wait until so much more has been heard."""
        wanted = len(self.heard) + more
        async with asyncio.timeout(10):
            while len(self.heard) < wanted:
                self.told.clear()
                await self.told.wait()

    def failed(self, error: EngineError) -> None:
        raise error

    def refused(self, error: EngineError) -> None:
        raise error


@asynccontextmanager
async def polling(rows: Rows, *names: str) -> AsyncIterator[dict[str, Watcher]]:
    poller = LivePoller(rows, PACE)
    watchers = {name: Watcher() for name in names}
    for name, watcher in watchers.items():
        poller.add((name,), watcher)
    task = asyncio.create_task(poller.run())
    try:
        yield watchers
    finally:
        for watcher in watchers.values():
            poller.remove(watcher)
        await asyncio.wait_for(task, 5)
        assert rows.at_work == 0


def test_the_others_go_on_while_a_slow_watcher_is_read() -> None:
    async def scene() -> None:
        async with polling(rows := Rows(slow=2.0), "a", "slow", "b") as watchers:
            await watchers["a"].hears(1)
            started = asyncio.get_running_loop().time()
            await watchers["a"].hears(10)
            assert asyncio.get_running_loop().time() - started < 2.0
            assert watchers["slow"].heard == []
            await watchers["slow"].hears(1)
        assert ("a", "slow", "b") in rows.asked
        assert rows.asked[-1] in (("a", "b"), ("slow",))
        assert rows.most_at_work == 2

    leaps.run(scene())


def test_slow_watchers_wait_for_each_other() -> None:
    async def scene() -> None:
        rows = Rows(x=0.15, y=0.15, z=0.15)
        async with polling(rows, "x", "y", "z", "quick") as watchers:
            for name in ("x", "y", "z"):
                await watchers[name].hears(2)
            heard = Counter({name: len(watcher.heard) for name, watcher in watchers.items()})
        assert rows.most_at_work <= 2
        assert heard["quick"] > heard["x"]

    leaps.run(scene())


def test_a_watcher_that_is_quick_again_is_read_with_the_others() -> None:
    async def scene() -> None:
        async with polling(rows := Rows(slow=0.3), "a", "slow") as watchers:
            await watchers["slow"].hears(1)
            rows.seconds.clear()
            await watchers["slow"].hears(2)
            rows.asked.clear()
            await watchers["slow"].hears(3)
            assert ("a", "slow") in rows.asked

    leaps.run(scene())


def test_watchers_who_are_slow_by_their_number_are_read_in_smaller_parts() -> None:
    async def scene() -> None:
        names = [f"w{at}" for at in range(8)]
        rows = Rows(**dict.fromkeys(names, 0.02))
        async with polling(rows, *names) as watchers:
            await watchers["w7"].hears(3)
        assert max(len(asked) for asked in rows.asked[-3:]) == 4

    leaps.run(scene())


def test_a_newcomer_who_was_not_answered_in_time_is_answered_once() -> None:
    async def scene() -> None:
        rows = Rows(slow=0.3)
        async with polling(rows, "slow") as watchers:
            await watchers["slow"].hears(1)
            assert len(watchers["slow"].heard) == 1

    leaps.run(scene())


SLEEPY = """
create or replace function wallet_scaled(wallet_row wallet, factor int, plus int default 0)
returns bigint language plpgsql stable as $$
begin
    if plus = 3 then perform pg_advisory_xact_lock_shared(7); end if;
    return wallet_row.balance_minor * factor + plus;
end $$
"""


def test_a_slow_variable_delays_its_own_watcher_only(
    bare_postgres: Postgres, shop_directory: Path
) -> None:
    url = create_shop(bare_postgres)
    environ = {
        "HASURA_GRAPHQL_LIVE_QUERIES_MULTIPLEXED_REFETCH_INTERVAL": "50",
        "HASURA_GRAPHQL_SUBSCRIPTIONS_PATIENCE_MS": "1500",
    }
    query = """subscription ($i: Int!) {
      wallet(where: {id: {_eq: $i}}) { id scaled(args: {factor: 1, plus: $i}) } }"""

    async def scene(served: harness.Served) -> None:
        async with initialised(served) as client:
            await client.run("3", query, i=3)
            await client.run("1", query, i=1)
            assert (await client.hear())["id"] == "1"
            for amount in (1, 2, 3):
                changed = f"update wallet set balance_minor = {amount} where id = 1"
                await asyncio.to_thread(database.execute, changed)
                heard = await client.hear()
                assert heard["payload"]["data"] == {"wallet": [{"id": 1, "scaled": amount + 1}]}
            database.execute("select pg_advisory_unlock(7)")
            assert (await client.hear())["id"] == "3"

    with psycopg.connect(url, autocommit=True) as database:
        database.execute(SLEEPY)
        database.execute("select pg_advisory_lock(7)")
        with harness.serve(url, shop_directory, environ) as served:
            asyncio.run(scene(served))


@pytest.mark.parametrize("value", ["0", "soon"])
def test_patience_is_a_number_of_milliseconds(value: str) -> None:
    environ = {"HASURA_GRAPHQL_SUBSCRIPTIONS_PATIENCE_MS": value}
    with pytest.raises(harness.settings.SettingsError):
        harness.settings.read(environ, {"database_url": "x", "metadata": "y"})
