"""Ask a webhook once: the exchange with its limits, and the response in Hasura's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import httpx

from sandbox.engine.kriti.values import decode
from sandbox.engine.metadata import MetadataError, headers, webhook
from sandbox.engine.outgoing import HEADERS, Outgoing, Request
from sandbox.engine.transforms import Transformed, TransformError, Transforms

LOGGED_CHARACTERS_MAX = 100_000
DIGITS_MAX = 9  # of a Retry-After: thirty years, which Postgres can still add to a time
DEFAULTS = frozenset(name.lower() for name in HEADERS)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when a failed delivery is tried again."""

    retries: int = 0
    interval_s: float = 10.0
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a trigger delivers to."""

    url: str
    headers: dict[str, str]
    headers_logged: list[dict[str, str]]  # without the values that came from the environment
    retry: Retry
    transforms: Transforms = field(default_factory=Transforms)

    @classmethod
    def read(cls, item: dict[str, Any], retry: Retry, environ: Mapping[str, str]) -> Self:
        """Read what triggers and one-off events have in common; raises MetadataError.

        What Hasura sends by itself, it sends whatever the metadata says.
        """
        url, resolved = webhook(item, environ), headers(item.get("headers"), environ)
        try:
            transforms = Transforms.read(item)
        except TransformError as error:
            raise MetadataError(f"request transform validation failed: {error}") from error
        sent = {name: text for name, text in resolved.items() if name.lower() not in DEFAULTS}
        return cls(url, sent, logged_headers(item.get("headers")), retry, transforms)


@dataclass(frozen=True, slots=True)
class Response:
    """What a webhook answered, or why it could not be asked.

    `payload` is the body that was sent, where a transform has changed it.
    """

    status: int | None = None
    body: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    fault: str | None = None
    payload: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status <= 299

    @property
    def retry_after_s(self) -> int | None:
        """The wait that a refusal asks for: whole seconds, more than none."""
        given = (text for name, text in self.headers if name.lower() == "retry-after")
        value = next(given, "").strip()
        wanted = int(value[:DIGITS_MAX]) if value.isascii() and value.isdigit() else 0
        return wanted if wanted > 0 and not self.is_success else None

    def logged(self, version: str) -> str:
        """Shape it for the log, where a refusal keeps nothing but its text."""
        kind = "webhook_response" if self.is_success else "client_error"
        data: dict[str, Any] = {"message": self.fault or self.body[:LOGGED_CHARACTERS_MAX]}
        if self.is_success:
            data = {
                "status": self.status,
                "body": self.body[:LOGGED_CHARACTERS_MAX],
                "headers": [{"name": name, "value": value} for name, value in self.headers],
            }
        return json.dumps({"type": kind, "version": version, "data": data})


async def ask(outgoing: Outgoing, hook: Hook, body: str) -> Response:
    """Send one body. Whatever goes wrong is a response with a fault, but for TransformError."""
    session = _session(body) if hook.transforms != Transforms() else None
    changed = _transformed(hook, body, session)
    payload = None if changed is None else _payload(changed.request.body)
    try:
        if changed is None:
            answer = await outgoing.post(hook.url, hook.headers, body, hook.retry.timeout_s)
        else:
            answer = await outgoing.send(changed.request, hook.retry.timeout_s)
    except TimeoutError:
        return Response(fault=f"no answer within {hook.retry.timeout_s:g} seconds", payload=payload)
    except Exception as error:  # noqa: BLE001  # whatever it is, this webhook was not reached
        return Response(fault=f"{type(error).__name__}: {error}", payload=payload)
    given = answer.headers.multi_items()
    found = Response(answer.status_code, answer.text, given, payload=payload)
    return _answered(hook, found, answer, changed, session)


def _answered(
    hook: Hook,
    found: Response,
    answer: httpx.Response,
    changed: Transformed | None,
    session: Mapping[str, str] | None,
) -> Response:
    """Transform the body of a success. Where that fails the delivery has failed."""
    transform = hook.transforms.response
    if transform is None or not found.is_success:
        return found
    try:
        body = transform.apply(answer.content, answer.status_code, changed, session)
    except TransformError as error:
        fault = json.dumps(json.dumps(error.bundle))  # as Hasura keeps it
        return Response(500, fault=fault, payload=found.payload)
    return replace(found, body=body)


def _transformed(hook: Hook, body: str, session: Mapping[str, str] | None) -> Transformed | None:
    if hook.transforms.request is None:
        return None
    sent = tuple((HEADERS | hook.headers).items())
    request = Request("POST", hook.url, sent, body.encode())
    return hook.transforms.request.apply(request, session)


def _session(body: str) -> Mapping[str, str] | None:
    """Return the session variables of an event; a scheduled one has none."""
    event = (decode(body) or {}).get("event") or {}
    found = event.get("session_variables")
    return found if isinstance(found, dict) else None


def _payload(body: bytes) -> str:
    """Keep a body for the log, which holds JSON and nothing else."""
    return "null" if decode(body) is None else body.decode()


def logged_headers(items: Any) -> list[dict[str, str]]:
    """Shape a trigger's headers for the log, naming secrets instead of telling them."""
    defaults = [{"name": name, "value": value} for name, value in HEADERS.items()]
    return defaults + [
        {"name": item["name"], "value": item["value"]}
        if "value" in item
        else {"name": item["name"], "value_from_env": item.get("value_from_env", "")}
        for item in items or []
        if item["name"].lower() not in DEFAULTS
    ]
