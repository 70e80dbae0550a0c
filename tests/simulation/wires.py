"""The wires: what the service asks of the gateways gets there without a socket.

The service speaks HTTP through `requests` alone, so the one place where that package sends is where
the wires begin. They end at the simulators, whole, in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from starlette.types import ASGIApp, Message
from urllib3 import HTTPResponse

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it goes over a wire."""

    method: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_yes(self) -> bool:
        return 200 <= self.status < 300


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing, without an event loop."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    work.close()
    raise RuntimeError("this waits for something")


@dataclass(slots=True)
class Line:
    """One connection, which a fault of a simulator may cut."""

    is_cut: bool = False

    def abort(self) -> None:
        self.is_cut = True


@dataclass(frozen=True, slots=True)
class Wire:
    """A wire to one ASGI application."""

    app: ASGIApp

    def ask(self, asked: Asked) -> Reply:
        return at_once(self._exchange(asked))

    def send(self, method: str, path: str, body: bytes = b"") -> Reply:
        """Ask for something by its path alone."""
        return self.ask(Asked(method, "", path, "", {"content-type": "application/json"}, body))

    async def _exchange(self, asked: Asked) -> Reply:
        """Raises the error of `requests` when the line is cut before a word of an answer."""
        line = Line()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": asked.method,
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
            "path": unquote(asked.path),
            "raw_path": asked.path.encode(),
            "root_path": "",
            "query_string": asked.query.encode(),
            "headers": _pairs(asked.headers.items()),
            "state": {"connection": line},
        }
        parts: list[bytes] = []
        said: dict[str, Any] = {}

        async def receive() -> Message:
            if line.is_cut:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": asked.body, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                said.update(message)
            else:
                parts.append(message.get("body", b""))

        await self.app(scope, receive, send)
        if not said:
            raise requests.exceptions.ConnectionError(f"{asked.path}: the line is cut")
        headers = {name.decode(): value.decode("latin-1") for name, value in said["headers"]}
        return Reply(said["status"], headers, b"".join(parts))


def _pairs(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(_bytes(name.lower()), _bytes(value)) for name, value in headers]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


@dataclass
class Wires:
    """Laid while `with` lasts. `carry` answers what is asked, or raises as `requests` does."""

    carry: Callable[[Asked], Reply]
    _send: Any = None

    def __enter__(self) -> Self:
        self._send = HTTPAdapter.send
        wires = self

        def send(
            adapter: HTTPAdapter, request: requests.PreparedRequest, **_: Any
        ) -> requests.Response:
            return _response(adapter, request, wires.carry(_asked(request)))

        HTTPAdapter.send = send  # type: ignore[method-assign,assignment]  # here, and until the end
        return self

    def __exit__(self, *_: object) -> None:
        HTTPAdapter.send = self._send  # type: ignore[method-assign]  # as it was


def _asked(request: requests.PreparedRequest) -> Asked:
    parts = urlsplit(request.url or "")
    body = request.body or b""
    return Asked(
        method=request.method or "",
        host=parts.netloc,
        path=parts.path,
        query=parts.query,
        headers=dict(request.headers),
        body=body.encode() if isinstance(body, str) else body,
    )


def _response(
    adapter: HTTPAdapter, request: requests.PreparedRequest, reply: Reply
) -> requests.Response:
    raw = HTTPResponse(
        body=BytesIO(reply.body),
        headers=reply.headers,
        status=reply.status,
        preload_content=False,
    )
    return HTTPAdapter.build_response(adapter, request, raw)
