"""The protocol graphql-transport-ws, of the graphql-ws library."""

from __future__ import annotations

from sandbox.engine.errors import EngineError
from sandbox.engine.values import to_json

from .protocol import Protocol


class Current(Protocol):
    name = "graphql-transport-ws"
    data = "next"
    keepalive = '{"type":"ping","payload":{"message":"keepalive"}}'
    limits_init = True

    def malformed(self, text: str) -> None:
        self.close(4400, f"Parsing client message failed: {text}")

    def not_admitted(self, _text: str) -> None:
        self.close(4403, "Forbidden")

    def not_initialised(self, _identifier: str) -> None:
        self.close(4401, "Unauthorized")

    def already_running(self, identifier: str) -> None:
        self.close(4409, f"Subscriber for {to_json(identifier)} already exists")

    def initialised_twice(self) -> bool:
        self.close(4429, "Too many requests")
        return True

    def errors(self, error: EngineError) -> str:
        shaped = self.shape(error)
        return to_json(shaped if self.plain else [shaped])

    def failed(self, identifier: str, error: EngineError) -> None:
        self.message("error", identifier, to_json([self.shape(error)]))
