"""One town: the service, the engine before a real Postgres, and the clock they all go by.

Everything runs in this process but Postgres. What the service asks of Hasura is answered by the
sandbox's engine, what it asks of gateways by the simulators of the wave that is being played.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from simulation.dice import Fates
from simulation.hasura import Inside
from simulation.houses import Houses
from simulation.service import Service
from simulation.wires import Asked, Reply, Wires

from app.gateways import Gateway, finder
from sandbox import tokens, world

# Every gateway takes rupees here but Stripe, which takes dollars of another organisation.
CURRENCIES = {"stripe": "USD", "razorpay": "INR", "payu": "INR", "cashfree": "INR"}
PAYERS = {"USD": tokens.ADA, "INR": next(one for one in tokens.USERS if one.name == "asha")}


class Town:
    """A service that runs for many waves. Made by `open_town`."""

    def __init__(self, database_url: str, folder: Path, fates: Fates) -> None:
        self.ports = world.Ports()
        self.folder = folder
        self.fates = fates
        self.database = psycopg.connect(database_url, autocommit=True, row_factory=dict_row)
        self.hasura = Inside(database_url, self.ports)
        # One asker: whatever happens here happens in one thread, and in an order.
        own = {"LOG_LEVEL": "error", "GATEWAY_ASKERS": "1"}
        environment = world.app_environment(self.ports) | own
        self.service = Service(environment, self.hasura.client())
        self._adapters = finder(environment)
        self.houses: Houses
        self.time = 0  # of this town, in seconds since it was opened
        self.skew = 0
        self.waves = 0
        self._opened = time.monotonic()

    def open(self) -> None:
        self.hasura.open()
        self.open_houses()

    def close(self) -> None:
        if self.waves:
            self.houses.close()
        self.hasura.shut()
        self.database.close()

    def open_houses(self) -> None:
        """Have fresh simulators, whose books begin empty."""
        folder = self.folder / f"gateways-{self.waves}"
        houses = Houses(folder, self.ports, self.service, self.fates)
        if self.waves:
            self.houses.close()
        self.houses, self.waves = houses, self.waves + 1
        self.houses.move_clock(self.skew)

    def carry(self, asked: Asked) -> Reply:
        """Take what the service asks of a gateway there."""
        return self.houses.carry(asked)

    def move_clock(self, moment: int) -> None:
        """Let it be so many seconds after the town was opened, and what is due happen.

        The world's time that went by since then is taken off, so that a slow machine has no more
        to do than a fast one; but no clock ever goes back.
        """
        self.time = moment
        self.skew = max(self.skew, moment - int(time.monotonic() - self._opened))
        self.database.execute("update clock set skew_seconds = %s", [self.skew])
        self.houses.move_clock(self.skew)
        self.service.tick("apply_gateway_events")  # it reads the clock anew, as at every cron

    def adapter(self, gateway: str) -> Gateway:
        """Give an adapter of the service's settings, for what a page of ours holds."""
        return self._adapters(gateway)

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        return self.database.execute(query, values or None).fetchall()


@contextmanager
def open_town(database_url: str, folder: Path, fates: Fates) -> Iterator[Town]:
    """Open a town over a database with migrations and seeds."""
    town = Town(database_url, folder, fates)
    try:
        town.open()
        with Wires(town.carry):
            yield town
    finally:
        town.close()


def said(reply: Reply) -> dict[str, Any]:
    """Read an answer in JSON."""
    answer: dict[str, Any] = json.loads(reply.body)
    return answer
