"""How long an answer of ours may take, and how much of that is left.

Whoever waits for us gives up, and Lambda ends a function in the middle of whatever it does. So time
counts from a request's beginning, and nobody is spoken to for longer than what is left of it: a
gateway's silence is over while what it means can still be written down.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

ANSWER_SECONDS_MAX = 24  # Hasura gives an action up after 25
CRON_SECONDS_MAX = 27  # and a cron after a minute, but a function of ours is ended after 28
BOOKS_SECONDS = 4  # of each, in which no gateway is spoken to any more
CALL_SECONDS_MIN = 3  # what is left for a gateway, where it is worth its while to begin

_end: ContextVar[float] = ContextVar("when the answer is due", default=math.inf)


def begin(seconds: float) -> None:
    """Count from now: a request has come, which is to be answered in so many seconds."""
    _end.set(monotonic() + seconds)


def finish() -> None:
    """Count no more. Outside of a request there is any time."""
    _end.set(math.inf)


def left() -> float:
    """Answer how many seconds are left. Not above nothing: our answer is due."""
    return _end.get() - monotonic()


def left_for_gateways() -> float:
    """Answer how many seconds a gateway may still take."""
    return left() - BOOKS_SECONDS


@contextmanager
def part_for_gateways(parts: int) -> Iterator[None]:
    """Leave a gateway that part of the seconds which are left for gateways: one of so many."""
    whole = _end.get()
    before = _end.set(min(whole, monotonic() + left_for_gateways() / parts + BOOKS_SECONDS))
    try:
        yield
    finally:
        _end.reset(before)
