"""Webhook endpoints: their secrets, and that one which fails for a day is switched off.

A message is signed with the secret that was in force when it was made, even if it is sent again
after the secret was changed: an endpoint's name on a parcel ends in the secret's number.
"""

from collections.abc import Sequence

from sandbox.gateways.razorpay.objects import every
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
                    "after": self._latest(),  # of the deliveries: whether it failed since
                    "secrets": list(secrets),  # the first is in force until another is made
                    "current": 0,
                }
                self.books.insert(KIND, endpoint)

    def wanting(self, kind: str) -> list[Document]:
        """List who is to hear of a type of event."""
        return [
            one
            for one in every(self.books, KIND)
            if {"*", kind} & set(one["events"]) and self.is_on(one)
        ]

    def is_on(self, endpoint: Document) -> bool:
        """Say whether no message to an endpoint was given up since it was switched on."""
        row = self.books.store.db.execute(
            "select count(*) as n from deliveries where gateway = ? and endpoint like ?"
            " and state = 'given_up' and id > ?",
            (self.books.gateway, f"{endpoint['id']}:%", endpoint["after"]),
        ).fetchone()
        return int(row["n"]) == 0

    def switch_on(self) -> None:
        """Switch on what failed for a day, as one does in the dashboard."""
        for one in every(self.books, KIND):
            one["after"] = self._latest()
            self.books.update(KIND, one)

    def _latest(self) -> int:
        row = self.books.store.db.execute("select max(id) as latest from deliveries").fetchone()
        return int(row["latest"] or 0)

    def secrets(self, name: str) -> list[str]:
        """Give the secret that signs for an endpoint's name on a parcel."""
        identifier, _, number = name.partition(":")
        found = self.books.find(KIND, identifier)
        if found is None:
            return []
        return [
            found["secrets"][min(int(number), len(found["secrets"]) - 1)]
        ]  # fewer after a restart

    def roll(self, secret: str) -> None:
        """Change the secret of all; messages made before keep their old one."""
        for one in every(self.books, KIND):
            one["secrets"].append(secret)
            one["current"] = len(one["secrets"]) - 1
            self.books.update(KIND, one)


def name_on_parcels(endpoint: Document) -> str:
    return f"{endpoint['id']}:{endpoint['current']}"
