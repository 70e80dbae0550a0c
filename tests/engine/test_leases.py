"""Connections that requests hand to each other, beside those that stay in the pool."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from engine.waiting import until

from sandbox.engine import database
from sandbox.engine.execution import leases
from sandbox.engine.execution.leases import Leases
from sandbox.engine.settings import Settings

SIZE = 8
MOST = SIZE - leases.LEFT_TO_OTHERS
PATIENCE = 60.0
Scene = Callable[[Leases], Awaitable[Any]]


@asynccontextmanager
async def leasing(url: str, size: int = SIZE) -> AsyncIterator[Leases]:
    pool = await database.open_pool(Settings(url, "", pool_size=size))
    found = Leases(pool)
    try:
        yield found
        await found.close()
        await asyncio.wait_for(pool.close(), PATIENCE)  # it waits for every connection that is out
    finally:
        pool.terminate()


def play(url: str, scene: Scene, size: int = SIZE) -> Any:
    async def main() -> Any:
        async with leasing(url, size) as found:
            return await asyncio.wait_for(scene(found), PATIENCE)

    return asyncio.run(main())


def test_the_connection_that_was_given_last_is_taken_first(shop_url: str) -> None:
    async def scene(found: Leases) -> None:
        first, second = await found.take(), await found.take()
        await found.give(first, failed=False)
        await found.give(second, failed=False)

        again = await found.take()
        assert again is second
        await found.give(again, failed=False)

    play(shop_url, scene)


def test_who_waits_longest_is_handed_the_next_connection(shop_url: str) -> None:
    async def scene(found: Leases) -> list[int]:
        out = [await found.take() for _ in range(SIZE)]
        order: list[int] = []

        async def ask(number: int) -> None:
            connection = await found.take()
            order.append(number)
            await found.give(connection, failed=False)

        asking = [asyncio.create_task(ask(number)) for number in range(3)]
        await asyncio.sleep(0.05)
        assert order == []
        for connection in out:
            await found.give(connection, failed=False)
        await asyncio.gather(*asking)
        return order

    assert play(shop_url, scene) == [0, 1, 2]


def test_requests_leave_connections_to_others_when_they_are_done(shop_url: str) -> None:
    async def scene(found: Leases) -> None:
        for connection in [await found.take() for _ in range(SIZE)]:
            await found.give(connection, failed=False)

        others = [await found.pool.acquire(timeout=PATIENCE) for _ in range(leases.LEFT_TO_OTHERS)]
        with pytest.raises(TimeoutError):
            await found.pool.acquire(timeout=0.1)
        for connection in others:
            await found.pool.release(connection)

    play(shop_url, scene)


def test_others_get_a_connection_while_requests_crowd(shop_url: str) -> None:
    async def scene(found: Leases) -> None:
        async def ask() -> None:
            while not is_over:
                connection = await found.take()
                await asyncio.sleep(0)
                await found.give(connection, failed=False)

        is_over = False
        crowd = [asyncio.create_task(ask()) for _ in range(SIZE * 4)]
        await asyncio.sleep(0.5)
        try:
            acquired = [found.pool.acquire(timeout=PATIENCE) for _ in range(leases.LEFT_TO_OTHERS)]
            others = [await item for item in acquired]
        finally:
            is_over = True
            await asyncio.gather(*crowd)
        for connection in others:
            await found.pool.release(connection)

    play(shop_url, scene)


def test_one_who_comes_too_late_to_the_pool_is_handed_what_is_given(
    shop_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Leases, "_has_room", lambda _: True)  # there was, a moment ago

    async def scene(found: Leases) -> None:
        out = [await found.take() for _ in range(MOST)]
        others = [await found.pool.acquire() for _ in range(SIZE - MOST)]
        late = asyncio.create_task(found.take())
        await asyncio.sleep(0.05)
        await found.give(out.pop(), failed=False)
        out.append(await asyncio.wait_for(late, PATIENCE))
        for connection in out:
            await found.give(connection, failed=False)
        for connection in others:
            await found.pool.release(connection)

    play(shop_url, scene)


def test_who_has_waited_for_too_long_is_told(
    shop_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(found: Leases) -> None:
        out = [await found.take() for _ in range(SIZE)]
        monkeypatch.setattr(leases, "WAIT_SECONDS_MAX", 0.1)
        with pytest.raises(TimeoutError):
            await found.take()
        for connection in out:
            await found.give(connection, failed=False)

    play(shop_url, scene)


def test_a_small_pool_is_not_divided(shop_url: str) -> None:
    async def scene(found: Leases) -> None:
        connection = await found.take()
        await found.give(connection, failed=False)

        other = await found.pool.acquire(timeout=PATIENCE)
        await found.pool.release(other)

    play(shop_url, scene, size=1)


def is_lost(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # it has left the pool by itself
        return True


def test_a_connection_that_was_cut_is_replaced(shop_url: str) -> None:
    async def scene(found: Leases) -> Any:
        cut = await found.take()
        pid = cut.get_server_pid()
        await found.give(cut, failed=False)
        other = await found.pool.acquire()
        await other.execute("select pg_terminate_backend($1)", pid)
        await found.pool.release(other)
        await until(lambda: is_lost(cut))

        connection = await found.take()
        answer = await connection.fetchval("select 1")
        await found.give(connection, failed=False)
        return answer

    assert play(shop_url, scene) == 1


def test_what_was_open_before_a_loss_is_used_by_nobody_else(shop_url: str) -> None:
    async def scene(found: Leases) -> None:
        idle, busy = await found.take(), await found.take()
        await found.give(idle, failed=False)
        await found.expire()
        await found.give(busy, failed=False)

        fresh = [await found.take() for _ in range(2)]
        assert not {id(idle), id(busy)} & {id(connection) for connection in fresh}
        for connection in fresh:
            await found.give(connection, failed=False)

    play(shop_url, scene)


def test_a_transaction_is_never_handed_on(shop_url: str) -> None:
    async def scene(found: Leases) -> bool:
        connection = await found.take()
        await connection.execute("begin")
        await found.give(connection, failed=False)

        connection = await found.take()
        inside = connection.is_in_transaction()
        await found.give(connection, failed=False)
        return bool(inside)

    reported: list[Any] = []

    async def main() -> bool:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: reported.append(context))
        async with leasing(shop_url) as found:
            return await scene(found)

    assert asyncio.run(main()) is False
    assert len(reported) == 1  # asyncpg says that it had to end a transaction


def test_one_that_stops_waiting_loses_no_connection(shop_url: str) -> None:
    async def scene(found: Leases) -> None:
        out = [await found.take() for _ in range(SIZE)]
        waiting = asyncio.create_task(found.take())
        await asyncio.sleep(0.05)
        await found.give(out.pop(0), failed=False)  # handed on, and not yet taken up
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        out.append(await asyncio.wait_for(found.take(), PATIENCE))
        for connection in out:
            await found.give(connection, failed=False)

    play(shop_url, scene)


def test_those_who_wait_are_told_when_none_can_be_opened(
    shop_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(found: Leases) -> int:
        async def refuse(*_: Any, **__: Any) -> None:
            await asyncio.sleep(0.01)
            raise asyncpg.TooManyConnectionsError("no more")

        class Refusing:
            get_size = get_idle_size = staticmethod(lambda: 0)
            get_max_size = staticmethod(lambda: 0)
            acquire = staticmethod(refuse)

        pool, found.pool = found.pool, Refusing()
        asked = [found.take() for _ in range(MOST + 3)]
        told = await asyncio.gather(*asked, return_exceptions=True)
        found.pool = pool
        return sum(isinstance(item, asyncpg.TooManyConnectionsError) for item in told)

    assert play(shop_url, scene) == MOST + 3


def test_closing_lets_the_pool_close_at_once(shop_url: str) -> None:
    async def main() -> None:
        pool = await database.open_pool(Settings(shop_url, "", pool_size=SIZE))
        found = Leases(pool)
        out = [await found.take() for _ in range(2)]
        await found.give(out[0], failed=False)
        await found.close()
        await found.give(out[1], failed=False)  # a request that ended after the close began
        try:
            await asyncio.wait_for(pool.close(), PATIENCE)
        finally:
            pool.terminate()

    asyncio.run(main())
