"""Webhooks leave over plain connections: every way an answer may come, and none that is wrong."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from sandbox.gateways.server import posting
from sandbox.gateways.server.posting import Poster, PostError

SENT = b"POST /hook?a=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: */*\r\nX-One: 1\r\n"


@pytest.fixture(autouse=True)
def _connections_stay_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is: what happens to old ones is not tried here."""
    monkeypatch.setattr(posting, "IDLE_SECONDS_MAX", 600.0)


class Line:
    """A server that answers each request on a connection with the next of its texts."""

    def __init__(self, *answers: bytes, closes: bool = False) -> None:
        self.answers = list(answers)
        self.closes = closes
        self.connections = 0
        self.heard: list[bytes] = []
        self.serving: list[asyncio.Task[None]] = []

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.serving.append(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._answer(reader, writer)
        finally:
            writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self.answers:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heard.append(head + await reader.readexactly(4))
            writer.write(self.answers.pop(0))
            await writer.drain()
            if self.closes:
                break


def posted(line: Line, times: int = 1, seconds_max: float = 60) -> list[tuple[int, str] | str]:
    """Post some bodies one after the other, and tell what came of each."""

    async def run() -> list[tuple[int, str] | str]:
        server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        poster, told = Poster(), []
        for _ in range(times):
            url = f"http://127.0.0.1:{port}/hook?a=1"
            try:
                told.append(await poster.post(url, {"X-One": "1"}, b"body", seconds_max))
            except PostError as failure:
                told.append(str(failure))
        await poster.close()
        await asyncio.gather(*line.serving)
        server.close()
        await server.wait_closed()
        if line.heard:
            assert line.heard[0] == SENT % port + b"Content-Length: 4\r\n\r\nbody"
        return told

    return asyncio.run(run())


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKS = b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS


def test_a_connection_serves_one_webhook_after_the_other() -> None:
    line = Line(GOOD, GOOD, GOOD)

    assert posted(line, 3) == [(200, "ok")] * 3
    assert line.connections == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, "")),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 3\r\n\r\nsad", (500, "sad")),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, (200, "ok")),
        (CHUNKED, (200, "abc")),
    ],
)
def test_an_answer_ends_as_http_says(answer: bytes, told: tuple[int, str]) -> None:
    line = Line(answer, answer)

    assert posted(line, 2) == [told] * 2
    assert line.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
def test_a_connection_that_is_closed_is_not_used_again(answer: bytes) -> None:
    line = Line(answer, answer, closes=True)

    assert posted(line, 2) == [(200, "ok")] * 2
    assert line.connections == 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "ValueError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "IncompleteReadError"),
        (b"", "IncompleteReadError"),
    ],
)
def test_what_is_no_whole_answer_is_a_failure(answer: bytes, told: str) -> None:
    assert told in str(posted(Line(answer, closes=True))[0])


def test_a_silent_endpoint_is_given_up_in_time() -> None:
    assert posted(Line(b"", b""), seconds_max=0.1) == ["no answer within 0.1 s"]


def fails(url: str, headers: dict[str, str] | None = None) -> Callable[[], None]:
    def post() -> None:
        asyncio.run(Poster().post(url, headers or {}, b"", 60))

    return post


@pytest.mark.parametrize(
    "post",
    [
        fails("ftp://127.0.0.1/x"),
        fails("http:///x"),
        fails("http://127.0.0.1:1/x"),
        fails("http://127.0.0.1:99999/x"),
    ],
)
def test_where_nobody_listens_nothing_is_sent(post: Callable[[], None]) -> None:
    with pytest.raises(PostError):
        post()
