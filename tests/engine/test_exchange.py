"""The transport below httpx: how answers are framed, and what a broken one is called."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from engine.waiting import until

from sandbox.engine import exchange
from sandbox.engine.exchange import Transport

PAUSE = b""
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "KEPT_SECONDS_MAX", 600)


@dataclass
class Server:
    """Says the next script to each request, and hangs up after one that ends with None.

    An empty part is a pause until it `may_go_on`; `said` counts the scripts that were said.
    """

    scripts: list[list[bytes | None]]
    url: str = ""
    said: int = 0
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    ended: int = 0
    heard: list[bytes] = field(default_factory=list)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.scripts and await self.hear(reader):
                if not await self.say(self.scripts.pop(0), writer):
                    return
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self.ended += 1

    async def say(self, script: list[bytes | None], writer: asyncio.StreamWriter) -> bool:
        """Say a script; False when it ends with a farewell."""
        for part in script:
            if part is None:
                writer.close()
            elif part == PAUSE:
                await self.may_go_on.wait()
            else:
                writer.write(part)
                await asyncio.sleep(0.01)
        self.said += 1
        return script[-1] is not None

    async def hear(self, reader: asyncio.StreamReader) -> bool:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-len")]
        body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
        self.heard.append(head + body)
        return True


async def heard_out(server: Server, number: int) -> None:
    """Wait until so many scripts were said, and the loop has read them."""
    await until(lambda: server.said == number)
    for _ in range(5):
        await asyncio.sleep(0.001)


@asynccontextmanager
async def serving(*scripts: list[bytes | None]) -> AsyncIterator[Server]:
    found = Server(list(scripts))
    server = await asyncio.start_server(found.accept, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield found
    finally:
        server.close()
        await until(lambda: found.ended == found.connections)
        await asyncio.sleep(0)  # the loop closes the client's sockets in its next turn


def client(hosts_max: int = 4) -> httpx.AsyncClient:
    transport = Transport(httpx.create_ssl_context(trust_env=False), hosts_max)
    return httpx.AsyncClient(transport=transport, timeout=60, trust_env=False)


Scene = Callable[[Server, httpx.AsyncClient], Awaitable[Any]]


def play(scene: Scene, *scripts: list[bytes | None]) -> Any:
    async def main() -> Any:
        async with serving(*scripts) as server, client() as asking:
            return await asyncio.wait_for(scene(server, asking), 60)

    return asyncio.run(main())


async def post(server: Server, asking: httpx.AsyncClient) -> httpx.Response:
    return await asking.post(server.url, content=b"{}", headers={"X-Name": "value"})


FRAMES: dict[str, list[bytes | None]] = {
    "a length": [GOOD],
    "byte by byte": [GOOD[at : at + 1] for at in range(len(GOOD))],
    "chunks": [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n",
        b"1\r\nk\r\n0\r\n\r\n",
    ],
    "the end of the connection": [b"HTTP/1.1 200 OK\r\n\r\no", b"k", None],
    "an older version": [b"HTTP/1.0 200 OK\r\n\r\nok", None],
    "something in advance": [b"HTTP/1.1 100 Continue\r\n\r\n", GOOD],
    "hints in the same packet": [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + GOOD],
}


@pytest.mark.parametrize("frame", FRAMES)
def test_the_body_ends_where_the_server_says(frame: str) -> None:
    answer = play(post, FRAMES[frame])

    assert (answer.status_code, answer.text) == (200, "ok")
    assert "link" not in answer.headers


def test_a_zipped_body_is_unpacked() -> None:
    body = gzip.compress(b"ok")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)

    assert play(post, [head + body]).text == "ok"


def test_the_request_is_sent_in_full() -> None:
    async def scene(server: Server, asking: httpx.AsyncClient) -> bytes:
        await post(server, asking)
        return server.heard[0]

    head, _, body = play(scene, [GOOD]).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nX-Name: value" in head
    assert b"\r\nContent-Length: 2" in head
    assert body == b"{}"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_ends_with_its_head(status: int) -> None:
    async def scene(server: Server, asking: httpx.AsyncClient) -> tuple[int, int]:
        answers = [await post(server, asking) for _ in range(2)]
        return answers[0].status_code, server.connections

    head = b"HTTP/1.1 %d X\r\n\r\n" % status
    assert play(scene, [head], [GOOD]) == (status, 1)


def test_the_length_in_an_answer_to_head_is_not_waited_for() -> None:
    async def scene(server: Server, asking: httpx.AsyncClient) -> Any:
        return await asking.head(server.url)

    answer = play(scene, [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"])
    assert (answer.status_code, answer.headers["content-length"], answer.text) == (200, "99", "")


BROKEN: dict[str, tuple[list[bytes | None], type[Exception]]] = {
    "nothing": ([None], httpx.RemoteProtocolError),
    "half a head": ([b"HTTP/1.1 200 OK\r\nContent-", None], httpx.RemoteProtocolError),
    "half a body": ([GOOD[:-1], None], httpx.RemoteProtocolError),
    "half a chunk": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok", None],
        httpx.RemoteProtocolError,
    ),
    "no HTTP": ([b"SSH-2.0-OpenSSH_9.2\r\n"], httpx.RemoteProtocolError),
    "another protocol": (
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
        httpx.RemoteProtocolError,
    ),
}


@pytest.mark.parametrize("said", BROKEN)
def test_a_broken_answer_is_an_error_of_httpx(said: str) -> None:
    script, kind = BROKEN[said]
    with pytest.raises(kind) as failure:
        play(post, script)
    assert failure.value.request.url.path == "/hook"  # type: ignore[attr-defined]  # every one of them has it


def test_after_a_broken_answer_a_new_connection_is_made() -> None:
    async def scene(server: Server, asking: httpx.AsyncClient) -> tuple[str, int]:
        with pytest.raises(httpx.RemoteProtocolError):
            await post(server, asking)
        return (await post(server, asking)).text, server.connections

    assert play(scene, [GOOD[:-1], None], [GOOD]) == ("ok", 2)


def test_a_connection_is_used_again() -> None:
    async def scene(server: Server, asking: httpx.AsyncClient) -> int:
        for _ in range(3):
            await post(server, asking)
        return server.connections

    assert play(scene, [GOOD], [GOOD], [GOOD]) == 1


@pytest.mark.parametrize(
    "farewell",
    [
        [GOOD, None],
        [GOOD.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")],
        [GOOD + GOOD],
        [GOOD, GOOD],
    ],
    ids=["hung up", "said so", "one answer too many", "one answer too many, later"],
)
def test_a_connection_that_is_no_good_is_not_used_again(farewell: list[bytes | None]) -> None:
    async def scene(server: Server, asking: httpx.AsyncClient) -> tuple[str, int]:
        await post(server, asking)
        await heard_out(server, 1)
        return (await post(server, asking)).text, server.connections

    other = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"
    assert play(scene, farewell, [other]) == ("other", 2)


def test_a_farewell_that_the_loop_has_not_seen_yet_is_noticed() -> None:
    async def scene(server: Server, asking: httpx.AsyncClient) -> tuple[str, int]:
        await post(server, asking)
        transport: Any = asking._transport  # noqa: SLF001 -- the moment cannot be made from outside
        (connection,) = transport._idle.values()  # noqa: SLF001 -- the same
        connection._transport.pause_reading()  # noqa: SLF001 -- the same
        server.may_go_on.set()
        await heard_out(server, 1)
        return (await post(server, asking)).text, server.connections

    assert play(scene, [GOOD, PAUSE, None], [GOOD]) == ("ok", 2)


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "KEPT_SECONDS_MAX", 0.01)

    async def scene(server: Server, asking: httpx.AsyncClient) -> int:
        await post(server, asking)
        await asyncio.sleep(0.05)
        await post(server, asking)
        return server.connections

    assert play(scene, [GOOD], [GOOD]) == 2


def test_an_exchange_that_is_given_up_leaves_nothing_for_the_next() -> None:
    async def scene(server: Server, asking: httpx.AsyncClient) -> tuple[str, int]:
        given_up = asyncio.create_task(post(server, asking))
        await heard_out(server, 1)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        await until(lambda: server.ended == 1)
        return (await post(server, asking)).text, server.connections

    assert play(scene, [b"HTTP/1.1 200 OK\r\n"], [GOOD]) == ("ok", 2)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b"])
def test_a_header_cannot_smuggle_another(value: str) -> None:
    async def scene(server: Server, asking: httpx.AsyncClient) -> list[bytes]:
        with pytest.raises(httpx.LocalProtocolError):
            await asking.post(server.url, headers={"X-Name": value})
        with pytest.raises(httpx.LocalProtocolError):
            await asking.post(server.url, headers={value: "x"})
        return server.heard

    assert play(scene, [GOOD]) == []


def test_a_port_that_nobody_listens_on_is_a_connect_error() -> None:
    async def scene(_server: Server, asking: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.ConnectError, match="All connection attempts failed"):
            await asking.post("http://127.0.0.1:1/")

    play(scene)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "/x"])
def test_only_http_is_spoken(url: str) -> None:
    async def scene(_server: Server, asking: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.UnsupportedProtocol):
            await asking.post(url)

    play(scene)


def test_idle_connections_are_kept_for_a_few_hosts_only() -> None:
    async def main() -> list[int]:
        async with serving([GOOD], [GOOD]) as first, serving([GOOD]) as second:
            async with client(hosts_max=1) as asking:
                for server in (first, second, first):
                    await post(server, asking)
            return [first.connections, second.connections]

    assert asyncio.run(main()) == [2, 1]
