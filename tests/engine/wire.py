"""A client that speaks over a WebSocket message by message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from engine import harness
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

CURRENT, LEGACY = "graphql-transport-ws", "graphql-ws"
ADMIN = {"x-hasura-admin-secret": harness.SECRET}
KEEPALIVES = ("ka", "ping")
PATIENCE = 60.0


class Wire:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    @property
    def subprotocol(self) -> str | None:
        return self.connection.subprotocol

    async def say(self, kind: str, **parts: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **parts}))

    async def run(self, identifier: str, query: str, **variables: Any) -> None:
        """Start an operation, by the word of the protocol in use."""
        word = "subscribe" if self.subprotocol == CURRENT else "start"
        await self.say(word, id=identifier, payload={"query": query, "variables": variables})

    async def stop(self, identifier: str) -> None:
        """Stop an operation; when this returns, the engine has."""
        await self.say("complete" if self.subprotocol == CURRENT else "stop", id=identifier)
        await self.run("after the stop", "{ __typename }")
        while (await self.hear()) != {"type": "complete", "id": "after the stop"}:
            pass

    async def hear(self) -> dict[str, Any]:
        """Return the next message; keepalives are passed over."""
        async with asyncio.timeout(PATIENCE):
            while True:
                message: dict[str, Any] = json.loads(await self.connection.recv())
                if message["type"] not in KEEPALIVES:
                    return message

    async def data(self) -> Any:
        """Return the data of the next message, which must hold some."""
        message = await self.hear()
        assert "data" in message["payload"], message
        return message["payload"]["data"]

    async def nothing(self, seconds: float) -> None:
        """Hear nothing at all for a while."""
        try:
            message = await asyncio.wait_for(self.hear(), seconds)
        except TimeoutError:
            return
        raise AssertionError(message)

    async def end(self) -> tuple[int, str, list[dict[str, Any]]]:
        """Return the code and the reason of the close, and what was said before it."""
        said = []
        try:
            while True:
                said.append(await self.hear())
        except ConnectionClosed as closed:
            frame = closed.rcvd
            return (frame.code, frame.reason, said) if frame else (1006, "", said)


@asynccontextmanager
async def dialled(
    served: harness.Served,
    subprotocol: str | None = CURRENT,
    path: str = "/v1/graphql",
    **options: Any,
) -> AsyncIterator[Wire]:
    """A connection that has said nothing yet."""
    address = served.url.replace("http://", "ws://") + path
    chosen = [Subprotocol(subprotocol)] if subprotocol else None
    async with connect(
        address, subprotocols=chosen, **{"open_timeout": PATIENCE} | options
    ) as connection:
        yield Wire(connection)


@asynccontextmanager
async def initialised(
    served: harness.Served,
    subprotocol: str | None = CURRENT,
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Wire]:
    """A connection that speaks as the admin, or with the headers given."""
    async with dialled(served, subprotocol, **options) as wire:
        sent = dict(ADMIN if headers is None else headers)
        await wire.say("connection_init", payload={"headers": sent})
        assert await wire.hear() == {"type": "connection_ack"}
        yield wire


def role(name: str, **session: str) -> dict[str, str]:
    """Return headers of the admin who acts as somebody else."""
    more = {f"x-hasura-{key.replace('_', '-')}": value for key, value in session.items()}
    return {**ADMIN, "x-hasura-role": name, **more}
