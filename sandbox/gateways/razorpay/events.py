"""Events: written with the change they report, and queued for every endpoint that wants them."""

import json

from sandbox.gateways.razorpay.endpoints import Endpoints, name_on_parcels
from sandbox.gateways.razorpay.objects import new_id, shown
from sandbox.gateways.server.deliveries import Outbox, Parcel
from sandbox.gateways.server.state import Books, Document

ACCOUNT = "acc_SandboxAccount1"


class Events:
    def __init__(self, books: Books, outbox: Outbox, endpoints: Endpoints) -> None:
        self.books = books
        self.outbox = outbox
        self.endpoints = endpoints

    def emit(self, kind: str, **entities: Document) -> None:
        """Write an event with the entities as they are now, and queue it. Needs a transaction."""
        event: Document = {
            "entity": "event",
            "account_id": ACCOUNT,
            "event": kind,
            "contains": list(entities),
            "payload": {name: {"entity": shown(one)} for name, one in entities.items()},
            "created_at": self.books.store.now(),
        }
        identifier = new_id()
        self.books.insert(
            "event", {"id": identifier, "created": event["created_at"], "body": event}
        )
        for endpoint in self.endpoints.wanting(kind):
            self.outbox.post(
                Parcel(
                    gateway=self.books.gateway,
                    endpoint=name_on_parcels(endpoint),
                    event=identifier,
                    type=kind,
                    url=endpoint["url"],
                    body=json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode(),
                )
            )
