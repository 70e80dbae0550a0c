"""Who may use a WebSocket, for how long, and what closes it (contract 9 and 12)."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from engine import harness
from engine.waiting import eventually, until
from engine.wire import (
    ADMIN,
    CURRENT,
    LEGACY,
    Wire,
    dialled,
    initialised,
)
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sandbox.engine.auth import NAMESPACE
from sandbox.engine.session import Session
from sandbox.engine.settings import Sockets
from sandbox.engine.transport.graphql_transport_ws import Current
from sandbox.engine.transport.messages import Stop, read
from sandbox.engine.transport.operations import Operations
from sandbox.engine.transport.origins import allowed
from sandbox.engine.transport.websocket import Socket

KEY = "k" * 32
both = pytest.mark.parametrize("subprotocol", [CURRENT, LEGACY])


def bearer(user: str, expires_in: float = 3600) -> dict[str, str]:
    claims = {
        "x-hasura-default-role": "user",
        "x-hasura-allowed-roles": ["user"],
        "x-hasura-user-id": user,
    }
    payload = {NAMESPACE: claims, "exp": time.time() + expires_in}
    return {"Authorization": "Bearer " + jwt.encode(payload, KEY, algorithm="HS256")}


def answer(served: harness.Served, query: str, **options: Any) -> Any:
    async def scene() -> Any:
        async with initialised(served, **options) as client:
            await client.run("1", query)
            return await client.data()

    return asyncio.run(scene())


def test_the_token_may_come_with_connection_init(watched: harness.Served) -> None:
    found = answer(watched, "{ wallet { owner_id } }", headers=bearer("bob"))
    assert found == {"wallet": [{"owner_id": "bob"}]}


def test_headers_of_the_upgrade_count_and_those_of_connection_init_count_more(
    watched: harness.Served,
) -> None:
    upgrade = {**ADMIN, "X-Hasura-Role": "user", "X-Hasura-User-Id": "bob"}
    query = "{ wallet(limit: 1, order_by: {id: asc}) { owner_id } }"
    ours = answer(watched, query, headers={}, additional_headers=upgrade)
    other = answer(watched, query, headers={"X-HASURA-USER-ID": "ann"}, additional_headers=upgrade)
    assert ours == {"wallet": [{"owner_id": "bob"}]}
    assert other == {"wallet": [{"owner_id": "ann"}]}


REFUSED = [
    ({}, "Missing 'Authorization' or 'Cookie' header in JWT authentication mode"),
    (
        {"x-hasura-admin-secret": "wrong"},
        'invalid "x-hasura-admin-secret"/"x-hasura-access-key"',
    ),
    (bearer("ann", -60), "Could not verify JWT: JWTExpired"),
    ({"authorization": "nonsense"}, "Malformed Authorization header"),
    ({**bearer("ann"), "x-hasura-role": "admin"}, "Your requested role is not in allowed roles"),
]


@pytest.mark.parametrize(("headers", "message"), REFUSED, ids=[item[1] for item in REFUSED])
def test_whoever_is_not_admitted_is_closed(
    watched: harness.Served, headers: dict[str, str], message: str
) -> None:
    async def scene(subprotocol: str) -> Any:
        async with dialled(watched, subprotocol) as client:
            await client.say("connection_init", payload={"headers": headers})
            return await client.end()

    assert asyncio.run(scene(CURRENT)) == (4403, '{"server_error_msg":"4403: Forbidden"}', [])
    code, text, said = asyncio.run(scene(LEGACY))
    assert code == 4400
    assert text.startswith('{"server_error_msg":"4400: Connection initialization failed: ')
    assert said == [{"type": "connection_error", "payload": message}]


@both
def test_a_socket_ends_when_its_token_expires(
    watched: harness.Served, monkeypatch: pytest.MonkeyPatch, subprotocol: str
) -> None:
    """The hour until then is over when the test says so, not before its answer has come."""
    waits: list[float] = []
    is_over = threading.Event()
    later = Socket.later

    def wait(socket: Socket, seconds: float, call: Any, *arguments: Any) -> None:
        if call != socket.give_up:
            later(socket, seconds, call, *arguments)
        elif is_over.is_set():
            later(socket, 0, call)
        else:
            waits.append(seconds)
            later(socket, 0.01, wait, socket, seconds, call)

    monkeypatch.setattr(Socket, "later", wait)

    async def scene() -> Any:
        async with initialised(watched, subprotocol, headers=bearer("ann", 3600)) as client:
            await client.run("1", "subscription { wallet_aggregate { aggregate { count } } }")
            assert await client.data() == {"wallet_aggregate": {"aggregate": {"count": 2}}}
            is_over.set()
            return await client.end()

    code, _, said = asyncio.run(scene())
    assert (code, said) == (1006, [])
    assert len(set(waits)) == 1
    assert 3000 < waits[0] <= 3600


def test_only_headers_of_connection_init_are_for_actions(watched: harness.Served) -> None:
    seen = []

    async def scene() -> None:
        plain = watched.engine.planned

        def spy(request: Any, session: Any) -> Any:
            seen.append(session.headers)
            return plain(request, session)

        watched.engine.planned = spy  # type: ignore[method-assign]  # only to look at the session
        try:
            headers = {**ADMIN, "X-Mine": "yes"}
            async with initialised(
                watched, headers=headers, additional_headers={"x-other": "no"}
            ) as client:
                await client.run("1", "{ __typename }")
                assert await client.data() == {"__typename": "query_root"}
        finally:
            watched.engine.planned = plain  # type: ignore[method-assign]  # as it was

    asyncio.run(scene())
    assert seen == [{**ADMIN, "x-mine": "yes"}]


def refused_origin(served: harness.Served, origin: str) -> tuple[int, bytes] | None:
    """Return the status and the body of a refusal, None when the origin may connect."""

    async def scene() -> None:
        async with dialled(served, additional_headers={"Origin": origin}):
            pass

    try:
        asyncio.run(scene())
    except InvalidStatus as refusal:
        return refusal.response.status_code, refusal.response.body or b""
    return None


def test_a_foreign_origin_is_refused_when_origins_are_configured(
    shop_url: str, shop_directory: Path
) -> None:
    environ = {"HASURA_GRAPHQL_CORS_DOMAIN": "https://app.example, http://*.example.org:3000"}
    with harness.serve(shop_url, shop_directory, environ) as served:
        assert refused_origin(served, "https://app.example") is None
        assert refused_origin(served, "http://a.example.org:3000") is None
        refused = refused_origin(served, "https://other.example")
        assert refused is not None
        assert refused[0] == 400
        assert b"received origin header does not match configured CORS domains" in refused[1]


def test_any_origin_may_connect_by_default(watched: harness.Served) -> None:
    assert refused_origin(watched, "https://other.example") is None


@pytest.mark.parametrize(
    ("origin", "fits"),
    [
        ("https://a.example", True),
        ("https://a.b.example", False),
        ("http://a.example", False),
        ("https://.example", False),
        ("https://evil/.example", False),
    ],
)
def test_a_star_stands_for_one_label(origin: str, *, fits: bool) -> None:
    assert allowed(origin, ["https://*.example"]) is fits


@pytest.mark.parametrize(("reads", "code"), [("false", 4403), ("true", None)])
def test_without_cors_a_cookie_of_a_page_is_read_only_when_told_so(
    shop_url: str, shop_directory: Path, reads: str, code: int | None
) -> None:
    secret = {"type": "HS256", "key": KEY, "header": {"type": "Cookie", "name": "t"}}
    environ = {
        "HASURA_GRAPHQL_DISABLE_CORS": "true",
        "HASURA_GRAPHQL_WS_READ_COOKIE": reads,
        "HASURA_GRAPHQL_JWT_SECRET": json.dumps(secret),
    }
    token = bearer("ann")["Authorization"].removeprefix("Bearer ")

    async def scene(served: harness.Served) -> int | None:
        headers = {"Origin": "https://page.example", "Cookie": f"t={token}"}
        async with dialled(served, additional_headers=headers) as client:
            await client.say("connection_init")
            if code is None:
                return None if (await client.hear())["type"] == "connection_ack" else 0
            return (await client.end())[0]

    with harness.serve(shop_url, shop_directory, environ) as served:
        assert asyncio.run(scene(served)) == code


@both
@pytest.mark.parametrize("call", ["reload_metadata", "replace_metadata"])
def test_a_change_of_the_metadata_closes_all_sockets(
    shop_url: str, shop_directory: Path, subprotocol: str, call: str
) -> None:
    def ask(served: harness.Served, kind: str, args: Any) -> Any:
        body = {"type": kind, "version": 2 if kind == "replace_metadata" else 1, "args": args}
        return served.post("/v1/metadata", body).json()

    async def scene(served: harness.Served) -> Any:
        async with initialised(served, subprotocol) as client:
            await client.run("1", "subscription { owner { id } }")
            await client.data()
            args = {}
            if call == "replace_metadata":
                found = await asyncio.to_thread(ask, served, "export_metadata", {})
                args = {"allow_inconsistent_metadata": True, "metadata": found}
            assert "error" not in await asyncio.to_thread(ask, served, call, args)
            return await client.end()

    environ = {"HANDLER_URL": "http://127.0.0.1:9"}
    with harness.serve(shop_url, shop_directory, environ) as served:
        ended = asyncio.run(scene(served))
    assert ended == (1012, "Server state changed, restarting the server", [])


def test_run_sql_closes_no_socket(watched: harness.Served) -> None:
    async def scene() -> None:
        async with initialised(watched) as client:
            body = {"type": "run_sql", "args": {"sql": "select 1"}}
            await asyncio.to_thread(watched.post, "/v2/query", body)
            await client.run("1", "{ __typename }")
            await client.data()

    asyncio.run(scene())


def test_sockets_stay_when_told_so(shop_url: str, shop_directory: Path) -> None:
    environ = {"HASURA_GRAPHQL_CLOSE_WEBSOCKETS_ON_METADATA_CHANGE": "false"}

    async def scene(served: harness.Served) -> None:
        async with initialised(served) as client:
            body = {"type": "reload_metadata", "args": {}}
            await asyncio.to_thread(served.post, "/v1/metadata", body)
            await client.run("1", "{ __typename }")
            await client.data()

    with harness.serve(shop_url, shop_directory, environ) as served:
        asyncio.run(scene(served))


def sockets_left() -> int:
    gc.collect()
    return sum(isinstance(item, Socket) for item in gc.get_objects())


async def may_ask(served: harness.Served) -> bool:
    try:
        async with initialised(served) as client:
            await client.run("1", "{ __typename }")
            return await client.data() == {"__typename": "query_root"}
    except InvalidStatus:
        return False


def test_sockets_are_bounded_in_number(shop_url: str, shop_directory: Path) -> None:
    environ = {
        "HANDLER_URL": "http://127.0.0.1:1",
        "HASURA_GRAPHQL_WEBSOCKET_CONNECTIONS_LIMIT": "2",
    }

    async def scene(served: harness.Served) -> None:
        async with initialised(served) as first, initialised(served, LEGACY):
            with pytest.raises(InvalidStatus) as refused:
                await dialled(served).__aenter__()
            assert refused.value.response.status_code == 503
            assert b"too many websockets are open" in (refused.value.response.body or b"")
            await first.connection.close()
            await until(lambda: may_ask(served))

    with harness.serve(shop_url, shop_directory, environ) as served:
        asyncio.run(scene(served))


@both
def test_a_client_that_vanishes_leaves_nothing_behind(
    watched: harness.Served, subprotocol: str
) -> None:
    async def scene() -> None:
        async with initialised(watched, subprotocol) as client:
            await client.run("1", "subscription { owner { id } }")
            await client.run("2", STREAM)
            await client.data()
            await client.data()
            client.connection.transport.abort()

    asyncio.run(scene())
    found = watched.engine.subscriptions
    eventually(lambda: not (found.tasks or found.keys or found.pollers or sockets_left()))


STREAM = "subscription { entry_stream(batch_size: 1, cursor: {initial_value: {id: 0}}) { id } }"


def test_a_client_that_does_not_read_is_given_up(shop_url: str, shop_directory: Path) -> None:
    environ = {"HASURA_GRAPHQL_WEBSOCKET_WAITING_FRAMES_LIMIT": "20"}

    async def scene(served: harness.Served) -> None:
        async with initialised(served, max_queue=1, compression=None) as client:
            await client.run("live", "subscription { owner { id } }")
            await client.data()
            assert served.engine.subscriptions.keys
            await flood(client, served)

    with harness.serve(shop_url, shop_directory, environ) as served:
        asyncio.run(scene(served))


async def flood(client: Wire, served: harness.Served) -> None:
    """Ask for answers that fill every buffer on the way, and read none, until we are given up."""

    async def ask() -> None:
        echo = {"message": "p" * 500_000}
        with suppress(ConnectionClosed):  # as it should
            for _ in range(200):
                await client.say("ping", payload=echo)

    asking = asyncio.create_task(ask())
    await asyncio.to_thread(eventually, lambda: not served.engine.subscriptions.keys)
    client.connection.transport.abort()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


def test_a_client_that_leaves_large_answers_unread_is_given_up(
    shop_url: str, shop_directory: Path
) -> None:
    environ = {"HASURA_GRAPHQL_WEBSOCKET_WAITING_BYTES_LIMIT": "5000000"}

    async def scene(served: harness.Served) -> None:
        async with initialised(served, max_queue=1, compression=None) as client:
            await client.run("live", "subscription { owner { id } }")
            await client.data()
            await flood(client, served)

    with harness.serve(shop_url, shop_directory, environ) as served:
        asyncio.run(scene(served))


def test_one_answer_may_be_larger_than_what_may_wait() -> None:
    async def scene() -> list[int]:
        sent: list[int] = []

        async def send(message: Any) -> None:
            sent.append(len(message["text"]))

        sockets = Sockets(most_waiting_bytes=10)
        socket = Socket(SimpleNamespace(settings=SimpleNamespace(sockets=sockets)), send)  # type: ignore[arg-type]  # all that it looks at
        writing = asyncio.create_task(socket._write())  # noqa: SLF001 -- without a connection
        for text in ("x" * 50, "y" * 5):
            socket.send(text)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        return sent

    assert asyncio.run(scene()) == [50, 5]


class Link:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))

    def close(self, code: int, reason: str) -> None:
        raise AssertionError((code, reason))


def waiting(served: harness.Served) -> tuple[Operations, Link]:
    """Return operations of an admin that nobody works on."""
    link = Link()
    operations = Operations(served.engine, Current(link, plain=False), {})
    operations.session = Session("admin", {"x-hasura-role": "admin"})
    return operations, link


def start(identifier: str, length: int = 0) -> Any:
    payload = {"query": "{ owner { id } }" + " " * length}
    return read(json.dumps({"type": "subscribe", "id": identifier, "payload": payload}))


def test_what_is_stopped_before_its_turn_is_not_kept(served: harness.Served) -> None:
    async def scene() -> None:
        operations, link = waiting(served)
        for number in range(500):
            await operations.take(start(f"o{number}", 10_000))
            await operations.take(Stop(f"o{number}"))
        assert not operations.running
        assert not operations._waiting  # noqa: SLF001 -- what must not grow
        assert link.sent == []

    served.run(scene())


def test_operations_are_bounded_by_their_size_together(served: harness.Served) -> None:
    async def scene() -> list[dict[str, Any]]:
        operations, link = waiting(served)
        for number in range(5):
            await operations.take(start(f"o{number}", 1_000_000))
        await operations.take(Stop("o0"))
        await operations.take(start("last", 1_000_000))
        assert list(operations.running) == ["o1", "o2", "o3", "last"]
        return link.sent

    refused, completed = served.run(scene())
    assert (refused["id"], refused["type"], completed["type"]) == ("o4", "error", "complete")
    assert refused["payload"][0]["extensions"]["code"] == "start-failed"


@pytest.mark.parametrize("payload", ["[" * 900 + "1.5" + "]" * 900, "1e9999999999999999999"])
def test_a_ping_that_cannot_be_answered_is_malformed(watched: harness.Served, payload: str) -> None:
    async def scene() -> tuple[int, str, Any]:
        async with initialised(watched) as client:
            await client.connection.send(f'{{"type": "ping", "payload": {payload}}}')
            return await client.end()

    code, reason, _ = asyncio.run(scene())
    assert code == 4400
    assert "Parsing client message failed" in reason


def test_half_a_surrogate_pair_in_a_header_is_malformed(watched: harness.Served) -> None:
    async def scene() -> tuple[int, str, Any]:
        async with dialled(watched) as client:
            headers = {"x-hasura-admin-secret": "\ud800"}
            await client.say("connection_init", payload={"headers": headers})
            return await client.end()

    assert asyncio.run(scene())[0] == 4400


def test_half_a_surrogate_pair_in_a_claim_is_the_database_s_to_refuse(
    watched: harness.Served,
) -> None:
    async def scene() -> Any:
        async with initialised(watched, headers=bearer("bob\ud800")) as client:
            await client.run("1", "subscription { wallet { id } }")
            return await client.hear()

    (error,) = asyncio.run(scene())["payload"]
    assert error["message"] == 'invalid byte sequence for encoding "UTF8"'
    assert error["extensions"] == {"path": "$", "code": "data-exception"}


def test_logging_in_again_and_again_leaves_nothing_behind(
    watched: harness.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets: list[Socket] = []
    serve = Socket.serve

    async def seen(self: Socket, *arguments: Any) -> None:
        sockets.append(self)
        await serve(self, *arguments)

    monkeypatch.setattr(Socket, "serve", seen)

    async def scene() -> int:
        async with initialised(watched, LEGACY, headers=bearer("bob")) as client:
            for _ in range(50):
                await client.say("connection_init", payload={"headers": bearer("bob")})
                assert await client.hear() == {"type": "connection_ack"}
            return len(sockets[0]._timers)  # noqa: SLF001 -- what must not grow

    assert asyncio.run(scene()) <= 4
