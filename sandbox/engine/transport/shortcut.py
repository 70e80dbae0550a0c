"""The short way to the endpoints that are asked most, past what other requests need."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

VARY = (b"vary", b"Origin")


class Shortcut:
    """Hand a request from no browser's page straight to its endpoint, and any other to the app.

    Without an Origin, all that the app's middleware and routes would do is to find the endpoint
    and, where CORS is on, to say that the answer varies with the origin: that is done here.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, ASGIApp], *, cors: bool) -> None:
        self.app = app
        self.endpoints = endpoints
        self.cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self.endpoints.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None or any(name == b"origin" for name, _ in scope["headers"]):
            await self.app(scope, receive, send)
            return

        async def varied(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append(VARY)
            await send(message)

        await endpoint(scope, receive, varied if self.cors else send)
