"""A simulator of Amazon EventBridge, and of a plain address that events are posted to.

It takes PutEvents as AWS does, checks signatures, keeps what came, and hands it on to those who
listen (`--webhook eventbridge=URL`).
"""

import json
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.eventbridge.api import Api
from sandbox.gateways.eventbridge.consumer import Consumer
from sandbox.gateways.server.pages import Pages
from sandbox.gateways.server.simulator import House, Options, Overview, Signed
from sandbox.gateways.server.state import Slice, public

SANDBOX_KEY = "AKIASANDBOX:sandbox-aws-key-known-to-everybody"
SANDBOX_SECRET = "whsec_sandboxSigningKeyKnownToEverybody+++"  # noqa: S105  # published on purpose; live refuses to start with it
LISTED = 200


class Simulator:
    name = "eventbridge"

    def __init__(self, house: House, options: Options) -> None:
        self.origin = house.origin
        self.books = house.books(self.name)
        keys = dict(key.split(":", 1) for key in options.keys or (SANDBOX_KEY,))
        self.api = Api(house, self.books, keys, options.webhooks)
        self.consumer = Consumer(house, self.books, options.secrets or (SANDBOX_SECRET,))
        self.pages = Pages(Path(__file__).parent / "templates")

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/", self.api.call, methods=["POST"]),
            Route("/consumer", self.consumer.take, methods=["POST"]),
            Route("/events", self._page, methods=["GET"]),
        ]

    def control_routes(self) -> Sequence[BaseRoute]:
        return [Route("/events", self._list, methods=["GET"])]

    def on_timer(self, kind: str, subject: str) -> None:
        raise KeyError(f"{kind} {subject}")  # nothing here happens later

    def secrets(self, endpoint: str) -> Sequence[str]:
        """Name one, or a delivery would count as one to nobody: listeners get no signature."""
        return (endpoint,)

    def sign(self, body: bytes, secrets: Sequence[str], at: int) -> Signed:
        del secrets, at
        return Signed({"Content-Type": "application/json"}, body)

    def overview(self) -> Overview:
        return Overview(
            title="Amazon EventBridge",
            facts=[
                ("Endpoint", f"{self.origin}/eventbridge"),
                ("Plain address", f"{self.origin}/eventbridge/consumer"),
            ],
            links=[("Events", "/eventbridge/events"), ("JSON", "/_sandbox/eventbridge/events")],
        )

    async def _page(self, _: Request) -> Response:
        found, _more = self.books.page("event", Slice(limit=LISTED))
        shown = [one | {"text": json.dumps(one.get("detail"), indent=2)} for one in found]
        return self.pages.show("events.html", events=shown)

    async def _list(self, request: Request) -> Response:
        """List what came, newest first; `object`, `type` (the event's) and `after` narrow it."""
        query = request.query_params
        names = {"object": "detail.event.object_id", "type": "detail.event.type"}
        equals = {path: query[name] for name, path in names.items() if name in query}
        limit = query.get("limit", "")
        part = Slice(
            limit=min(int(limit), 10_000) if limit.isdecimal() else 100,
            after=query.get("after"),
            equals=equals,
        )
        found, more = self.books.page("event", part)
        return JSONResponse({"events": [public(one) for one in found], "has_more": more})
