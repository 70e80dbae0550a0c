"""Webhook endpoints: their secrets, and that one which fails for a day is switched off.

A message is signed with the secret that was in force when it was made, even if it is sent again
after the secret was changed: an endpoint's name on a parcel ends in the secret's number.
"""

from collections.abc import Sequence

from sandbox.gateways.razorpay.objects import every, new_id
from sandbox.gateways.server.state import Books, Document

KIND = "webhook"


class Endpoints:
    def __init__(self, books: Books) -> None:
        self.books = books

    def configure(self, urls: Sequence[str], secrets: Sequence[str], events: Sequence[str]) -> None:
        """Make the endpoints named on the command line exist, switched on, and no others."""
        with self.books.store.transaction():
            for known in every(self.books, KIND):
                self.books.delete(KIND, known["id"])
            for number, url in enumerate(urls, start=1):
                endpoint = {
                    "id": f"webhook{number}",
                    "created": self.books.store.now(),
                    "url": url,
                    "events": list(events),
                    "active": True,
                    "secrets": list(secrets),  # the first is in force until another is made
                    "current": 0,
                }
                self.books.insert(KIND, endpoint)

    def wanting(self, kind: str) -> list[Document]:
        """List who is to hear of a type of event."""
        return [
            one
            for one in every(self.books, KIND)
            if one["active"] and {"*", kind} & set(one["events"])
        ]

    def secrets(self, name: str) -> list[str]:
        """Give the secret that signs for an endpoint's name on a parcel."""
        identifier, _, number = name.partition(":")
        found = self.books.find(KIND, identifier)
        return [found["secrets"][int(number)]] if found else []

    def roll(self) -> str:
        """Change the secret of all; messages made before keep their old one."""
        secret = new_id("invented-")
        for one in every(self.books, KIND):
            one["secrets"].append(secret)
            one["current"] = len(one["secrets"]) - 1
            self.books.update(KIND, one)
        return secret

    def switch(self, name: str | None, *, active: bool) -> None:
        """Switch an endpoint on or off, or all of them."""
        for one in every(self.books, KIND):
            if name is None or one["id"] == name.partition(":")[0]:
                one["active"] = active
                self.books.update(KIND, one)


def name_on_parcels(endpoint: Document) -> str:
    return f"{endpoint['id']}:{endpoint['current']}"
