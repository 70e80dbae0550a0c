"""A connection of the simulators' server: it can be cut, and an answer leaves in one piece."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class OnePiece:
    """A transport that sends what one turn of the loop writes at once.

    uvicorn writes head and body apart, and each would wake whoever waits for the answer.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting += data

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._waiting:
            self._transport.write(bytes(self._waiting))
            self._waiting.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """Lets a request reach its own connection, so that a fault can cut it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        plain = cast("asyncio.Transport", transport)
        super().connection_made(cast("asyncio.Transport", OnePiece(plain, self.loop)))
        self.app_state = {**self.app_state, "connection": transport}
