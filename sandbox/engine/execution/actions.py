"""Synchronous actions: the request to the handler, and what its answer has to look like."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import httpx

from sandbox.engine.compile.steps import Action
from sandbox.engine.documents.coerce import Fields, Given
from sandbox.engine.errors import EngineError, unparsed
from sandbox.engine.metadata import MetadataError, expand, headers
from sandbox.engine.outgoing import Outgoing
from sandbox.engine.schema.model import Enum, ObjectType, Ref, Scalar
from sandbox.engine.session import Session
from sandbox.engine.values import to_json

# Headers of the client that are never forwarded to a handler.
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
CALLS_MAX = 100  # at the same time
TIMEOUT_SECONDS = 30.0  # where the action does not say
BUILTIN_KINDS: dict[str, tuple[type, ...]] = {
    "Int": (int,),
    "Float": (int, Decimal, float),
    "String": (str,),
    "Boolean": (bool,),
    "ID": (str, int),
}


class Actions:
    """Calls handlers."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.outgoing = Outgoing(CALLS_MAX)

    async def close(self) -> None:
        await self.outgoing.close()

    async def call(
        self, step: Action, session: Session, leaves: Sequence[Any], text: str
    ) -> tuple[Any, list[str]]:
        """Return the handler's checked answer and its Set-Cookie headers."""
        definition = step.root.definition
        body = to_json(
            {
                "action": {"name": step.root.name},
                "input": {name: plain(value, leaves) for name, value in step.arguments.items()},
                "session_variables": session.variables,
                "request_query": text,
            }
        )
        try:
            url = expand(definition["handler"], self.environ)
            sent = self._headers(definition, session)
        except MetadataError as error:
            raise EngineError("unexpected", str(error), status=500) from error
        request = {"url": definition["handler"], "body": json.loads(body), "headers": []}
        try:
            timeout_s = float(definition.get("timeout") or TIMEOUT_SECONDS)
            answer = await self.outgoing.post(url, sent, body, timeout_s)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            text = "http exception when calling webhook"
            internal = {"error": {"type": "http_exception", "message": _reason(error)}}
            raise _failure(text, internal | {"request": request}) from error
        value = _value(answer, request)
        return _checked(step.root.output, value), answer.headers.get_list("set-cookie")

    def _headers(self, definition: dict[str, Any], session: Session) -> dict[str, str]:
        sent = {}
        if definition.get("forward_client_headers"):
            sent = {k: v for k, v in session.headers.items() if k not in WITHHELD}
        configured = headers(definition.get("headers"), self.environ)
        for name in configured:
            sent.pop(name.lower(), None)
        return sent | configured


def _reason(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error)


def _failure(message: str, internal: Any) -> EngineError:
    return EngineError("unexpected", message, internal=internal)


def _value(answer: httpx.Response, request: dict[str, Any]) -> Any:
    """Return the JSON of a good answer; raise what a bad one stands for."""
    internal = {
        "request": request,
        "response": {
            "status": answer.status_code,
            "body": answer.text,
            "headers": [{"name": k, "value": v} for k, v in answer.headers.items()],
        },
    }
    good = 200 <= answer.status_code < 300
    refused = 400 <= answer.status_code < 500
    if not good and not refused:
        raise _failure("internal error", {"error": "unexpected status"} | internal)
    try:
        value = json.loads(answer.content, parse_float=Decimal)
    except ValueError as error:
        text = "not a valid json response from webhook"
        raise _failure(text, {"error": "invalid json"} | internal) from error
    if good:
        return value
    raise _refusal(value)


def _refusal(value: Any) -> EngineError:
    """Translate a 4xx: extensions, when given, are passed on exactly as they are."""
    message = value.get("message") if isinstance(value, dict) else None
    if not isinstance(message, str):
        return unparsed(
            "parsing Hasura.RQL.Types.Action.ActionWebhookErrorResponse"
            '(ActionWebhookErrorResponse) failed, key "message" not found',
            "$",
        )
    extensions = value.get("extensions")
    if isinstance(extensions, dict):
        return EngineError("unexpected", message, extensions=extensions)
    return EngineError(str(value.get("code") or "unexpected"), message)


def _checked(ref: Ref, value: Any) -> Any:
    """Check an answer against its whole type; unknown keys are dropped by selection."""
    if value is None:
        if ref.non_null:
            raise _failure("got null for the action webhook response", None)
        return None
    if isinstance(ref.of, Ref):
        if not isinstance(value, list):
            raise _failure("expecting array for the action webhook response", None)
        return [_checked(ref.of, item) for item in value]
    kind = ref.of
    if isinstance(kind, ObjectType):
        return _checked_object(kind, value)
    if isinstance(kind, Enum) or kind.name in BUILTIN_KINDS:
        _check_leaf(kind, value)
    return value


def _checked_object(kind: ObjectType, value: Any) -> Any:
    if isinstance(value, list):
        text = f"got array for the action webhook response, expecting {kind.name}"
        raise _failure(text, None)
    if not isinstance(value, dict):
        text = f"got scalar {_scalar_name(value)} for the action webhook response, "
        raise _failure(f"{text}expecting {kind.name}", None)
    found = dict(value)
    for name, field in kind.fields.items():
        if not hasattr(field.source, "ref"):
            continue
        if field.ref.non_null and name not in value:
            text = f'field "{name}" expected in webhook response, but not found'
            raise _failure(text, None)
        if field.ref.non_null and value[name] is None:
            raise _failure(f'expecting not null value for field "{name}"', None)
        found[name] = _checked(field.ref, value.get(name))
    return found


def _check_leaf(kind: object, value: Any) -> None:
    assert isinstance(kind, (Enum, Scalar))  # noqa: S101 -- the caller has told objects apart
    if isinstance(value, dict):
        found = "object"
    elif isinstance(value, list):
        found = "array"
    else:
        found = f"scalar {_scalar_name(value)}"
    allowed = BUILTIN_KINDS.get(kind.name, (str,))
    fits = isinstance(value, allowed) and not (isinstance(value, bool) and bool not in allowed)
    if isinstance(kind, Enum) and isinstance(value, str):
        fits = value in kind.values
    if not fits:
        text = f"got {found} for the action webhook response, expecting {kind.name}"
        raise _failure(text, None)


def _scalar_name(value: Any) -> str:
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, str):
        return "String"
    return "Int" if isinstance(value, int) else "Float"


def plain(value: Any, leaves: Sequence[Any]) -> Any:
    """Turn checked arguments back into JSON, with this request's variables in their places."""
    if isinstance(value, Given):
        return _plain_leaf(value, leaves)
    if isinstance(value, Fields):
        return {name: plain(item, leaves) for name, item in value.items.items()}
    if isinstance(value, list):
        return [plain(item, leaves) for item in value]
    return value


def _plain_leaf(value: Given, leaves: Sequence[Any]) -> Any:
    found = value.value if value.index is None else leaves[value.index]
    if not value.many:
        value.scalar.encode(found, value.path)
        return found
    items = found if isinstance(found, list) else [found]
    for at, item in enumerate(items):
        value.scalar.encode(item, f"{value.path}[{at}]")
    return items
