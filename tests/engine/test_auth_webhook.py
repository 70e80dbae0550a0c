"""The auth hook: what it is told, and what each of its answers means."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import harness
from engine.authority import Authority, authority

from sandbox.engine import settings
from sandbox.engine.auth import Authenticator, webhook
from sandbox.engine.errors import EngineError
from sandbox.engine.session import Session

USER = {"X-Hasura-Role": "user", "X-Hasura-User-Id": "7", "Unrelated": "x"}
BODY = {"query": "query A { a }", "operationName": "A", "variables": {"v": 1}}


@pytest.fixture
def hook() -> Iterator[Authority]:
    with authority() as running:
        running.say(USER)
        yield running


def authenticator(url: str, **environ: str) -> Authenticator:
    given = {
        "HASURA_GRAPHQL_ADMIN_SECRET": harness.SECRET,
        "HASURA_GRAPHQL_AUTH_HOOK": url,
        **environ,
    }
    return Authenticator(settings.read(given, {"database_url": "x", "metadata": "y"}))


def decide(found: Authenticator, headers: dict[str, str], body: bytes | None = None) -> Session:
    async def run() -> Session:
        try:
            return await found.session(headers, body)
        finally:
            await found.close()

    return asyncio.run(run())


def refusal(found: Authenticator) -> tuple[str, str, int]:
    with pytest.raises(EngineError) as failure:
        decide(found, {})
    assert failure.value.path == "$"
    return failure.value.code, failure.value.message, failure.value.status


def test_the_hook_says_who_asks(hook: Authority) -> None:
    session = decide(authenticator(hook.url), {"cookie": "a=b", "x-hasura-role": "admin"})

    assert (session.role, session.expires_at, session.backend) == ("user", None, False)
    assert session.variables == {"x-hasura-role": "user", "x-hasura-user-id": "7"}


@pytest.mark.parametrize("mode", ["GET", "POST"])
def test_a_cookie_that_the_hook_sets_for_one_client_is_not_sent_for_the_next(
    hook: Authority, mode: str
) -> None:
    hook.say(USER, headers={"Set-Cookie": "session=ann; Path=/"})
    found = authenticator(hook.url, HASURA_GRAPHQL_AUTH_HOOK_MODE=mode)

    async def two_clients() -> None:
        try:
            await found.session({"cookie": "session=ann"}, b"")
            await found.session({}, b"")
        finally:
            await found.close()

    asyncio.run(two_clients())
    assert "cookie" not in hook.asked[1].headers
    assert "cookie" not in (hook.asked[1].body or {}).get("headers", {})


def test_headers_that_are_not_ascii_reach_the_hook_as_they_came(hook: Authority) -> None:
    decide(authenticator(hook.url), {"x-hasura-name": "Łódź", "x-plain": "café", "x-odd": "Ł"})

    asked = hook.asked[0].headers
    assert asked["x-hasura-name"].encode("latin-1").decode() == "Łódź"
    assert (asked["x-plain"], asked["x-odd"].encode("latin-1").decode()) == ("café", "Ł")


def test_a_request_that_cannot_be_told_to_the_hook_is_refused(hook: Authority) -> None:
    found = authenticator(hook.url, HASURA_GRAPHQL_AUTH_HOOK_MODE="POST")
    deep = b"[" * 900 + b"1.5" + b"]" * 900
    with pytest.raises(EngineError, match="nested too deeply"):
        decide(found, {}, b'{"query": "{a}", "variables": {"x": ' + deep + b"}}")


def test_a_hook_asked_with_get_gets_the_headers_of_the_client(hook: Authority) -> None:
    headers = {
        "cookie": "a=b",
        "x-hasura-role": "r",
        "user-agent": "mine",
        "host": "me",
        "dnt": "1",
    }
    decide(authenticator(hook.url), headers)

    asked = hook.asked[0]
    assert (asked.method, asked.body) == ("GET", None)
    assert (asked.headers["cookie"], asked.headers["x-hasura-role"]) == ("a=b", "r")
    assert asked.headers["user-agent"].startswith("hasura-graphql-engine/")
    assert asked.headers["host"] != "me"
    assert "dnt" not in asked.headers


def test_a_hook_asked_with_post_gets_headers_and_request(hook: Authority) -> None:
    found = authenticator(hook.url, HASURA_GRAPHQL_AUTH_HOOK_MODE="POST")
    decide(found, {"authorization": "x", "host": "me"}, json.dumps(BODY).encode())

    asked = hook.asked[0]
    assert asked.method == "POST"
    assert asked.headers["content-type"] == "application/json"
    assert "authorization" not in asked.headers
    assert asked.body == {"headers": {"authorization": "x", "host": "me"}, "request": BODY}


@pytest.mark.parametrize(
    ("body", "request_told"),
    [
        (
            json.dumps([BODY, {"query": "{ b }"}]),
            [BODY, {"query": "{ b }", "operationName": None, "variables": None}],
        ),
        ("not JSON", None),
        ('{"query": 1}', None),
    ],
)
def test_the_request_is_told_as_far_as_it_is_one(
    hook: Authority, body: str, request_told: Any
) -> None:
    found = authenticator(hook.url, HASURA_GRAPHQL_AUTH_HOOK_MODE="POST")
    decide(found, {}, body.encode())
    assert hook.asked[0].body["request"] == request_told


def test_the_request_may_be_kept_from_the_hook(hook: Authority) -> None:
    environ = {
        "HASURA_GRAPHQL_AUTH_HOOK_MODE": "post",
        "HASURA_GRAPHQL_AUTH_HOOK_SEND_REQUEST_BODY": "false",
    }
    decide(authenticator(hook.url, **environ), {}, json.dumps(BODY).encode())
    assert hook.asked[0].body == {"headers": {}}


def test_the_admin_secret_comes_before_the_hook(hook: Authority) -> None:
    headers = {"x-hasura-admin-secret": harness.SECRET}
    assert decide(authenticator(hook.url), headers).role == "admin"
    assert hook.asked == []


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({"Cache-Control": "max-age=60"}, 60),
        ({"cache-control": "no-cache, max-age=60"}, 60),
        ({"Cache-Control": "public", "Expires": "Thu, 01 Jan 1970 00:03:20 GMT"}, None),
    ],
)
def test_the_hook_bounds_a_session(
    hook: Authority, more: dict[str, str], seconds: int | None
) -> None:
    hook.say(USER | more)
    before = time.time()
    ends = decide(authenticator(hook.url), {}).expires_at
    assert ends is not None
    assert ends == 200 if seconds is None else before <= ends - seconds <= time.time()


def test_a_hook_that_says_no_is_a_denial(hook: Authority) -> None:
    hook.say(USER, 401)
    assert refusal(authenticator(hook.url)) == (
        "access-denied",
        "Authentication hook unauthorized this request",
        401,
    )


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (500, b"{}"),
        (302, b"{}"),
        (204, b""),
        (201, json.dumps(USER).encode()),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"x-hasura-role": 1}'),
        (200, b"[" * 100_000),
    ],
)
def test_any_other_answer_is_invalid(hook: Authority, status: int, content: bytes) -> None:
    hook.status, hook.content = status, content
    assert refusal(authenticator(hook.url)) == (
        "unexpected",
        "Invalid response from authorization hook",
        500,
    )


def test_a_session_needs_a_role(hook: Authority) -> None:
    hook.say({"x-hasura-user-id": "7"})
    assert refusal(authenticator(hook.url))[:2] == (
        "invalid-params",
        "x-hasura-role not found in session variables",
    )


def test_a_hook_that_cannot_be_reached_is_told_as_such() -> None:
    text = "webhook authentication request failed"
    assert refusal(authenticator("http://127.0.0.1:1/")) == ("unexpected", text, 500)


def test_a_hook_that_takes_too_long_or_says_too_much_is_given_up(
    hook: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "webhook authentication request failed"
    hook.content = b" " * 1024 * 1024
    assert refusal(authenticator(hook.url))[1] == text

    monkeypatch.setattr(webhook, "TIMEOUT_SECONDS", 0.05)
    hook.say(USER)
    hook.speaks.clear()
    assert refusal(authenticator(hook.url))[1] == text


def test_the_engine_serves_whom_the_hook_knows(
    hook: Authority, shop_url: str, shop_directory: Path
) -> None:
    environ = {
        "HASURA_GRAPHQL_AUTH_HOOK": hook.url,
        "HASURA_GRAPHQL_AUTH_HOOK_MODE": "POST",
        "HANDLER_URL": "http://127.0.0.1:1",
    }
    with harness.serve(shop_url, shop_directory, environ) as running:
        hook.say({"x-hasura-role": "user", "x-hasura-user-id": "ann"})
        asked = {"query": "{ wallet { owner_id } }"}
        good = running.post("/v1/graphql", asked, {}).json()
        hook.say({}, 401)
        denied = running.post("/v1/graphql", asked, {})
        alpha = running.post("/v1alpha1/graphql", asked, {})

    assert {row["owner_id"] for row in good["data"]["wallet"]} == {"ann"}
    assert hook.asked[0].body["request"]["query"] == asked["query"]
    text = "Authentication hook unauthorized this request"
    extensions = {"path": "$", "code": "access-denied"}
    assert denied.json() == {"errors": [{"message": text, "extensions": extensions}]}
    assert (denied.status_code, alpha.status_code) == (200, 401)


@pytest.mark.parametrize(
    "environ",
    [
        {"HASURA_GRAPHQL_ADMIN_SECRET": ""},
        {"HASURA_GRAPHQL_AUTH_HOOK_MODE": "PUT"},
        {"HASURA_GRAPHQL_UNAUTHORIZED_ROLE": "anonymous"},
        {"HASURA_GRAPHQL_JWT_SECRET": json.dumps({"type": "HS256", "key": "k" * 32})},
    ],
)
def test_modes_that_contradict_each_other_are_refused_at_the_start(environ: dict[str, str]) -> None:
    with pytest.raises(settings.SettingsError):
        authenticator("http://127.0.0.1:1/", **environ)
