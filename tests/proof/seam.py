"""The seam: every call that the service makes to the outside passes here, and may go wrong here.

The service speaks HTTP through `requests` alone, to Hasura and to the gateways, so the one place
where that package sends is the seam: nothing of the service knows of it, and no new call can miss
it. Each call is numbered, written to the trace, and spoilt if a fault waits for its number.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from proof import peers, sites
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

HASURA_PATH = "/v1/graphql"
# Asked only to know the time, whenever the last answer is too old to be believed: it comes at no
# fixed place, and changes nothing.
UNNUMBERED = frozenset({"ReadClock"})


class Crash(BaseException):
    """The service died here. No Exception: nothing of its own may catch it."""


class Kind(StrEnum):
    """What can become of a call."""

    CRASH_BEFORE = "crash before"  # the service dies, and nothing was sent
    CRASH_AFTER = "crash after"  # the call has its effect, and the service dies before it hears
    ERROR = "error reply"  # no effect, and an answer that says so
    OUTAGE = "outage"  # the same for every later call to that peer, until the door is left
    TIMEOUT = "timeout with effect"  # the effect happens, the answer never comes
    LATE = "late effect"  # no answer comes, and the effect happens long afterwards


@dataclass(slots=True)
class Call:
    """One outgoing call, as the trace keeps it."""

    number: int
    door: str  # which request of the service made it
    site: sites.Site
    peer: str  # "hasura" or a gateway's name
    method: str
    path: str
    operation: str  # of GraphQL; of a gateway its method and path
    fields: Mapping[str, Any]  # variables of GraphQL, what a gateway is sent
    started: float
    asks: peers.Meaning = peers.LOOK_UP  # of a gateway
    ended: float = 0.0
    fate: str = "answered"
    status: int | None = None
    intent_is_committed: bool | None = None  # asked of the database just before a gateway is

    @property
    def has_effect(self) -> bool:
        """Whether it asks the gateway to do something."""
        return self.asks.has_effect


@dataclass
class Seam:
    """Installed while `with` lasts. `committed` answers whether a row of that id is committed."""

    committed: Callable[[str], bool]
    faults: dict[int, Kind] = field(default_factory=dict)
    refusals: set[str] = field(default_factory=set)  # paths that a gateway says no to, for good
    trace: list[Call] = field(default_factory=list)
    door: str = ""
    _down: set[str] = field(default_factory=set)
    _late: list[Callable[[], None]] = field(default_factory=list)
    _send: Any = None
    _lock: Any = field(default_factory=threading.RLock)

    def __enter__(self) -> Self:
        self._send = HTTPAdapter.send
        seam = self

        def send(adapter: HTTPAdapter, request: Any, **more: Any) -> requests.Response:
            return seam.pass_on(adapter, request, more)

        HTTPAdapter.send = send  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        HTTPAdapter.send = self._send  # type: ignore[method-assign]

    def begin(self, faults: Mapping[int, Kind]) -> None:
        """Start a case: numbers begin at 1 again."""
        self.faults, self.trace = dict(faults), []
        self.refusals.clear()
        self._down.clear()
        self._late.clear()

    def enter(self, door: str) -> None:
        """A request of the service begins: an outage of the one before is over."""
        self.door = door
        self._down.clear()

    def land(self) -> int:
        """Let the late effects happen. Answers how many there were."""
        late, self._late = self._late, []
        for effect in late:
            effect()
        return len(late)

    @property
    def spoilt(self) -> bool:
        """Whether every fault of the case has met its call."""
        return not self.faults

    def pass_on(self, adapter: HTTPAdapter, request: Any, more: Any) -> requests.Response:
        with self._lock:
            call = self._read(request)
            if call.operation in UNNUMBERED:
                return self._go(call, adapter, request, more)
            call.number = len(self.trace) + 1
            self.trace.append(call)
        key = call.asks.key
        if call.has_effect and key and not call.asks.is_on_a_known_object:
            call.intent_is_committed = self.committed(key.partition(":")[0])
        kind = self.faults.pop(call.number, None)
        if kind is Kind.OUTAGE:
            self._down.add(call.peer)
        try:
            return self._meet(call, kind, adapter, request, more)
        finally:
            call.ended = time.monotonic()

    def _meet(
        self, call: Call, kind: Kind | None, adapter: HTTPAdapter, request: Any, more: Any
    ) -> requests.Response:
        call.fate = kind or "answered"
        if call.peer in self._down or kind is Kind.ERROR:
            call.fate = kind or Kind.OUTAGE
            return _failure(call, request)
        if kind is Kind.CRASH_BEFORE:
            raise Crash(f"before {call.operation}")
        if kind is Kind.LATE:
            self._late.append(lambda: self._go(call, adapter, request, more))
            raise requests.exceptions.ReadTimeout(f"no answer of {call.operation}")
        refused = call.has_effect and any(call.path.endswith(path) for path in self.refusals)
        answer = _refusal(request) if refused else self._go(call, adapter, request, more)
        if kind is Kind.CRASH_AFTER:
            raise Crash(f"after {call.operation}")
        if kind is Kind.TIMEOUT:
            raise requests.exceptions.ReadTimeout(f"no answer of {call.operation}")
        return answer

    def _go(self, call: Call, adapter: HTTPAdapter, request: Any, more: Any) -> requests.Response:
        answer: requests.Response = self._send(adapter, request, **more)
        call.status = answer.status_code
        # Read to its end, so that the connection is free whatever comes; then readable again.
        answer.raw = _readable(answer.content)
        return answer

    def _read(self, request: Any) -> Call:
        path = urlsplit(request.url).path
        body = request.body or b""
        text = body.decode() if isinstance(body, bytes) else body
        common = {
            "number": 0,
            "door": self.door,
            "method": request.method,
            "path": path,
            "started": time.monotonic(),
        }
        if path == HASURA_PATH:
            asked = json.loads(text)
            operation, fields = asked["operationName"], asked.get("variables") or {}
            return Call(
                **common,
                site=sites.here(operation),
                peer="hasura",
                operation=operation,
                fields=fields,
            )
        peer, below = path[1:].split("/", 1)
        fields = peers.fields_of(request.headers.get("Content-Type", ""), text)
        operation = f"{request.method} {path}"
        return Call(
            **common,
            site=sites.here(operation),
            peer=peer,
            operation=operation,
            fields=fields,
            asks=peers.meaning(
                peer, peers.Sent(request.method, f"/{below}", request.headers, fields)
            ),
        )


def _failure(call: Call, request: Any) -> requests.Response:
    """Answer what Hasura says of a database that cannot, and a gateway of itself."""
    if call.peer == "hasura":
        error = {"message": "database query error", "extensions": {"code": "unexpected"}}
        return _response(request, 200, {"errors": [error | {"path": "$"}]})
    return _response(request, 500, {"error": {"type": "api_error", "message": "try again"}})


def _refusal(request: Any) -> requests.Response:
    error = {"type": "invalid_request_error", "message": "no such thing", "param": "amount"}
    return _response(request, 400, {"error": error})


def _response(request: Any, status: int, body: object) -> requests.Response:
    answer = requests.Response()
    answer.status_code = status
    answer.headers["Content-Type"] = "application/json"
    answer.request = request
    answer.url = request.url
    answer.raw = _readable(json.dumps(body).encode())
    return answer


def _readable(content: bytes) -> HTTPResponse:
    """Stand in for the stream of an answer, which some read themselves."""
    return HTTPResponse(BytesIO(content), preload_content=False)
