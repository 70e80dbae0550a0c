"""Actions: the request to the handler, and what its answer has to look like."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import httpx

from sandbox.engine.compile.action_call import forwarded, plain
from sandbox.engine.compile.steps import Action
from sandbox.engine.errors import EngineError, unparsed
from sandbox.engine.metadata import MetadataError, expand, headers
from sandbox.engine.outgoing import Outgoing
from sandbox.engine.schema.actions import ActionRoot
from sandbox.engine.schema.model import Enum, ObjectType, Ref, Scalar
from sandbox.engine.session import Session
from sandbox.engine.values import exact, no_number, to_json

from .tracing import tracing
from .transformed import content, told, transform

CALLS_MAX = 100  # at the same time
TIMEOUT_SECONDS = 30.0  # where the action does not say
BUILTIN_KINDS: dict[str, tuple[type, ...]] = {
    "Int": (int,),
    "Float": (int, Decimal, float),
    "String": (str,),
    "Boolean": (bool,),
    "ID": (str, int),
}


@dataclass(frozen=True, slots=True)
class HandlerCall:
    """What a handler is told. `headers` are the client's; `text` is missing when nobody waits."""

    root: ActionRoot
    input: dict[str, Any]
    variables: dict[str, str]
    headers: Mapping[str, str]
    text: str | None = None

    def body(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "action": {"name": self.root.name},
            "input": self.input,
            "session_variables": self.variables,
        }
        return told if self.text is None else told | {"request_query": self.text}


class Actions:
    """Calls handlers."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.outgoing = Outgoing(CALLS_MAX)
        self.queued = asyncio.Event()  # rung when a call was written down to be made later

    async def close(self) -> None:
        await self.outgoing.close()

    async def call(
        self, step: Action, session: Session, leaves: Sequence[Any], text: str
    ) -> tuple[Any, list[str]]:
        """Return the handler's checked answer and its Set-Cookie headers."""
        given = {name: plain(value, leaves) for name, value in step.arguments.items()}
        return await self.ask(
            HandlerCall(step.root, given, session.variables, session.headers, text)
        )

    async def ask(self, call: HandlerCall) -> tuple[Any, list[str]]:
        """Ask the handler once; raises EngineError for every answer that is not a good one."""
        definition = call.root.definition
        body = to_json(call.body())
        try:
            url = expand(definition["handler"], self.environ)
            sent = self._headers(definition, call.headers)
        except MetadataError as error:
            raise EngineError("unexpected", str(error), status=500) from error
        timeout_s = float(definition.get("timeout") or TIMEOUT_SECONDS)
        transforms = call.root.transforms
        changed = transform(transforms, url, sent, body, call.variables)
        request = {
            "url": definition["handler"],
            "body": json.loads(body),
            "headers": _told_headers(definition, call.headers),
            "transformed_request": told(changed, timeout_s),
        }
        # A call that nobody waits for is a trace by itself.
        trace = tracing({} if call.text is None else call.headers)
        try:
            if changed is None:
                answer = await self.outgoing.post(url, sent, body, timeout_s, trace)
            else:
                with_trace = (*trace.items(), *changed.request.headers)
                traced = replace(changed.request, headers=with_trace)
                answer = await self.outgoing.send(traced, timeout_s)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            text = "http exception when calling webhook"
            internal = {"error": {"type": "http_exception", "message": _reason(error)}}
            raise _failure(text, internal | {"request": request}) from error
        said = content(transforms, answer, changed, call.variables)
        value = _checked_answer(call.root.output, answer, said, request)
        return value, answer.headers.get_list("set-cookie")

    def _headers(self, definition: dict[str, Any], client: Mapping[str, str]) -> dict[str, str]:
        sent = forwarded(client) if definition.get("forward_client_headers") else {}
        configured = headers(definition.get("headers"), self.environ)
        for name in configured:
            sent.pop(name.lower(), None)
        return sent | configured


def _reason(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error)


def _failure(message: str, internal: Any) -> EngineError:
    return EngineError("unexpected", message, internal=internal)


def _told_headers(definition: dict[str, Any], client: Mapping[str, str]) -> list[Any]:
    """List the headers of a request for whoever may see them: no value from the environment."""
    listed = list(definition.get("headers") or [])
    if definition.get("forward_client_headers"):
        listed += [{"name": k, "value": v} for k, v in forwarded(client).items()]
    return listed


def _checked_answer(
    output: Ref, answer: httpx.Response, body: str | bytes, request: dict[str, Any]
) -> Any:
    """Return a good answer; raise what a bad one stands for."""
    internal = {
        "request": request,
        "response": {
            "status": answer.status_code,
            "body": answer.text,
            "headers": [{"name": k, "value": v} for k, v in answer.headers.items()],
        },
    }
    value = _value(answer, body, internal)
    try:
        return _checked(output, value)
    except EngineError as error:
        error.internal = {"error": "unexpected response"} | internal
        raise


def _value(answer: httpx.Response, body: str | bytes, internal: dict[str, Any]) -> Any:
    """Return the JSON of an answer that says it is good."""
    good = 200 <= answer.status_code < 300
    refused = 400 <= answer.status_code < 500
    if not good and not refused:
        raise _failure("internal error", {"error": "unexpected status"} | internal)
    try:
        value = json.loads(body, parse_float=exact, parse_constant=no_number)
    except (ValueError, RecursionError) as error:
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
