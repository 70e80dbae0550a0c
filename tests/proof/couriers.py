"""The couriers' bags: every webhook that a simulator has queued, kept until the test delivers it.

The simulators hold their webhooks back (a fault of theirs), and the test takes them from the queue.
A message is signed by the gateway's own simulator at the moment it is delivered, as gateways do
when they send one again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sandbox import gateways, world
from sandbox.gateways.server.app import build_house
from sandbox.gateways.server.deliveries import Delivery, Parcel
from sandbox.gateways.server.simulator import Options, Postman, Signed

HELD = {"gateway": "*", "operation": "webhook:*", "kind": "hold", "times": None}
COLUMNS = "id, gateway, endpoint, event, type, url, body, created"


class Bags:
    """What the simulators of one stage have queued."""

    def __init__(self, books: sqlite3.Connection, scratch: Path) -> None:
        self.books = books
        house = build_house(scratch, "http://signing.test")
        self._store = house.store
        self._signers = {
            name: gateways.load(name, house, Options(secrets=(secret,), keys=(key,)))
            for name, (key, secret) in world.SIMULATED.items()
        }

    def close(self) -> None:
        self._store.close()

    def position(self) -> int:
        (found,) = self.books.execute("select max(id) from deliveries").fetchone()
        return int(found or 0)

    def after(self, position: int) -> Iterator[Delivery]:
        """Give what was queued since, oldest first."""
        rows = self.books.execute(
            f"select {COLUMNS} from deliveries where id > ? order by id", (position,)
        ).fetchall()
        for number, *parcel, created in rows:
            yield Delivery(number, Parcel(*parcel), attempts=0, created=created, fault=None)

    def sign(self, delivery: Delivery, at: int) -> Signed:
        """Write a message as its gateway sends it at that time, in Unix seconds."""
        name = delivery.parcel.gateway
        signer = self._signers[name]
        signed = signer.sign(delivery.parcel.body, [world.SIMULATED[name][1]], at)
        if isinstance(signer, Postman):
            signed.headers.update(signer.envelope(delivery))
        return signed
