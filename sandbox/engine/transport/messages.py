"""What a client says over a WebSocket: one vocabulary, whichever protocol was chosen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sandbox.engine.documents import requests
from sandbox.engine.documents.requests import Request
from sandbox.engine.errors import EngineError
from sandbox.engine.values import kind_of

START = "parsing Hasura.GraphQL.Transport.WebSocket.Protocol.StartMsg(StartMsg) failed, "
STOP = "parsing Hasura.GraphQL.Transport.WebSocket.Protocol.StopMsg(StopMsg) failed, "


@dataclass(frozen=True, slots=True)
class Init:
    """`headers` have lower-case names."""

    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Start:
    """`size` is the length of the message."""

    id: str
    request: Request
    size: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    id: str


@dataclass(frozen=True, slots=True)
class Ping:
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Pong:
    pass


@dataclass(frozen=True, slots=True)
class Terminate:
    pass


Message = Init | Start | Stop | Ping | Pong | Terminate


class MalformedError(Exception):
    """A message that cannot be read; the text says why."""


def _malformed(text: str, path: str = "$") -> MalformedError:
    return MalformedError(f"parsing ClientMessage failed: Error in {path}: {text}")


def read(text: str) -> Message:
    """Return what was said; raises MalformedError."""
    try:
        found = requests.decode(text.encode(errors="replace"))
    except EngineError as error:
        raise _malformed(error.message) from error
    if not isinstance(found, dict):
        kind = kind_of(found)
        raise _malformed(f"parsing ClientMessage failed, expected Object, but encountered {kind}")
    if "type" not in found:
        raise _malformed('key "type" not found')
    kind = found["type"]
    reader = READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise _malformed(f"unexpected type for ClientMessage: {kind}")
    message: Message = reader(found)
    return replace(message, size=len(text)) if isinstance(message, Start) else message


def _init(found: dict[str, Any]) -> Init:
    headers = _object(_object(found, "payload", "$"), "headers", "$.payload")
    for name, value in headers.items():
        if not isinstance(value, str):
            text = f"parsing Text failed, expected String, but encountered {kind_of(value)}"
            raise _malformed(text, f"$.payload.headers['{name}']")
    return Init({name.lower(): value for name, value in headers.items()})


def _object(found: dict[str, Any], key: str, path: str) -> dict[str, Any]:
    value = found.get(key)
    if value is not None and not isinstance(value, dict):
        text = f"parsing HashMap failed, expected Object, but encountered {kind_of(value)}"
        raise _malformed(text, f"{path}.{key}")
    return value or {}


def _id(found: dict[str, Any], where: str) -> str:
    if "id" not in found:
        raise _malformed(f'{where}key "id" not found')
    if not isinstance(found["id"], str):
        kind = kind_of(found["id"])
        raise _malformed(f"parsing Text failed, expected String, but encountered {kind}", "$.id")
    return found["id"]


def _start(found: dict[str, Any]) -> Start:
    identifier = _id(found, START)
    if "payload" not in found:
        raise _malformed(f'{START}key "payload" not found')
    try:
        return Start(identifier, requests.read(found["payload"], "$.payload"))
    except EngineError as error:
        raise _malformed(error.message, error.path) from error


def _stop(found: dict[str, Any]) -> Stop:
    return Stop(_id(found, STOP))


READERS: dict[str, Any] = {
    "connection_init": _init,
    "start": _start,
    "subscribe": _start,
    "stop": _stop,
    "complete": _stop,
    "ping": lambda found: Ping(found.get("payload")),
    "pong": lambda _found: Pong(),
    "connection_terminate": lambda _found: Terminate(),
}
