"""Events: written with the change they report, and queued for every endpoint that wants them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from stripe._api_version import _ApiVersion
from stripe.params._event_list_params import EventListParams

from sandbox.gateways.server.deliveries import Outbox, Parcel
from sandbox.gateways.server.state import Document, public
from sandbox.gateways.stripe.call_books import CallBooks
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.errors import no_such, not_simulated
from sandbox.gateways.stripe.objects import list_of, new_id, read_slice, show

API_VERSION = _ApiVersion.CURRENT
NOBODY: Document = {"id": None, "idempotency_key": None}


class Events:
    def __init__(self, books: CallBooks, outbox: Outbox) -> None:
        self.books = books
        self.outbox = outbox
        self._cause = NOBODY

    @contextmanager
    def caused_by(self, request: str, key: str | None) -> Iterator[None]:
        """Name the API request behind the events made inside."""
        self._cause = {"id": request, "idempotency_key": key}
        try:
            yield
        finally:
            self._cause = NOBODY

    def emit(self, kind: str, subject: Document, previous: Document | None = None) -> None:
        """Write an event with the subject as it is now, and queue it. Needs a transaction."""
        data: Document = {"object": public(subject)}
        if previous is not None:
            data["previous_attributes"] = previous
        event: Document = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.books.store.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": self._cause,
            "type": kind,
        }
        self.books.insert("event", event)
        wanting = [one for one in self.books.endpoints() if wants(one, kind)]
        for endpoint in wanting:
            self._queue(endpoint, event | {"pending_webhooks": len(wanting)})

    def _queue(self, endpoint: Document, event: Document) -> None:
        """Render the event in the endpoint's own API version."""
        body = event | {"api_version": endpoint["api_version"] or API_VERSION}
        text = json.dumps(body, ensure_ascii=False)
        self.outbox.post(
            Parcel(
                gateway=self.books.gateway,
                endpoint=endpoint["id"],
                event=event["id"],
                type=event["type"],
                url=endpoint["url"],
                body=text.encode(),
            )
        )

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/events", "events.list", self._list, EventListParams),
            Operation("GET", "/v1/events/{id}", "events.retrieve", self._retrieve),
        ]

    def _retrieve(self, call: Call) -> Document:
        event = self.books.find("event", call.path["id"])
        if event is None:
            raise no_such("event", call.path["id"], "id")
        return show(self.books, self._counted(event), call.params)

    def _list(self, call: Call) -> Document:
        """List events, of some types if asked; a type may end in a wildcard."""
        if "delivery_success" in call.params:
            raise not_simulated("filtering by delivery", "delivery_success")
        types = call.params.get("types") or [call.params.get("type", "*")]
        part = replace(read_slice(self.books, "event", call.params), matching={"type": types})
        found, more = self.books.page("event", part)
        return list_of("/v1/events", [self._counted(one) for one in found], more=more)

    def _counted(self, event: Document) -> Document:
        return event | {"pending_webhooks": self.outbox.pending("stripe", event["id"])}


def wants(endpoint: Document, kind: str) -> bool:
    """Tell whether an endpoint is enabled and subscribed to a type of event."""
    enabled = endpoint["enabled_events"]
    return endpoint["status"] == "enabled" and ("*" in enabled or kind in enabled)
