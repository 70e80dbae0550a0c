"""Request and response transforms: what is sent, what is taken, and what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sandbox.engine.outgoing import Request
from sandbox.engine.transforms import (
    RequestTransform,
    ResponseTransform,
    TransformError,
)

BODY = {"id": 7, "name": "Ada Lovelace", "tags": ["a"]}
HEADERS = (("Content-Type", "application/json"), ("X-Old", "1"), ("X-Kept", "2"))
SESSION = {"x-hasura-role": "user"}


def apply(base: str = "http://host:81/path?a=1&b", /, **transform: Any) -> Request:
    request = Request("POST", base, HEADERS, json.dumps(BODY).encode())
    given = {"version": 2, "template_engine": "Kriti", **transform}
    return RequestTransform.read(given).apply(request, SESSION).request


def bundle(error: pytest.ExceptionInfo[TransformError]) -> list[Any]:
    return [[item["error_code"], item["message"]] for item in error.value.bundle]


def test_without_parts_a_request_stays_as_it_was() -> None:
    request = apply()

    assert request.method == "POST"
    assert request.url == "http://host:81/path?a=1&b"
    assert request.headers == HEADERS
    assert json.loads(request.body) == BODY


@pytest.mark.parametrize(
    ("given", "url", "expected"),
    [
        ("{{$base_url}}/more", "http://host/path", "http://host/path/more"),
        ("https://x.test/{{ $body.id }}", "http://host/", "https://x.test/7"),
        (
            "https://x.test/{{ escapeUri($body.name) }}",
            "http://host/",
            "https://x.test/Ada%20Lovelace",
        ),
        ("http://x.test:80", "http://host/", "http://x.test"),
        ("http://u:p@x.test:8080/a", "http://host/", "http://u:p@x.test:8080/a"),
        # The former query stays, whatever the new address says.
        ("http://x.test/a?new=1", "http://host/?old=2", "http://x.test/a?old=2"),
        ("urn:nowhere", "http://host/", "http://host/"),
    ],
)
def test_the_address_follows_its_template(given: str, url: str, expected: str) -> None:
    assert apply(url, url=given).url == expected


@pytest.mark.parametrize(
    ("given", "query"),
    [
        ({"id": "{{$body.id}}", "full name": "{{$body.name}}"}, "?id=7&full%20name=Ada%20Lovelace"),
        ({"flag": None, "{{ $body.tags[0] }}": "é"}, "?flag&a=%C3%A9"),
        ({"id": "{{$body?.gone}}", "{{ $body?.gone }}": "x", "b": "y"}, "?b=y"),
        ({}, ""),
        ("?x={{$body.id}}&flag&y=a+b%21", "?x=7&flag&y=a%20b%21"),
        ("a={{ $query_params[0][1] }}", "?a=1"),
    ],
)
def test_the_query_is_replaced_as_a_whole(given: Any, query: str) -> None:
    assert apply(query_params=given).url == f"http://host:81/path{query}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"action": "remove"}, ""),
        ({"action": "transform", "template": '{"n": {{ $body.name }}}'}, '{"n":"Ada Lovelace"}'),
        (
            {"action": "transform", "template": "{{ $session_variables }}"},
            '{"x-hasura-role":"user"}',
        ),
        (
            {"action": "transform", "template": '{{ getSessionVariable("X-Hasura-Role") }}'},
            '"user"',
        ),
        (
            {
                "action": "x_www_form_urlencoded",
                "form_template": {"a b": "{{$body.name}}&{{$body.id}}", "c[0]": "(x)"},
            },
            "a%20b=Ada%20Lovelace%267&c%5B0%5D=%28x%29",
        ),
    ],
)
def test_the_body_follows_its_action(body: Any, expected: str) -> None:
    assert apply(body=body).body.decode() == expected


def test_in_the_first_version_the_body_is_a_template() -> None:
    for version in ({}, {"version": 1}, {"version": None}):
        request = RequestTransform.read({"body": "{{ $body.id }}", **version})
        sent = Request("POST", "http://host", (), b'{"id": 5}')
        assert request.apply(sent, None).request.body == b"5"


def test_headers_are_removed_first_and_added_then() -> None:
    headers = {
        "remove_headers": ["x-old", "content-type"],
        "add_headers": {"Content-Type": "text/{{ $body.tags[0] }}", "x-kept": "{{ 3 }}"},
    }
    assert apply(request_headers=headers).headers == (
        ("X-Kept", "2"),
        ("Content-Type", "text/a"),
        ("x-kept", "3"),
    )


def test_a_header_cannot_bring_another_one() -> None:
    with pytest.raises(TransformError, match="several lines"):
        apply(request_headers={"add_headers": {"x": '{{ "a\\nX-Admin: 1" }}'}})


def test_all_templates_that_do_not_parse_are_listed() -> None:
    with pytest.raises(TransformError) as caught:
        apply(
            url="{{",
            body={"action": "transform", "template": "}"},
            query_params={"a": "{{ & }}"},
            request_headers={"add_headers": {"a": "{{ 1 1 }}", "b": "{{ }}"}},
        )
    assert [code for code, _ in bundle(caught)] == [
        "Parse Error",
        "Parse Error",
        "Lex Error",
        "Parse Error",
        "Parse Error",
    ]


@pytest.mark.parametrize(
    "given",
    [
        5,
        {"version": 3},
        {"template_engine": "Jinja"},
        {"method": 5},
        {"method": "GET /\r\nHost: other"},
        {"url": 5},
        {"version": 2, "body": {"action": "guess"}},
        {"version": 2, "body": {"action": "transform"}},
        {"version": 2, "body": {"action": "x_www_form_urlencoded"}},
        {"version": 2, "body": "{{ $body }}"},
        {"query_params": 5},
        {"query_params": {"a": 5}},
        {"request_headers": []},
        {"request_headers": {"add_headers": []}},
        {"request_headers": {"remove_headers": "x"}},
    ],
)
def test_a_transform_of_another_shape_is_refused(given: Any) -> None:
    with pytest.raises(TransformError):
        RequestTransform.read(given)


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (
            {"url": "no address"},
            [["TransformationError", "Invalid URL: no address"]],
        ),
        (
            {"query_params": {"a": "{{$body.gone}}", "b": "{{$gone}}"}},
            [["Attribute Error", "'Object' has no attritubte 'gone'."]],
        ),
        (
            {"request_headers": {"add_headers": {"a": "{{$gone}}", "b": "{{$body.gone}}"}}},
            [
                ["Name Error", "Variable '$gone' not in scope"],
                ["Attribute Error", "'Object' has no attritubte 'gone'."],
            ],
        ),
        (
            {"body": {"action": "transform", "template": '{{getSessionVariable("x-gone")}}'}},
            [["Function Error", 'Session variable "x-gone" not found']],
        ),
    ],
)
def test_a_template_that_fails_says_why(transform: Any, expected: list[Any]) -> None:
    with pytest.raises(TransformError) as caught:
        apply(**transform)
    assert bundle(caught)[: len(expected)] == expected


def test_a_body_that_is_nested_too_deeply_is_refused() -> None:
    text = "[" * 400 + "]" * 400
    request = Request("POST", "http://host", (), text.encode())
    transform = RequestTransform.read({"body": "[{{ $body }}, " * 50 + "1" + "]" * 50})
    with pytest.raises(TransformError) as caught:
        asyncio.run(_deep(lambda: transform.apply(request, None), 400))
    assert "deeply" in str(caught.value) or "work" in str(caught.value)


async def _deep(run: Any, frames: int) -> Any:
    return run() if frames == 0 else await _deep(run, frames - 1)


@pytest.mark.parametrize(
    ("definition", "content", "expected"),
    [
        ({"body": "{{ $body.a }}"}, b'{"a": 1.50}', "1.5"),
        (
            {"body": "[{{ $body }}, {{ $response.status }}, {{ $request }}]"},
            b"oops",
            "[null,201,null]",
        ),
        ({"version": 2, "body": {"action": "remove"}}, b"{}", "null"),
        (
            {
                "version": 2,
                "body": {"action": "x_www_form_urlencoded", "form_template": {"a": "b"}},
            },
            b"{}",
            '"a=b"',
        ),
        ({"version": 2}, b'{"b": 1, "a": 2}', '{"a":2,"b":1}'),
        ({}, b"no json", "null"),
    ],
)
def test_a_response_is_transformed(definition: Any, content: bytes, expected: str) -> None:
    assert ResponseTransform.read(definition).apply(content, 201, None, None) == expected


def test_a_response_template_knows_the_request() -> None:
    request = Request("POST", "http://host/a?b=c", (), b'{"id": 5}')
    transformed = RequestTransform.read({"url": "http://other/"}).apply(request, SESSION)
    template = (
        "[{{ $request.body.body.id }}, {{ $request.url.base_url }}, "
        "{{ $request.method.query_params }}, {{ $request.body.session_variables }}]"
    )
    response = ResponseTransform.read({"body": template})
    assert response.apply(b"{}", 200, transformed, SESSION) == (
        '[5,"http://host/a?b=c",[["b","c"]],{"x-hasura-role":"user"}]'
    )
