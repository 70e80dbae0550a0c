"""Both protocols of WebSockets, message by message (contract 12)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest
from engine import harness, wire
from engine.wire import ADMIN, CURRENT, LEGACY, Wire, dialled, initialised
from websockets.exceptions import InvalidStatus

QUERY = '{ owner_by_pk(id: "ann") { name } }'
ANN = {"owner_by_pk": {"name": "Ann"}}
Scene = Callable[[Wire], Coroutine[Any, Any, Any]]
both = pytest.mark.parametrize("subprotocol", [CURRENT, LEGACY])


def play(served: harness.Served, scene: Scene, subprotocol: str | None = CURRENT) -> Any:
    async def whole() -> Any:
        async with initialised(served, subprotocol) as client:
            return await scene(client)

    return asyncio.run(whole())


def first_words(served: harness.Served, scene: Scene, subprotocol: str | None = CURRENT) -> Any:
    """Play a scene with a client that has not sent connection_init."""

    async def whole() -> Any:
        async with dialled(served, subprotocol) as client:
            return await scene(client)

    return asyncio.run(whole())


def test_the_current_protocol_acknowledges_and_then_pings(watched: harness.Served) -> None:
    async def scene(client: Wire) -> None:
        await client.say("connection_init", payload={"headers": ADMIN})
        assert json.loads(await client.connection.recv()) == {"type": "connection_ack"}
        ping = {"type": "ping", "payload": {"message": "keepalive"}}
        for _ in range(2):
            assert json.loads(await client.connection.recv()) == ping

    first_words(watched, scene)


def test_the_legacy_protocol_acknowledges_and_then_keeps_alive(watched: harness.Served) -> None:
    async def scene(client: Wire) -> None:
        await client.say("connection_init", payload={"headers": ADMIN})
        assert json.loads(await client.connection.recv()) == {"type": "connection_ack"}
        for _ in range(2):
            assert json.loads(await client.connection.recv()) == {"type": "ka"}

    first_words(watched, scene, LEGACY)


@pytest.mark.parametrize(
    ("asked", "chosen"), [(CURRENT, CURRENT), (LEGACY, LEGACY), (None, None)], ids=str
)
def test_the_subprotocol_is_the_one_that_was_asked_for(
    watched: harness.Served, asked: str | None, chosen: str | None
) -> None:
    async def scene(client: Wire) -> None:
        assert client.subprotocol == chosen
        await client.run("1", QUERY)
        kind = "next" if chosen == CURRENT else "data"
        assert await client.hear() == {"type": kind, "id": "1", "payload": {"data": ANN}}
        assert await client.hear() == {"type": "complete", "id": "1"}

    play(watched, scene, asked)


def test_a_mutation_runs_over_a_socket(
    watched: harness.Served, shop: psycopg.Connection[Any]
) -> None:
    async def scene(client: Wire) -> None:
        query = 'mutation ($n: String!) { update_owner_by_pk(pk_columns: {id: "bob"}, '
        await client.run("1", query + "_set: {name: $n}) { name } }", n="Rob")
        assert await client.data() == {"update_owner_by_pk": {"name": "Rob"}}
        assert (await client.hear())["type"] == "complete"

    play(watched, scene)
    assert shop.execute("select name from owner where id = 'bob'").fetchall() == [("Rob",)]


@both
def test_operations_run_in_the_order_they_were_sent(
    watched: harness.Served, shop: psycopg.Connection[Any], subprotocol: str
) -> None:
    async def scene(client: Wire) -> None:
        for at in range(5):
            change = f'update_owner(where: {{id: {{_eq: "cid"}}}}, _set: {{age: {at}}})'
            await client.run("m", f"mutation {{ {change} {{ returning {{ age }} }} }}")
            await client.run("q", '{ owner_by_pk(id: "cid") { age } }')
            heard = [await client.hear() for _ in range(4)]
            assert [item["type"] == "complete" for item in heard] == [False, True, False, True]
            assert heard[2]["payload"]["data"] == {"owner_by_pk": {"age": at}}

    play(watched, scene, subprotocol)


WRONG = "{ owner { wrong } }"
PLACE = "$.selectionSet.owner.selectionSet.wrong"
ERROR = {
    "message": "field 'wrong' not found in type: 'owner'",
    "extensions": {"path": PLACE, "code": "validation-failed"},
}


@pytest.mark.parametrize(
    ("subprotocol", "payload"), [(CURRENT, [ERROR]), (LEGACY, {"errors": [ERROR]})]
)
@pytest.mark.parametrize("kind", ["query", "subscription"])
def test_an_operation_that_is_not_valid_is_an_error_and_complete(
    watched: harness.Served, subprotocol: str, payload: Any, kind: str
) -> None:
    async def scene(client: Wire) -> None:
        await client.run("1", f"{kind} {WRONG}")
        assert await client.hear() == {"type": "error", "id": "1", "payload": payload}
        assert await client.hear() == {"type": "complete", "id": "1"}
        await client.run("1", QUERY)  # the id is free again
        assert await client.data() == ANN

    play(watched, scene, subprotocol)


@pytest.mark.parametrize(
    ("subprotocol", "kind"), [(CURRENT, "error"), (LEGACY, "data")], ids=[CURRENT, LEGACY]
)
def test_a_failure_of_the_database_is_told_without_its_internals(
    watched: harness.Served, subprotocol: str, kind: str
) -> None:
    async def scene(client: Wire) -> None:
        await client.run(
            "1", 'mutation { fail_with(args: {p_state: "P0001", p_text: "x"}) { id } }'
        )
        error = {
            "message": "database query error",
            "extensions": {"path": "$", "code": "unexpected"},
        }
        payload = [error] if kind == "error" else {"errors": [error]}
        assert await client.hear() == {"type": kind, "id": "1", "payload": payload}
        assert await client.hear() == {"type": "complete", "id": "1"}

    play(watched, scene, subprotocol)


def test_the_alpha_path_tells_plain_errors(watched: harness.Served) -> None:
    async def scene() -> None:
        async with initialised(watched, LEGACY, path="/v1alpha1/graphql") as client:
            await client.run("1", WRONG)
            error = {"path": PLACE, "error": ERROR["message"], "code": "validation-failed"}
            assert (await client.hear())["payload"] == error

    asyncio.run(scene())


def test_a_ping_is_answered_with_its_payload(watched: harness.Served) -> None:
    async def scene(client: Wire) -> None:
        await client.say("ping")
        assert await client.hear() == {"type": "pong"}
        await client.say("ping", payload={"message": "there?"})
        assert await client.hear() == {"type": "pong", "payload": {"message": "there?"}}
        await client.say("pong")
        await client.nothing(0.2)

    play(watched, scene)


def reason(code: int, text: str) -> str:
    return json.dumps({"server_error_msg": f"{code}: {text}"}, separators=(",", ":"))


def test_a_client_that_does_not_initialise_is_closed_with_4408(hasty: harness.Served) -> None:
    code, text, said = first_words(hasty, Wire.end)
    assert (code, said) == (4408, [])
    assert text == reason(4408, "Connection initialisation timeout")


def test_a_legacy_client_may_take_its_time(hasty: harness.Served) -> None:
    async def scene(client: Wire) -> None:
        await client.nothing(1.5)
        await client.say("connection_init", payload={"headers": ADMIN})
        assert await client.hear() == {"type": "connection_ack"}

    first_words(hasty, scene, LEGACY)


def test_an_operation_before_connection_init_is_closed_with_4401(watched: harness.Served) -> None:
    async def scene(client: Wire) -> Any:
        await client.run("1", QUERY)
        return await client.end()

    assert first_words(watched, scene) == (4401, reason(4401, "Unauthorized"), [])


def test_an_id_in_use_is_closed_with_4409(watched: harness.Served) -> None:
    async def scene(client: Wire) -> Any:
        await client.run("one", "subscription { owner { id } }")
        await client.data()
        await client.run("one", "subscription { owner { id } }")
        return await client.end()

    text = reason(4409, 'Subscriber for "one" already exists')
    assert play(watched, scene) == (4409, text, [])


def test_a_second_connection_init_is_closed_with_4429(watched: harness.Served) -> None:
    async def scene(client: Wire) -> Any:
        await client.say("connection_init", payload={"headers": ADMIN})
        return await client.end()

    assert play(watched, scene) == (4429, reason(4429, "Too many requests"), [])


def test_a_legacy_client_may_become_somebody_else(watched: harness.Served) -> None:
    async def scene(client: Wire) -> None:
        await client.say("connection_init", payload={"headers": wire.role("anonymous")})
        assert await client.hear() == {"type": "connection_ack"}
        await client.run("1", "{ owner { id } }")
        heard = await client.hear()
        assert "'id' not found" in heard["payload"]["errors"][0]["message"]

    play(watched, scene, LEGACY)


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        ("nonsense", "$: "),
        ("[]", "$: parsing ClientMessage failed, expected Object, but encountered Array"),
        ("{}", '$: key "type" not found'),
        ('{"type":"shout"}', "$: unexpected type for ClientMessage: shout"),
        ('{"type":["start"]}', "$: unexpected type for ClientMessage: "),
        ('{"type":"start"}', "StartMsg"),
        ('{"type":"start","id":7,"payload":{}}', "$.id: parsing Text failed"),
        ('{"type":"start","id":"1"}', "StartMsg"),
        ('{"type":"start","id":"1","payload":{"query":7}}', "$.payload.query: parsing Text failed"),
        ('{"type":"stop"}', "StopMsg"),
        ('{"type":"connection_init","payload":7}', "$.payload: "),
        ('{"type":"connection_init","payload":{"headers":{"a":1}}}', "$.payload.headers['a']: "),
    ],
    ids=str,
)
def test_a_message_that_cannot_be_read_is_told_and_ends_the_current_protocol_only(
    watched: harness.Served, sent: str, fault: str
) -> None:
    async def current(client: Wire) -> Any:
        await client.connection.send(sent)
        return await client.end()

    async def legacy(client: Wire) -> Any:
        await client.connection.send(sent)
        told = await client.hear()
        await client.run("1", QUERY)
        assert await client.data() == ANN
        return told

    code, text, said = play(watched, current)
    assert (code, said) == (4400, [])
    assert text.startswith('{"server_error_msg":"4400: Parsing client message failed: ')
    assert len(text.encode()) <= 123
    told = play(watched, legacy, LEGACY)
    assert told["type"] == "connection_error"
    assert told["payload"].startswith("parsing ClientMessage failed: Error in ")
    assert fault in told["payload"]


def test_a_legacy_operation_before_connection_init_fails_to_start(watched: harness.Served) -> None:
    async def scene(client: Wire) -> None:
        await client.run("1", QUERY)
        error = {
            "message": "start received before the connection is initialised",
            "extensions": {"path": "$", "code": "start-failed"},
        }
        assert await client.hear() == {"type": "error", "id": "1", "payload": error}
        assert await client.hear() == {"type": "complete", "id": "1"}

    first_words(watched, scene, LEGACY)


def test_a_legacy_id_in_use_fails_to_start(watched: harness.Served) -> None:
    async def scene(client: Wire) -> None:
        for _ in range(2):
            await client.run("one", "subscription { owner_aggregate { aggregate { count } } }")
        told = [await client.hear() for _ in range(3)]
        (error,) = (item["payload"] for item in told if item["type"] == "error")
        assert error["message"] == "an operation already exists with this id: one"
        assert error["extensions"]["code"] == "start-failed"

    play(watched, scene, LEGACY)


def test_connection_terminate_closes_normally(watched: harness.Served) -> None:
    async def scene(client: Wire) -> Any:
        await client.say("connection_terminate")
        return await client.end()

    assert play(watched, scene, LEGACY) == (1000, "GQL_CONNECTION_TERMINATE received", [])


def test_a_message_may_be_binary_and_may_not_be_too_large(watched: harness.Served) -> None:
    async def scene(client: Wire) -> Any:
        message = {"type": "subscribe", "id": "1", "payload": {"query": QUERY}}
        await client.connection.send(json.dumps(message).encode())
        assert await client.data() == ANN
        await client.hear()
        await client.connection.send(" " * (watched.engine.settings.body_limit + 1))
        return (await client.end())[0]

    assert play(watched, scene) == 1009


@both
def test_a_socket_has_a_limit_of_operations(watched: harness.Served, subprotocol: str) -> None:
    async def scene(client: Wire) -> None:
        for at in range(5):
            await client.run(str(at), "subscription { owner { id } }")
            await client.data()
        await client.run("more", QUERY)
        refused = await client.hear()
        assert (refused["type"], refused["id"]) == ("error", "more")
        assert "too many operations" in json.dumps(refused["payload"])
        assert (await client.hear())["type"] == "complete"
        await client.say("complete" if subprotocol == CURRENT else "stop", id="0")
        await client.run("more", QUERY)
        assert await client.data() == ANN

    play(watched, scene, subprotocol)


def test_other_paths_have_no_websocket(watched: harness.Served) -> None:
    async def scene() -> None:
        async with dialled(watched, path="/v1/other"):
            pass

    with pytest.raises(InvalidStatus) as refusal:
        asyncio.run(scene())
    assert refusal.value.response.status_code == 404
    assert b"are supported on websockets" in (refusal.value.response.body or b"")
