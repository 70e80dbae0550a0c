"""Transforms in the metadata API: tried out, and listed where they do not parse."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from engine import harness


@pytest.fixture
def broken(
    shop_url: str, shop_metadata: dict[str, Any], tmp_path: Path, handler: harness.Handler
) -> Any:
    """Serve the shop with one action whose transform does not parse."""
    document = copy.deepcopy(shop_metadata)
    definition = document["actions"][0]["definition"]
    definition["request_transform"] = {"version": 1, "body": "{{ $body"}
    directory = harness.write_metadata(document, tmp_path / "metadata")
    with harness.serve(shop_url, directory, {"HANDLER_URL": handler.url}) as served:
        yield served, document["actions"][0]["name"]


def test_an_action_whose_template_does_not_parse_is_listed_and_not_served(broken: Any) -> None:
    served, name = broken
    call = {"type": "get_inconsistent_metadata", "args": {}}
    listed = served.post("/v1/metadata", call).json()["inconsistent_objects"]
    (item,) = [item for item in listed if item["name"] == f"action {name}"]

    assert item["reason"].startswith("request transform validation failed: ")
    roots = served.graphql("{ __schema { mutationType { fields { name } } } }")["data"]["__schema"]
    assert name not in [field["name"] for field in roots["mutationType"]["fields"]]


def try_out(served: harness.Served, **args: Any) -> harness.httpx.Response:
    given = {"webhook_url": "http://localhost:1234", "body": {"hello": "world"}, **args}
    return served.post("/v1/metadata", {"type": "test_webhook_transform", "args": given})


def test_a_transform_can_be_tried_out(served: harness.Served) -> None:
    transform = {
        "version": 2,
        "url": "http://www.example.test",
        "method": "POST",
        "query_params": {"foo": "bar"},
        "request_headers": {"add_headers": {"Foo": "{{ $body.hello }}"}},
        "body": {"action": "transform", "template": '"hello_{{ $body.hello }}"'},
    }
    answer = try_out(
        served,
        env={"HOOK": "http://localhost:1", "KEY": "k"},
        webhook_url={"from_env": "HOOK"},
        request_headers=[["X-Key", "{{KEY}}"]],
        request_transform=transform,
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "webhook_url": "http://www.example.test?foo=bar",
        "method": "POST",
        "headers": [["x-key", "k"], ["foo", "world"]],
        "body": "hello_world",
    }


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"action": "remove"}, ""),
        (
            {
                "action": "x_www_form_urlencoded",
                "form_template": {"a": "1", "b": "{{$body.hello}}"},
            },
            "a=1&b=world",
        ),
        ({"action": "transform", "template": "null"}, None),
        (
            {"action": "transform", "template": '{{ getSessionVariable("myVariable") }}'},
            "some value",
        ),
    ],
)
def test_the_body_that_is_tried_out_is_shown(
    served: harness.Served, body: dict[str, Any], shown: Any
) -> None:
    answer = try_out(
        served,
        request_transform={"version": 2, "body": body},
        session_variables={"myVariable": "some value"},
    ).json()
    assert (answer["webhook_url"], answer["method"]) == ("http://localhost:1234/", "GET")
    assert answer["body"] == shown


@pytest.mark.parametrize(
    ("template", "code", "message", "columns"),
    [
        ("$body.hello }}", "Parse Error", "Unexpected token '}'.", [14, 15]),
        ("{{ $body.world }}", "Attribute Error", "'Object' has no attritubte 'world'.", [4, 15]),
        (
            '{{ getSessionVariable("x") }}',
            "Function Error",
            'Session variable "x" not found',
            [23, 26],
        ),
    ],
)
def test_a_transform_that_is_tried_out_in_vain_says_why(
    served: harness.Served, template: str, code: str, message: str, columns: list[int]
) -> None:
    answer = try_out(served, request_transform={"body": template})
    position = {"start_line": 0, "end_line": 0}
    position |= {"start_column": columns[0], "end_column": columns[1]}

    assert answer.status_code == 400
    assert answer.json() == {
        "path": "$",
        "error": "request transform validation failed",
        "code": "validation-failed",
        "internal": [{"error_code": code, "message": message, "source_position": position}],
    }


@pytest.mark.parametrize(
    ("args", "code", "error"),
    [
        ({"webhook_url": {"from_env": "HANDLER_URL"}}, "not-found", "Missing Env Var"),
        ({"webhook_url": "{{HANDLER_URL}}"}, "not-found", "Missing Env Var: HANDLER_URL. "),
        ({"webhook_url": 5}, "parse-failed", "webhook_url"),
        ({"webhook_url": "nowhere"}, "validation-failed", "request transform validation failed"),
        ({"env": {"a": 1}}, "parse-failed", "env"),
        ({"request_headers": [["a"]]}, "parse-failed", "request_headers"),
        ({"session_variables": {"a": 1}}, "parse-failed", "session_variables"),
        ({"request_transform": 5}, "validation-failed", "request transform validation failed"),
    ],
)
def test_what_cannot_be_tried_out_is_refused(
    served: harness.Served, args: dict[str, Any], code: str, error: str
) -> None:
    answer = try_out(served, **({"request_transform": {}} | args))

    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert answer.json()["error"].startswith(error)


def test_a_transform_to_try_out_has_to_be_given(served: harness.Served) -> None:
    answer = try_out(served).json()
    assert (answer["code"], answer["error"]) == (
        "parse-failed",
        'key "request_transform" not found',
    )
