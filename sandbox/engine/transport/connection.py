"""HTTP over httptools, with the head and the body of an answer sent in one piece."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Gathering:
    """A transport that keeps what is written until the loop's next turn, then writes it at once.

    uvicorn writes the head and the body of an answer one after the other; each would be a call of
    the system and a packet of its own.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def _flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def plain(self) -> Any:
        """Return the transport itself, for a protocol that takes the connection over."""
        self._flush()
        return self._transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


STALLED_MAX = 256 * 1024  # bytes that bring no request forward


class Protocol(HttpToolsProtocol):
    """Bounds what is neither a whole head nor a body: uvicorn and httptools keep all of it."""

    def connection_made(self, transport: Any) -> None:
        self.gathering = Gathering(transport, self.loop)
        self._advanced = False
        self._stalled = 0
        super().connection_made(cast("asyncio.Transport", self.gathering))

    def data_received(self, data: bytes) -> None:
        self._advanced = False
        super().data_received(data)
        self._stalled = 0 if self._advanced else self._stalled + len(data)
        if self._stalled > STALLED_MAX and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        self._advanced = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._advanced = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._advanced = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._advanced = True
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self.transport = self.gathering.plain()
        super().handle_websocket_upgrade()
