"""A service of the user's own that says who asks: it is sent the headers, and answers a session."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.engine.documents import requests
from sandbox.engine.errors import EngineError
from sandbox.engine.session import Session
from sandbox.engine.values import to_json

from . import lifetimes
from .fetching import FetchError, Fetching, Reply
from .secret import PREFIX, ROLE, denied

TIMEOUT_SECONDS = 30.0
OK, UNAUTHORIZED = 200, 401
# Headers of the client that a hook asked with GET does not get.
WITHHELD = frozenset(
    {
        "accept",
        "accept-datetime",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-length",
        "content-md5",
        "content-type",
        "dnt",
        "host",
        "origin",
        "referer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)


def _failed(message: str) -> EngineError:
    return EngineError("unexpected", message, status=500)


@dataclass(frozen=True, slots=True)
class Hook:
    """`sends_request` says that a hook asked with POST sees what the client asks for."""

    url: str
    posts: bool
    sends_request: bool

    async def session(
        self, fetching: Fetching, headers: Mapping[str, str], body: bytes | None
    ) -> Session:
        sent = {name: value for name, value in headers.items() if name not in WITHHELD}
        content = None
        if self.posts:
            sent = {"content-type": "application/json"}
            content = to_json(self._told(headers, body)).encode(errors="replace")
        try:
            reply = await fetching.ask(self.url, sent, content, TIMEOUT_SECONDS)
        except FetchError as error:
            raise _failed("webhook authentication request failed") from error
        if reply.status == UNAUTHORIZED:
            raise denied("Authentication hook unauthorized this request")
        return _session(_answer(reply), headers)

    def _told(self, headers: Mapping[str, str], body: bytes | None) -> dict[str, Any]:
        told: dict[str, Any] = {"headers": dict(headers)}
        return told | {"request": _request(body)} if self.sends_request else told


def _request(body: bytes | None) -> Any:
    """Shape what the client asks for; a body that is no request is none of the hook's business."""
    if body is None:
        return None
    try:
        value = requests.decode(body)
        return [_member(item) for item in value] if isinstance(value, list) else _member(value)
    except EngineError:
        return None


def _member(value: Any) -> dict[str, Any]:
    request = requests.read(value)
    return {
        "variables": value.get("variables"),
        "operationName": request.operation_name,
        "query": request.query,
    }


def _answer(reply: Reply) -> dict[str, str]:
    """Return what the hook said, by lower-case name: an object of texts, or it does not count."""
    found = None
    if reply.status == OK:
        try:
            found = json.loads(reply.body)
        except (ValueError, RecursionError):
            found = None
    if not isinstance(found, dict) or not all(isinstance(item, str) for item in found.values()):
        raise _failed("Invalid response from authorization hook")
    return {name.lower(): value for name, value in found.items()}


def _session(said: Mapping[str, str], headers: Mapping[str, str]) -> Session:
    role = said.get(ROLE)
    if not role:
        raise EngineError("invalid-params", f"{ROLE} not found in session variables")
    variables = {name: value for name, value in said.items() if name.startswith(PREFIX)}
    ends = lifetimes.of_session(said, time.time())
    return Session(role, variables, headers=dict(headers), expires_at=ends)
