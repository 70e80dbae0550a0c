"""One clock. In live it is the world's; elsewhere the database may have moved it.

Handlers take the time from ctx.now(), SQL from clock_now(): both add the same skew.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic

BELIEVED_SECONDS = 1.0  # how long a skew is believed before the database is asked again


def wall_seconds() -> float:
    """Answer the machine's own time, which goes on while a process is frozen."""
    return datetime.now(UTC).timestamp()


class Clock:
    """The world's time plus the seconds that `read_skew` reports; without it, the world's time."""

    def __init__(self, read_skew: Callable[[], int] | None = None) -> None:
        self._read_skew = read_skew
        self._skew = timedelta()
        self._believed_until = 0.0

    def forget(self) -> None:
        """Ask the database again when the time is next wanted: it may just have been moved."""
        self._believed_until = 0.0

    def now(self) -> datetime:
        """Answer the time, aware and in UTC."""
        if self._read_skew and monotonic() >= self._believed_until:
            self._skew = timedelta(seconds=self._read_skew())
            self._believed_until = monotonic() + BELIEVED_SECONDS
        return datetime.now(UTC) + self._skew
