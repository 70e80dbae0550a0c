"""What the two protocols share, and where they may differ."""

from __future__ import annotations

from typing import Any, ClassVar
from typing import Protocol as Interface

from sandbox.engine.errors import EngineError
from sandbox.engine.values import to_json

LONGEST_REASON = 123  # bytes that a close frame has room for


class Link(Interface):
    """The way to the client."""

    def send(self, text: str) -> None: ...

    def close(self, code: int, reason: str) -> None: ...


class Protocol:
    """The server's words. `plain` errors are those of /v1alpha1/graphql."""

    name: ClassVar[str]
    data: ClassVar[str]
    keepalive: ClassVar[str]
    limits_init: ClassVar[bool] = False

    def __init__(self, link: Link, *, plain: bool) -> None:
        self.link = link
        self.plain = plain

    def acknowledge(self) -> None:
        self.link.send('{"type":"connection_ack"}')
        self.link.send(self.keepalive)

    def stay_alive(self) -> None:
        self.link.send(self.keepalive)

    def pong(self, payload: Any) -> None:
        more = "" if payload is None else f',"payload":{to_json(payload)}'
        self.link.send(f'{{"type":"pong"{more}}}')

    def close(self, code: int, text: str) -> None:
        """Close with Hasura's reason, as much of it as fits."""
        reason = to_json({"server_error_msg": f"{code}: {text}"}).encode(errors="replace")
        self.link.close(code, reason[:LONGEST_REASON].decode(errors="ignore"))

    def shape(self, error: EngineError) -> dict[str, Any]:
        """Shape one error; what is internal is never told over a WebSocket."""
        return error.as_plain(internal=False) if self.plain else error.as_graphql(internal=False)

    def message(self, kind: str, identifier: str, payload: str) -> None:
        self.link.send(self.head(kind, identifier) + payload + "}")

    def head(self, kind: str, identifier: str) -> str:
        return f'{{"type":"{kind}","id":{to_json(identifier)},"payload":'

    def answer(self, identifier: str, data: str) -> None:
        self.message(self.data, identifier, f'{{"data":{data}}}')

    def troubled(self, identifier: str, error: EngineError) -> None:
        """Tell a failure of something that goes on."""
        self.message(self.data, identifier, to_json({"errors": [self.shape(error)]}))

    def refused(self, identifier: str, error: EngineError) -> None:
        """Tell that an operation was not executed."""
        self.message("error", identifier, self.errors(error))
        self.complete(identifier)

    def complete(self, identifier: str) -> None:
        self.link.send(f'{{"type":"complete","id":{to_json(identifier)}}}')

    def initialised_twice(self) -> bool:
        """Tell whether a second connection_init is refused."""
        return False

    def malformed(self, text: str) -> None:
        raise NotImplementedError

    def not_admitted(self, text: str) -> None:
        raise NotImplementedError

    def not_initialised(self, identifier: str) -> None:
        raise NotImplementedError

    def already_running(self, identifier: str) -> None:
        raise NotImplementedError

    def errors(self, error: EngineError) -> str:
        """Return the payload about an operation that was not executed."""
        raise NotImplementedError

    def failed(self, identifier: str, error: EngineError) -> None:
        """Tell that executing failed."""
        raise NotImplementedError
