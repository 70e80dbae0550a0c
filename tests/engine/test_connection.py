"""The short way to the hot endpoints, and answers that leave in one piece."""

import asyncio
import socket
from typing import Any

import pytest
from engine import harness

from sandbox.engine.transport import http
from sandbox.engine.transport.connection import Gathering
from sandbox.engine.transport.shortcut import Shortcut

QUERY = '{"query": "{ __typename }"}'
SECRET = {"x-hasura-admin-secret": harness.SECRET, "x-request-id": "r1"}


async def exchange(app: Any, method: str, headers: dict[str, str], body: str) -> list[Any]:
    """Run one request through an ASGI app; return its messages."""
    scope = {
        "type": "http",
        "method": method,
        "path": "/v1/graphql",
        "raw_path": b"/v1/graphql",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    messages: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return messages


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "OPTIONS"])
@pytest.mark.parametrize(
    "headers",
    [
        SECRET,
        SECRET | {"accept-encoding": "gzip"},
        {"x-hasura-admin-secret": "wrong"},
        SECRET | {"origin": "http://page.example"},
    ],
)
@pytest.mark.parametrize("body", [QUERY, "{", '{"query": "{ nothing }"}'])
def test_the_short_way_answers_as_the_long_one(
    served: harness.Served, method: str, headers: dict[str, str], body: str
) -> None:
    app = http.create(served.engine)
    assert isinstance(app, Shortcut)

    short = served.run(exchange(app, method, headers, body))
    long = served.run(exchange(app.app, method, headers, body))
    assert short == long


def test_a_page_that_may_ask_goes_the_long_way(served: harness.Served) -> None:
    app = http.create(served.engine)
    answer = served.run(exchange(app, "POST", SECRET | {"origin": "http://page.example"}, QUERY))

    assert dict(answer[0]["headers"])[b"access-control-allow-origin"] == b"http://page.example"


class Pipe:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True


def test_what_is_written_in_one_turn_leaves_in_one_piece() -> None:
    async def scene() -> list[bytes]:
        pipe = Pipe()
        gathering = Gathering(pipe, asyncio.get_running_loop())
        gathering.write(b"head ")
        gathering.write(b"body")
        await asyncio.sleep(0)
        gathering.write(b"next")
        await asyncio.sleep(0)
        return pipe.writes

    assert asyncio.run(scene()) == [b"head body", b"next"]


@pytest.mark.parametrize("leave", ["close", "plain"])
def test_nothing_is_lost_when_a_connection_ends_or_changes_hands(leave: str) -> None:
    async def scene() -> list[bytes]:
        pipe = Pipe()
        gathering = Gathering(pipe, asyncio.get_running_loop())
        gathering.write(b"last words")
        getattr(gathering, leave)()
        await asyncio.sleep(0)
        return pipe.writes

    assert asyncio.run(scene()) == [b"last words"]


def test_many_requests_in_one_packet_are_answered_in_order(served: harness.Served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    requests = [
        (
            f"POST /v1/graphql HTTP/1.1\r\nhost: x\r\ncontent-length: {len(QUERY)}\r\n"
            f"x-hasura-admin-secret: {harness.SECRET}\r\nx-request-id: r{number}\r\n"
            f"connection: {'close' if number == 9 else 'keep-alive'}\r\n\r\n{QUERY}"
        ).encode()
        for number in range(10)
    ]
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.sendall(b"".join(requests))
        received = b""
        while part := connection.recv(65_536):
            received += part

    found = [
        line[len("x-request-id: ") :]
        for line in received.decode().split("\r\n")
        if line.startswith("x-request-id: ")
    ]
    assert found == [f"r{number}" for number in range(10)]


HEAD = b"POST /v1/graphql HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2"


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (HEAD + b"x: ", b"a" * 65_536),
        (HEAD, b"a: b\r\n" * 10_000),
        (b"POST /", b"a" * 65_536),
        (CHUNKED + b";", b"a" * 65_536),
        (CHUNKED + b"\r\n{}\r\n0\r\nx: ", b"a" * 65_536),
        (b"", b"\r\n" * 32_768),
    ],
    ids=["a header", "headers", "a path", "an extension", "a trailer", "empty lines"],
)
def test_a_head_that_does_not_end_is_cut(served: harness.Served, begun: bytes, more: bytes) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=60) as client,
        pytest.raises(ConnectionError),
    ):
        client.sendall(begun + more * 500)


def test_requests_that_follow_each_other_are_not_one_head(served: harness.Served) -> None:
    """More in number and in length than a head may be, pieces of one in the packet of another."""
    query = QUERY.ljust(100_000).encode()
    secret = SECRET["x-hasura-admin-secret"].encode()
    one = HEAD + b"x-hasura-admin-secret: %s\r\nContent-Length: %d\r\n\r\n" % (secret, len(query))
    host, port = served.url.removeprefix("http://").split(":")
    sent = (one + query) * 8
    with socket.create_connection((host, int(port)), timeout=60) as client:
        found = b""
        for at in range(0, len(sent), 70_001):
            client.sendall(sent[at : at + 70_001])
        while found.count(b'{"data":{"__typename":"query_root"}}') < 8:
            part = client.recv(65_536)
            assert part, found
            found += part
