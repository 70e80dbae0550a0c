"""Simulators whose time stands still: what is due later happens when a test moves the clock.

A payment that its bank decides after two seconds is pending for as long as a test looks at it,
however slow the machine is, and no webhook of an earlier test comes into a later one by itself.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

from gateway_bench import PROGRAM, Server

STANDING = """
from sandbox.gateways.server.state import Store
Store.exact_now = lambda store: {began!r} + store.skew
"""


class StandingServer(Server):
    """The simulators as a process of their own, at the moment in which it was started."""

    def __init__(self, state: Path, options: tuple[str, ...]) -> None:
        self.began = int(time.time() * 1024) / 1024  # whole seconds added to it are exact
        super().__init__(
            state, program=STANDING.format(began=self.began) + PROGRAM, options=options
        )

    def now(self, skew: float) -> datetime:
        return datetime.fromtimestamp(self.began + skew, UTC)
