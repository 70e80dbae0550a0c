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


class Protocol(HttpToolsProtocol):
    def connection_made(self, transport: Any) -> None:
        self.gathering = Gathering(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", self.gathering))

    def handle_websocket_upgrade(self) -> None:
        self.transport = self.gathering.plain()
        super().handle_websocket_upgrade()
