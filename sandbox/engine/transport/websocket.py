"""The WebSocket side: who may connect, and one socket from its upgrade to its end."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from contextlib import suppress
from typing import Any

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from sandbox.engine.engine import Engine
from sandbox.engine.errors import EngineError
from sandbox.engine.values import to_json

from . import headers as request_headers
from . import messages
from .graphql_transport_ws import Current
from .graphql_ws import Legacy
from .messages import MalformedError
from .operations import Operations
from .origins import allowed

OF_THE_UPGRADE = frozenset({"sec-websocket-key", "sec-websocket-version", "upgrade", "connection"})
CHANGED = "Server state changed, restarting the server"
LAST_FRAMES_SECONDS = 5.0


class Sockets:
    """All sockets of a server, to be closed together."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.open: set[Socket] = set()
        engine.listeners.append(self.changed)

    def check_room(self) -> None:
        if len(self.open) >= self.engine.settings.sockets.most:
            raise EngineError("bad-request", "too many websockets are open", status=503)

    def changed(self) -> None:
        """Close all, so that clients come back and see the metadata as it is now."""
        if self.engine.settings.sockets.close_on_change:
            for socket in list(self.open):
                socket.close(1012, CHANGED)


class Endpoint:
    """An ASGI endpoint; `plain` has the errors of /v1alpha1/graphql."""

    def __init__(self, sockets: Sockets, *, plain: bool) -> None:
        self.sockets = sockets
        self.plain = plain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = self._headers(scope)
            self.sockets.check_room()
        except EngineError as error:
            await reject(send, error)
            return
        socket = Socket(self.sockets.engine, send)
        self.sockets.open.add(socket)
        try:
            await self._serve(socket, headers, scope, receive)
        finally:
            self.sockets.open.discard(socket)

    async def _serve(
        self, socket: Socket, headers: dict[str, str], scope: Scope, receive: Receive
    ) -> None:
        asked = headers.get("sec-websocket-protocol", "")
        chosen = Current if asked == Current.name else Legacy
        await receive()  # websocket.connect
        # A client that asked for nothing must not be told a choice.
        subprotocol = chosen.name if chosen.name in scope["subprotocols"] else None
        await socket.accept(subprotocol)
        protocol = chosen(socket, plain=self.plain)
        await socket.serve(Operations(self.sockets.engine, protocol, headers), receive)

    def _headers(self, scope: Scope) -> dict[str, str]:
        """Return what is kept of the upgrade's headers; raises EngineError for a foreign origin."""
        found = request_headers.read(scope)
        settings = self.sockets.engine.settings
        if "origin" in found and not settings.cors and not settings.sockets.read_cookie:
            found.pop("cookie", None)
        elif "origin" in found and settings.cors and not allowed(found["origin"], settings.cors):
            text = "received origin header does not match configured CORS domains"
            raise EngineError("access-denied", text)
        return {name: value for name, value in found.items() if name not in OF_THE_UPGRADE}


async def not_here(socket: WebSocket) -> None:
    """Refuse a WebSocket on any other path."""
    text = (
        "only '/v1/graphql', '/v1alpha1/graphql' and '/v1beta1/relay' are supported on websockets"
    )
    await reject(socket.send, EngineError("not-found", text, status=404))


async def reject(send: Send, error: EngineError) -> None:
    headers = [(b"content-type", b"application/json; charset=utf-8")]
    start = {"status": error.status, "headers": headers}
    await send({"type": "websocket.http.response.start", **start})
    content = to_json(error.as_graphql(internal=False)).encode()
    await send({"type": "websocket.http.response.body", "body": content})


class Socket:
    """Frames wait in line for the client; one that reads too slowly is given up."""

    def __init__(self, engine: Engine, send: Send) -> None:
        self.engine = engine
        self.settings = engine.settings.sockets
        self._send = send
        self._frames: deque[str] = deque()
        self._length = 0  # of the frames that wait
        self._ready = asyncio.Event()
        self._closing: dict[str, Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._timers: list[asyncio.TimerHandle] = []
        self._ends_at = math.inf  # the first of the times at which a proof of the client's expires

    async def accept(self, subprotocol: str | None) -> None:
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol})

    def send(self, text: str) -> None:
        if self._closing is not None:
            return
        if self._is_full(text):
            self.give_up()
            return
        self._length += len(text)
        self._frames.append(text)
        self._ready.set()

    def _is_full(self, text: str) -> bool:
        """Tell whether too much waits already; one frame may be as large as it is."""
        if len(self._frames) >= self.settings.most_waiting_frames:
            return True
        return bool(self._frames) and self._length + len(text) > self.settings.most_waiting_bytes

    def close(self, code: int, reason: str) -> None:
        """Close once what waits has been sent; nothing is taken or sent after this."""
        if self._closing is None:
            self._closing = {"type": "websocket.close", "code": code, "reason": reason}
            self._ready.set()
            self.later(LAST_FRAMES_SECONDS, self.give_up)

    def give_up(self) -> None:
        """End without a word."""
        if not self._over.done():
            self._over.set_result(None)

    def later(self, seconds: float, call: Any, *arguments: Any) -> None:
        """Call after a while, unless the socket has ended by then."""
        self._timers.append(self._loop.call_later(seconds, call, *arguments))

    async def serve(self, operations: Operations, receive: Receive) -> None:
        """Serve until either side has closed, or the client's proof has expired."""
        if operations.protocol.limits_init:
            self.later(self.settings.init_timeout_seconds, self._check_init, operations)
        tasks = [
            asyncio.create_task(self._read(operations, receive)),
            asyncio.create_task(self._write()),
            asyncio.create_task(operations.work()),
        ]
        try:
            await asyncio.wait([*tasks, self._over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._closing = self._closing or {}
            operations.stop_all()
            for timer in self._timers:
                timer.cancel()
            for task in tasks:
                task.cancel()
            with suppress(OSError):
                await asyncio.gather(*tasks, return_exceptions=True)

    def _check_init(self, operations: Operations) -> None:
        if operations.session is None:
            operations.protocol.close(4408, "Connection initialisation timeout")

    async def _read(self, operations: Operations, receive: Receive) -> None:
        while True:
            event = await receive()
            if event["type"] != "websocket.receive":
                return
            text = event.get("text")
            text = event["bytes"].decode(errors="replace") if text is None else text
            if len(text) > self.engine.settings.body_limit:
                self.close(1009, "the message is too large")
            if self._closing is None:
                await self._take(operations, text)

    async def _take(self, operations: Operations, text: str) -> None:
        before = operations.session
        try:
            await operations.take(messages.read(text))
        except MalformedError as error:
            operations.protocol.malformed(str(error))
        except EngineError as error:  # of a payload that is to be sent back
            operations.protocol.malformed(error.message)
        if operations.session is not before:
            self._admitted(operations, first=before is None)

    def _admitted(self, operations: Operations, *, first: bool) -> None:
        if first:
            self.later(self.settings.keepalive_seconds, self._stay_alive, operations)
        expires_at = operations.session.expires_at if operations.session else None
        if expires_at is not None and expires_at < self._ends_at:
            self._ends_at = expires_at
            self.later(max(0.0, expires_at - time.time()), self.give_up)

    def _stay_alive(self, operations: Operations) -> None:
        operations.protocol.stay_alive()
        self._timers = [item for item in self._timers if item.when() > self._loop.time()]
        self.later(self.settings.keepalive_seconds, self._stay_alive, operations)

    async def _write(self) -> None:
        """Send what waits; a client that is gone ends it."""
        with suppress(OSError):
            while True:
                while self._frames:
                    text = self._frames.popleft()
                    self._length -= len(text)
                    await self._send({"type": "websocket.send", "text": text})
                if self._closing:
                    await self._send(self._closing)
                    return
                self._ready.clear()
                await self._ready.wait()
