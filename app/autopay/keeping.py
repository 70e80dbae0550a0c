"""Keeping what gateways answered: as many answers in one call as have come meanwhile."""

import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from app import inbox
from app.context import Context
from app.errors import AppError
from app.gateways import Finding, Outcome
from app.graphql import QueryError

log = logging.getLogger(__name__)

ANSWERS = 32  # in one call


@dataclass(frozen=True, slots=True)
class Answer:
    """What a gateway said of an order."""

    order: dict[str, Any]
    finding: Finding
    event_id: str


class Keeper:
    """One thread, and the answers that wait for it."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._waiting: deque[Answer] = deque()
        # Ids of events: of the answers that no longer wait, and of those the database has.
        self._taken: set[str] = set()
        self._kept: set[str] = set()
        self._thread = ThreadPoolExecutor(1)

    def keep(self, order: dict[str, Any], finding: Finding) -> Future[str]:
        """Have an answer kept; the future tells how the charge ended. Does not wait."""
        answer = Answer(order, finding, inbox.event_id("answer", finding.words()))
        self._waiting.append(answer)
        return self._thread.submit(copy_context().run, self._end, answer)

    def close(self) -> None:
        """Wait until all is kept."""
        self._thread.shutdown()

    def _end(self, answer: Answer) -> str:
        while answer.event_id not in self._taken:
            self._keep_waiting()
        if answer.event_id not in self._kept:
            _keep_alone(self._ctx, answer)
        return str(answer.finding.outcome)

    def _keep_waiting(self) -> None:
        """Keep in one call what waits. What cannot be kept so is left to be kept alone."""
        answers = [self._waiting.popleft() for _ in range(min(ANSWERS, len(self._waiting)))]
        self._taken.update(answer.event_id for answer in answers)
        if len(answers) > 1:
            self._kept.update(_keep_together(self._ctx, answers))


@contextmanager
def keeping(ctx: Context) -> Iterator[Keeper]:
    """Keep answers for as long as the block runs."""
    keeper = Keeper(ctx)
    try:
        yield keeper
    finally:
        keeper.close()


def _keep_alone(ctx: Context, answer: Answer) -> None:
    order = answer.order
    inbox.keep(ctx, order["gateway"], answer.finding, "answer", account=order["gateway_account"])


def _keep_together(ctx: Context, answers: list[Answer]) -> list[str]:
    """Keep charges that went well, and answer the ids of their events: of all or of none."""
    told = [_told(ctx, each) for each in answers if each.finding.outcome is Outcome.PAID]
    try:
        rows = ctx.hasura.run("KeepAutopayAnswers", answers=told) if told else []
    except (AppError, QueryError) as failure:
        log.warning("answers are kept one by one: %s", failure)
        return []
    return [row["event_id"] for row in rows]


def _told(ctx: Context, answer: Answer) -> dict[str, Any]:
    return {
        "gateway": answer.order["gateway"],
        "gateway_account": answer.order["gateway_account"],
        "event_id": answer.event_id,
        "occurred_at": ctx.now().isoformat(),
        "finding": answer.finding.words(),
    }
