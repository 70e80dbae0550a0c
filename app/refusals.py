"""What a process refuses at its gateways' doors: counted here, and written down now and then."""

import hashlib
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from app.errors import AppError, SignatureStaleError

SECONDS_BETWEEN = 60  # two writes of a process: whoever sends many bad messages costs few of them

# The codes of what is the message's own fault. Of others the gateway sends it again.
COUNTED = frozenset(
    {"signature-invalid", "invalid-input", "payload-too-large", "forbidden", "not-found"}
)

Counts = list[dict[str, Any]]  # rows of refused_messages, as far as they are known here


class Refusals:
    """The numbers of refused messages that are not written down yet. For many threads at once.

    They are written by the thread that refuses the first message, and then by the first one that
    refuses another after a minute, whatever for: how long a refusal takes tells nothing of its
    reason. There are no more of them than gateways and reasons.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[tuple[str, str], dict[str, Any]] = {}
        self.due = 0.0  # when they are written next, by the process's stopwatch

    def note(
        self,
        gateway: str,
        refusal: AppError,
        body: bytes | None,
        write: Callable[[Counts], bool],
    ) -> None:
        """Count a message, and have `write` write all that is counted if it is time.

        It answers whether it could; if not, the numbers are kept for the next time.
        """
        if refusal.code not in COUNTED:
            return
        body_hash = None if body is None else hashlib.sha256(body).hexdigest()
        with self._lock:
            self._add(gateway, _reason(refusal), 1, body_hash)
            due = self._take()
        if due and not write(due):
            self._keep(due)

    def _add(self, gateway: str, reason: str, messages: int, body_hash: str | None) -> None:
        row = self._counts.setdefault(
            (gateway, reason), {"gateway": gateway, "reason": reason, "messages": 0}
        )
        row["messages"] += messages
        row["last_body_hash"] = body_hash

    def _take(self) -> Counts:
        """Give all that is counted if it is time. The lock is ours."""
        now = time.monotonic()
        if now < self.due:
            return []
        self.due = now + SECONDS_BETWEEN
        taken, self._counts = list(self._counts.values()), {}
        return taken

    def _keep(self, rows: Counts) -> None:
        with self._lock:
            for row in rows:
                known = self._counts.get((row["gateway"], row["reason"]), row)
                self._add(row["gateway"], row["reason"], row["messages"], known["last_body_hash"])


def _reason(refusal: AppError) -> str:
    return "stale" if isinstance(refusal, SignatureStaleError) else refusal.code
