"""The call that tries a request transform, and how a transform that is wrong is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sandbox.engine.errors import EngineError
from sandbox.engine.kriti.values import decode, encode
from sandbox.engine.metadata import shape
from sandbox.engine.outgoing import Request
from sandbox.engine.transforms import RequestTransform, TransformError, Transforms
from sandbox.engine.transforms.addresses import Address

from .arguments import Args, read, refuse
from .calls import query
from .draft import Draft

FAILED = "request transform validation failed"
ANYTHING = shape.kind(object)
VARIABLE = re.compile(r"\{\{([^}]+)\}\}")
MISSING = (
    "Missing Env Var: {0}. For security reasons when testing request options real environment "
    "variable values are not available. Please enter a mock value for {0} in the Sample Env "
    "Variables list. See https://hasura.io/docs/latest/graphql/core/actions/rest-connectors/"
    "#action-transforms-sample-context"
)


@query
async def test_webhook_transform(_draft: Draft, args: Args) -> Any:  # noqa: PT019 -- no test
    """Show what would be sent for these values. The process's own environment stays unread."""
    environ = _texts(args.get("env") or {}, "env")
    url = _url(read(args, "webhook_url", ANYTHING), environ)
    headers = tuple(_headers(args.get("request_headers") or [], environ))
    body = encode(read(args, "body", ANYTHING)).encode()
    if Address.read(url) is None:
        text = f'InvalidUrlException {encode(url)} "Invalid URL"'
        raise failed([{"error_code": "Request Initialization Error", "message": text}])
    try:
        transform = RequestTransform.read(read(args, "request_transform", ANYTHING))
        done = transform.apply(Request("GET", url, headers, body), _session(args)).request
    except TransformError as error:
        raise failed(error.bundle) from error
    return {
        "webhook_url": done.url,
        "method": done.method,
        "headers": [[name.lower(), value] for name, value in done.headers],
        "body": _shown(done.body),
    }


def check(holder: Args) -> None:
    """Refuse transforms whose templates do not parse; the error tells all of them."""
    try:
        Transforms.read(holder)
    except TransformError as error:
        raise failed(error.bundle) from error


def failed(bundle: list[dict[str, Any]]) -> EngineError:
    return EngineError("validation-failed", FAILED, internal=bundle)


def _session(args: Args) -> dict[str, str] | None:
    given = args.get("session_variables")
    if given is None:
        return None
    return {name.lower(): text for name, text in _texts(given, "session_variables").items()}


def _texts(given: Any, key: str) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(text, str) for text in given.values()):
        raise EngineError("parse-failed", f"{key} has to hold texts by name", f"$.args.{key}")
    return given


def _headers(given: Any, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    pairs = given if isinstance(given, list) else [given]
    if not all(isinstance(pair, list) and list(map(type, pair)) == [str, str] for pair in pairs):
        text = "request_headers has to be a list of pairs"
        raise EngineError("parse-failed", text, "$.args.request_headers")
    return [(name, _filled(value, environ)) for name, value in pairs]


def _url(given: Any, environ: Mapping[str, str]) -> str:
    if isinstance(given, str):
        return _filled(given, environ)
    if not isinstance(given, dict) or not isinstance(given.get("from_env"), str):
        raise EngineError("parse-failed", "webhook_url has to be a text", "$.args.webhook_url")
    if given["from_env"] not in environ:
        raise refuse("not-found", "Missing Env Var")
    return environ[given["from_env"]]


def _filled(text: str, environ: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise refuse("not-found", MISSING.format(match[1]))
        return environ[match[1]]

    return VARIABLE.sub(value, text)


def _shown(body: bytes) -> Any:
    """Show JSON as what it is, and any other body as text."""
    found = decode(body)
    return body.decode() if found is None and body != b"null" else found
