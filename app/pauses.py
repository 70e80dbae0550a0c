"""Gateways that were asked too often: for a while the crons ask them nothing.

Each process finds that out by itself. It is no secret among all, as silence is (app/circuits.py):
who hammers one of our pages must not close a gateway for everybody. People's own questions are
asked all the same.
"""

from time import monotonic

from app.errors import GatewayBusyError

SECONDS = 30  # where the gateway does not say for how long: until the next tick
SECONDS_MAX = 600  # whatever it says: payments wait for what is not asked


class Pauses:
    """Until when each gateway is left alone. For many threads at once."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, gateway: str, failure: Exception | None) -> None:
        """Leave a gateway alone if that is what its failure asks for."""
        if isinstance(failure, GatewayBusyError):
            wanted = SECONDS if failure.seconds is None else failure.seconds
            self._until[gateway] = monotonic() + min(max(wanted, 1), SECONDS_MAX)

    @property
    def gateways(self) -> list[str]:
        """The gateways that are left alone now."""
        now = monotonic()
        return sorted(name for name, until in list(self._until.items()) if now < until)
