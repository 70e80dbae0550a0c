"""The legacy protocol, graphql-ws, of Apollo's subscriptions-transport-ws."""

from __future__ import annotations

from sandbox.engine.errors import EngineError
from sandbox.engine.values import to_json

from .protocol import Protocol


class Legacy(Protocol):
    name = "graphql-ws"
    data = "data"
    keepalive = '{"type":"ka"}'

    def malformed(self, text: str) -> None:
        self.link.send(f'{{"type":"connection_error","payload":{to_json(text)}}}')

    def not_admitted(self, text: str) -> None:
        self.malformed(text)
        self.close(4400, f"Connection initialization failed: {text}")

    def not_initialised(self, identifier: str) -> None:
        self._start_failed(identifier, "start received before the connection is initialised")

    def already_running(self, identifier: str) -> None:
        text = f"an operation already exists with this id: {identifier}"
        self._start_failed(identifier, text)

    def _start_failed(self, identifier: str, text: str) -> None:
        error = EngineError("start-failed", text)
        self.message("error", identifier, to_json(self.shape(error)))
        self.complete(identifier)

    def errors(self, error: EngineError) -> str:
        shaped = self.shape(error)
        return to_json(shaped if self.plain else {"errors": [shaped]})

    def failed(self, identifier: str, error: EngineError) -> None:
        self.message("data", identifier, to_json({"errors": [self.shape(error)]}))
