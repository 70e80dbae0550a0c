"""Actions whose requests and answers are transformed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from engine.receiver import Answer, Receiver, receiving

from sandbox.engine.errors import EngineError
from sandbox.engine.execution.actions import Actions, HandlerCall
from sandbox.engine.schema.actions import ActionRoot
from sandbox.engine.schema.model import Ref, Scalar
from sandbox.engine.transforms import Transforms
from sandbox.engine.types import TEXT
from sandbox.engine.values import encode_json

SESSION = {"x-hasura-role": "user"}


def root(**definition: Any) -> ActionRoot:
    given = {"handler": "{{HANDLER}}/act", **definition}
    output = Ref(Scalar("json", TEXT, encode_json))
    return ActionRoot("act", given, output, Transforms.read(given))


async def ask(receiver: Receiver, action: ActionRoot) -> tuple[Any, list[str]]:
    actions = Actions({"HANDLER": receiver.url})
    try:
        return await actions.ask(HandlerCall(action, {"n": 5}, dict(SESSION), {}, "mutation { a }"))
    finally:
        await actions.close()


def act(answer: Answer, **definition: Any) -> tuple[Any, Receiver]:
    """Call an action's handler; return what the action answers and who was asked."""

    async def run() -> tuple[Any, Receiver]:
        async with receiving() as receiver:
            receiver.answer = lambda _: answer
            value, _ = await ask(receiver, root(**definition))
            return value, receiver

    return asyncio.run(run())


@pytest.mark.parametrize("text", ["mutation { a }", None])
def test_a_call_that_nobody_waits_for_is_a_trace_by_itself(text: str | None) -> None:
    async def run() -> dict[str, str]:
        client = {"x-b3-traceid": "4" * 32, "x-b3-spanid": "5" * 16}
        async with receiving() as receiver:
            receiver.answer = lambda _: Answer(text="1")
            actions = Actions({"HANDLER": receiver.url})
            await actions.ask(HandlerCall(root(), {}, dict(SESSION), client, text))
            await actions.close()
            return dict(receiver.requests[0].headers)

    assert (asyncio.run(run())["x-b3-traceid"] == "4" * 32) == (text is not None)


def test_an_action_sends_the_transformed_request_and_takes_the_transformed_answer() -> None:
    value, receiver = act(
        Answer(text='{"deep": {"value": 3}}'),
        headers=[{"name": "X-Secret", "value": "s"}],
        request_transform={
            "version": 2,
            "template_engine": "Kriti",
            "method": "PUT",
            "url": "{{$base_url}}/{{$body.input.n}}",
            "query_params": {"role": "{{$session_variables['x-hasura-role']}}"},
            "body": {
                "action": "x_www_form_urlencoded",
                "form_template": {"n": "{{$body.input.n}}"},
            },
            "request_headers": {
                "remove_headers": ["content-type", "user-agent"],
                "add_headers": {"content-type": "application/x-www-form-urlencoded"},
            },
        },
        response_transform={
            "version": 2,
            "body": {"action": "transform", "template": "{{$body.deep}}"},
        },
    )
    (request,) = receiver.requests
    names = [name.lower() for name, _ in request.pairs]

    assert value == {"value": 3}
    assert (request.method, request.path, request.text) == ("PUT", "/act/5?role=user", "n=5")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["x-secret"] == "s"
    assert len(request.headers["x-b3-traceid"]) == 32
    assert names.count("content-type") == 1
    assert "user-agent" not in names


def test_an_added_header_stands_beside_the_one_it_does_not_remove() -> None:
    transform = {"request_headers": {"add_headers": {"content-type": "text/plain"}}}
    _, receiver = act(Answer(), request_transform=transform)
    pairs = receiver.requests[0].pairs

    assert [value for name, value in pairs if name.lower() == "content-type"] == [
        "application/json",
        "text/plain",
    ]


def test_an_action_without_a_body_can_ask_with_get() -> None:
    transform = {"version": 2, "method": "GET", "body": {"action": "remove"}}
    value, receiver = act(Answer(text="[1]"), request_transform=transform)

    assert value == [1]
    assert (receiver.requests[0].method, receiver.requests[0].text) == ("GET", "")


def test_a_refusal_is_transformed_too() -> None:
    template = (
        '{"message": {{ $body.reason }}, "extensions": {"code": "no-{{ $response.status }}"}}'
    )
    with pytest.raises(EngineError) as caught:
        act(Answer(409, text='{"reason": "taken"}'), response_transform={"body": template})
    assert caught.value.as_graphql(internal=False) == {
        "message": "taken",
        "extensions": {"code": "no-409"},
    }


@pytest.mark.parametrize("which", ["Request", "Response"])
def test_a_transform_that_fails_is_told_to_the_admin_alone(which: str) -> None:
    with pytest.raises(EngineError) as caught:
        act(Answer(), **{f"{which.lower()}_transform": {"body": "{{ $body.gone }}"}})
    told = caught.value.as_graphql(internal=False)

    assert told == {
        "message": f"{which} Transformation Failed",
        "extensions": {"path": "$", "code": "unexpected"},
    }
    assert caught.value.internal == [
        {
            "error_code": "Attribute Error",
            "message": "'Object' has no attritubte 'gone'.",
            "source_position": {
                "start_line": 0,
                "start_column": 4,
                "end_line": 0,
                "end_column": 14,
            },
        }
    ]


def test_the_admin_sees_the_transformed_request() -> None:
    with pytest.raises(EngineError) as caught:
        act(
            Answer(500, text="{}"), request_transform={"method": "PUT", "body": "{{ $body.input }}"}
        )
    request = caught.value.internal["request"]

    assert request["body"]["input"] == {"n": 5}
    assert request["transformed_request"]["method"] == "PUT"
    assert request["transformed_request"]["body"] == '{"n":5}'
