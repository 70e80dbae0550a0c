"""Hasura without its door: the sandbox's engine, asked in this process by the service's client.

Only HTTP and the secret are left out. What the service's client sends and reads, and how the engine
compiles, permits and runs it, is what it is elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import uvloop
from gql import Client, GraphQLRequest
from gql.transport import Transport
from graphql import ExecutionResult

from app.graphql import Hasura
from sandbox import world
from sandbox.engine import settings
from sandbox.engine.auth.secret import trusted
from sandbox.engine.documents.requests import decode, read
from sandbox.engine.engine import Engine
from sandbox.engine.errors import EngineError

HEADERS = {"x-hasura-role": "service", "x-hasura-livemode": "false"}


class Inside(Transport):
    """How gql's requests get to an engine that runs on an event loop of its own."""

    def __init__(self, database_url: str, ports: world.Ports) -> None:
        self.loop = uvloop.new_event_loop()
        environment = world.engine_environment(ports, database_url)
        self.engine = Engine(settings.read(environment, {"metadata": str(world.METADATA)}))

    def open(self) -> None:
        self.loop.run_until_complete(self.engine.open(listening=False))

    def shut(self) -> None:
        self.loop.run_until_complete(self.engine.close())
        self.loop.close()

    def client(self) -> Hasura:
        """Answer the service's own client, with this below it."""
        session = Client(transport=self, parse_results=False).connect_sync()  # type: ignore[no-untyped-call]  # gql's gap
        return Hasura(session, HEADERS)

    def execute(
        self, request: GraphQLRequest, *, headers: Mapping[str, str], **_: Any
    ) -> ExecutionResult:
        payload = request.payload
        # As JSON has them; the text of an operation is the same before and after.
        written = json.dumps(payload["variables"], allow_nan=False).encode()
        session = trusted(headers)
        try:
            asked = read(payload | {"variables": decode(written)})
            text, _cookies = self.loop.run_until_complete(self.engine.answer(asked, session))
        except EngineError as refusal:
            return ExecutionResult(None, [refusal.as_graphql(internal=False)])  # type: ignore[list-item]  # as JSON has it
        return ExecutionResult(json.loads(text))
