"""Keeping what gateways answered: as many answers in one call as have come meanwhile."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from app import inbox
from app.context import Context
from app.gateways import Finding, Outcome

ANSWERS = 32  # in one call


class Keeper:
    """One thread, and the answers that wait for it.

    Not the line of webhooks (`ctx.inbox`): there each message has a thread that waits for its row,
    and here nobody waits, which charges a quarter more in the same time.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._waiting: deque[inbox.Message] = deque()
        # Ids of events: of the answers that no longer wait, and of those the database has.
        self._taken: set[str] = set()
        self._kept: set[str] = set()
        self._thread = ThreadPoolExecutor(1)

    def keep(self, order: dict[str, Any], finding: Finding) -> Future[str]:
        """Have an answer kept; the future tells how the charge ended. Does not wait."""
        account = order["gateway_account"]
        answer = inbox.message(self._ctx, order["gateway"], finding, "answer", account=account)
        self._waiting.append(answer)
        return self._thread.submit(copy_context().run, self._end, answer, finding.outcome)

    def close(self) -> None:
        """Wait until all is kept."""
        self._thread.shutdown()

    def _end(self, answer: inbox.Message, outcome: Outcome) -> str:
        while answer["event_id"] not in self._taken:
            self._keep_waiting()
        if answer["event_id"] not in self._kept:
            inbox.receive_alone(self._ctx, answer)
        return str(outcome)

    def _keep_waiting(self) -> None:
        """Keep in one call what waits. What cannot be kept so is left to be kept alone."""
        answers = [self._waiting.popleft() for _ in range(min(ANSWERS, len(self._waiting)))]
        self._taken.update(answer["event_id"] for answer in answers)
        if len(answers) > 1:
            rows = inbox.receive_together(self._ctx, answers)
            self._kept.update(row["event_id"] for row in rows if row)


@contextmanager
def keeping(ctx: Context) -> Iterator[Keeper]:
    """Keep answers for as long as the block runs."""
    keeper = Keeper(ctx)
    try:
        yield keeper
    finally:
        keeper.close()
