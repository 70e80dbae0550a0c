"""Scripted faults: what a test tells a simulator to get wrong, how often and for which call.

A fault names a gateway and an operation, such as `checkout.sessions.create` for a call or
`webhook:checkout.session.completed` for a delivery; both may hold `*`. Faults are taken in
the order in which they were added, one a call, and live in memory: a restart is a clean slate.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import count
from typing import Any


class Kind(StrEnum):
    """Everything that can go wrong."""

    # of calls
    REFUSE = "refuse"  # the connection closes and nothing happened
    TIMEOUT_BEFORE_EFFECT = "timeout_before_effect"  # silence, then the connection closes
    LOST_ANSWER = "lost_answer"  # the effect happens and the connection closes
    LATE_EFFECT = "late_effect"  # the connection closes; the effect happens some seconds later
    ERROR_500 = "error_500"  # a server error, and nothing happened
    ERROR_AFTER_EFFECT = "error_after_effect"  # a server error, but the effect happened
    RATE_LIMITED = "rate_limited"  # 429, and nothing happened
    SLOW = "slow"  # the right answer, late
    NONSENSE = "nonsense"  # a page of HTML with status 200
    MALFORMED = "malformed"  # half of the JSON
    EMPTY = "empty"  # status 200 and no body
    OTHER_LINK = "other_link"  # a UPI link for n paise more than was asked for
    # of webhooks
    DROP = "drop"  # never sent
    DUPLICATE = "duplicate"  # sent n times more
    DELAY = "delay"  # first sent after some seconds
    WRONG_SIGNATURE = "wrong_signature"  # signed with another secret
    STALE = "stale"  # signed some seconds ago
    FUTURE = "future"  # signed some seconds ahead
    HOLD = "hold"  # kept until released
    WRONG_AMOUNT = "wrong_amount"  # every amount is n too high, and the signature is right


OF_WEBHOOKS = frozenset(
    {
        Kind.DROP,
        Kind.DUPLICATE,
        Kind.DELAY,
        Kind.WRONG_SIGNATURE,
        Kind.STALE,
        Kind.FUTURE,
        Kind.HOLD,
        Kind.WRONG_AMOUNT,
    }
)


@dataclass(slots=True)
class Fault:
    """One scripted fault.

    `times` is how many calls it still spoils, None for all until it is cleared: an outage is
    `refuse` of `*` without an end. `seconds` belongs to slow, timeout_before_effect, delay,
    stale and future, and to late_effect in simulated time; `n` to duplicate, wrong_amount and
    other_link; `attempts` says how many sendings of one webhook carry the bad signature. `effect`
    tells nonsense, malformed and empty whether the call has its effect.
    """

    gateway: str
    operation: str
    kind: Kind
    times: int | None = 1
    seconds: float = 1.0
    n: int = 1
    attempts: int = 1
    effect: bool = True
    id: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class BadFaultError(ValueError):
    """The description of a fault makes no sense; the message says why."""


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = count(1)

    def add(self, description: Mapping[str, Any]) -> Fault:
        """Add a fault from JSON. Raises BadFaultError, naming what is wrong."""
        fault = read_fault(description)
        fault.id = next(self._ids)
        self._faults.append(fault)
        return fault

    def all(self) -> list[Fault]:
        return list(self._faults)

    def clear(self) -> None:
        self._faults.clear()

    def take(self, gateway: str, operation: str) -> Fault | None:
        """Take the first fault that fits, using up one of its times."""
        for fault in self._faults:
            if fnmatchcase(gateway, fault.gateway) and _fits(operation, fault):
                self._use(fault)
                return fault
        return None

    def _use(self, fault: Fault) -> None:
        if fault.times is None:
            return
        fault.times -= 1
        if fault.times <= 0:
            self._faults.remove(fault)


def _fits(operation: str, fault: Fault) -> bool:
    """Match by pattern; a bare `*` for calls does not spoil webhooks."""
    same_side = operation.startswith("webhook:") == (fault.kind in OF_WEBHOOKS)
    return same_side and fnmatchcase(operation, fault.operation)


def read_fault(description: Mapping[str, Any]) -> Fault:
    known = {field.name for field in fields(Fault)} - {"id"}
    unknown = set(description) - known
    if unknown:
        raise BadFaultError(f"unknown: {', '.join(sorted(unknown))}")
    try:
        fault = Fault(**description)
        fault.kind = Kind(fault.kind)
    except (TypeError, ValueError) as error:
        raise BadFaultError(str(error)) from error
    for name in ("seconds", "n", "attempts"):
        if not isinstance(getattr(fault, name), (int, float)) or getattr(fault, name) < 0:
            raise BadFaultError(f"{name} must be a number from 0")
    times: object = fault.times
    if times is not None and (not isinstance(times, int) or times < 1):
        raise BadFaultError("times must be a whole number from 1, or null for always")
    return fault
