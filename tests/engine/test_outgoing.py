"""The way out: connections are used again, nothing is kept from one exchange to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from engine.receiver import Answer, Receiver, receiving
from engine.waiting import until

from sandbox.engine import exchange
from sandbox.engine.outgoing import Outgoing, Request

Scene = Callable[[Receiver, Outgoing], Awaitable[None]]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "KEPT_SECONDS_MAX", 600)


def play(scene: Scene, concurrent_max: int = 100) -> None:
    async def run() -> None:
        async with receiving() as receiver, Outgoing(concurrent_max) as outgoing:
            await scene(receiver, outgoing)

    asyncio.run(run())


async def post(
    receiver: Receiver, outgoing: Outgoing, timeout_s: float = 60, **headers: str
) -> httpx.Response:
    return await outgoing.post(f"{receiver.url}/hook", headers, "{}", timeout_s)


def test_exchanges_take_as_many_connections_as_run_at_the_same_time() -> None:
    async def scene(receiver: Receiver, outgoing: Outgoing) -> None:
        receiver.answer = lambda _: Answer(wait_s=0.05)
        for _ in range(3):
            await asyncio.gather(*(post(receiver, outgoing) for _ in range(4)))
            await post(receiver, outgoing)

        assert len(receiver.requests) == 15
        assert receiver.connections == 4

    play(scene)


def test_a_cookie_of_one_answer_is_not_sent_with_the_next_request() -> None:
    async def scene(receiver: Receiver, outgoing: Outgoing) -> None:
        receiver.answer = lambda _: Answer(headers={"Set-Cookie": "session=of-ann; Path=/"})
        first = await post(receiver, outgoing)
        await post(receiver, outgoing)
        await post(receiver, outgoing, Cookie="mine=1")

        assert first.headers["set-cookie"] == "session=of-ann; Path=/"
        sent = [request.headers.get("cookie") for request in receiver.requests]
        assert sent == [None, None, "mine=1"]

    play(scene)


def test_the_account_in_an_address_is_sent_as_basic_authorization() -> None:
    async def scene(receiver: Receiver, outgoing: Outgoing) -> None:
        url = receiver.url.replace("http://", "http://ann:p%40ss@")
        for _ in range(2):
            await outgoing.post(f"{url}/hook", {}, "{}", 10)

        sent = [dict(request.pairs)["Authorization"] for request in receiver.requests]
        assert sent == ["Basic YW5uOnBAc3M="] * 2

    play(scene)


def test_each_body_is_sent_with_its_own_length_and_each_head_with_its_own_headers() -> None:
    async def scene(receiver: Receiver, outgoing: Outgoing) -> None:
        given = [("1", "{}"), ("2", '{"a": "é"}'), ("1", '"one"')]
        for name, body in given:
            await outgoing.post(f"{receiver.url}/hook", {"X-Name": name}, body, 10)

        asked = [(request.headers["x-name"], request.text) for request in receiver.requests]
        assert asked == given

    play(scene)


def test_no_more_than_the_limit_run_at_once_and_the_wait_counts() -> None:
    async def scene(receiver: Receiver, outgoing: Outgoing) -> None:
        may_end = asyncio.Event()
        receiver.answer = lambda _: Answer(after=may_end)
        late = [asyncio.create_task(post(receiver, outgoing)) for _ in range(2)]
        await receiver.wait_for(2)
        with pytest.raises(TimeoutError):
            await post(receiver, outgoing, timeout_s=0.05)

        assert len(receiver.requests) == 2
        may_end.set()
        await asyncio.gather(*late)

    play(scene, concurrent_max=2)


def test_after_an_exchange_that_took_too_long_the_next_ones_work() -> None:
    async def scene(receiver: Receiver, outgoing: Outgoing) -> None:
        receiver.answer = lambda _: Answer(wait_s=0 if done else 600)
        done: list[bool] = []
        for _ in range(6):
            with pytest.raises(TimeoutError):
                await post(receiver, outgoing, timeout_s=0.05)
        done.append(True)
        answers = [await post(receiver, outgoing) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [200] * 3

    play(scene, concurrent_max=1)


def test_an_answer_that_never_ends_is_cut_at_the_limit() -> None:
    ended: list[bool] = []

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not reader.at_eof() and not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)
        writer.close()
        ended.append(True)

    async def run() -> float:
        server: Any = await asyncio.start_server(drip, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        begun = asyncio.get_running_loop().time()
        async with server, Outgoing(1) as outgoing:
            with pytest.raises(TimeoutError):
                await outgoing.post(url, {}, "{}", 0.3)
            took_s = asyncio.get_running_loop().time() - begun
            await until(lambda: ended)
        return took_s

    assert 0.3 <= asyncio.run(run()) < 60  # the answer lasts for hours


def test_headers_that_are_not_ascii_are_sent_as_they_came() -> None:
    async def scene(receiver: Receiver, outgoing: Outgoing) -> None:
        headers = {"X-Plain": "café", "X-Hasura-Name": "Łódź", "X-Odd": "Ł \ud800"}
        request = Request("POST", f"{receiver.url}/hook", tuple(headers.items()), b"{}")
        await outgoing.post(request.url, headers, "half a pair \ud800", 10)
        await outgoing.send(request, 10)

        for asked in receiver.requests:
            found = {name.lower(): value.encode("latin-1") for name, value in asked.pairs}
            assert found["x-plain"] == "café".encode("latin-1")
            assert found["x-hasura-name"] == "Łódź".encode()
            assert found["x-odd"] == "Ł ?".encode()
        assert [asked.text for asked in receiver.requests] == ["half a pair ?", "{}"]

    play(scene)
