"""What a handler is told: the arguments as JSON, and those headers of the client it may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.engine.documents.coerce import Fields, Given
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
# What the handler may still learn of the withheld ones, under another name.
FORWARDED_AS = {
    "host": "x-forwarded-host",
    "user-agent": "x-forwarded-user-agent",
    "origin": "x-forwarded-origin",
}
SESSION_PREFIX = "x-hasura-"
TRACE_PREFIX = "x-b3-"  # of the client's span; the handler is told of one below it


def forwarded(client: Mapping[str, str]) -> dict[str, str]:
    """Return what a handler may see of the client's headers: no secret and no session variable.

    The session variables are in the body, and there they have been checked.
    """
    kept = {
        name: value
        for name, value in client.items()
        if name not in WITHHELD and not name.startswith((SESSION_PREFIX, TRACE_PREFIX))
    }
    told = {new: client[name] for name, new in FORWARDED_AS.items() if name in client}
    return kept | told


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


@dataclass(frozen=True)
class Input:
    """The arguments of a call as one bound JSON text."""

    arguments: Mapping[str, Any]

    def __call__(self, leaves: Sequence[Any], _session: Session) -> Any:
        return to_json({name: plain(value, leaves) for name, value in self.arguments.items()})


@dataclass(frozen=True, slots=True)
class ForwardedHeaders:
    """The client's headers, as far as they will be forwarded, as one bound JSON text."""

    def __call__(self, _leaves: Sequence[Any], session: Session) -> Any:
        return to_json(forwarded(session.headers))
