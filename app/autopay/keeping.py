"""Keeping what gateways answered: as many answers in one call as have come meanwhile."""

import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
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
    """What a gateway said of an order; `kept` ends when the database has it."""

    order: dict[str, Any]
    finding: Finding
    event_id: str
    kept: Future[str] = field(default_factory=Future)


class Keeper:
    """One thread, and the answers that wait for it."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._waiting: deque[Answer] = deque()
        self._thread = ThreadPoolExecutor(1)

    def keep(self, order: dict[str, Any], finding: Finding) -> Future[str]:
        """Have an answer kept; the future tells how the charge ended. Does not wait."""
        answer = Answer(order, finding, inbox.event_id("answer", finding.words()))
        self._waiting.append(answer)
        self._thread.submit(copy_context().run, self._work)
        return answer.kept

    def close(self) -> None:
        """Wait until all is kept."""
        self._thread.shutdown()

    def _work(self) -> None:
        """Keep what waits. Called once for each answer, so that none is left."""
        answers = list(self._taken())
        try:
            done = _keep_together(self._ctx, answers) if len(answers) > 1 else frozenset()
        except BaseException as failure:  # noqa: BLE001  # whoever waits for an answer raises it
            for answer in answers:
                answer.kept.set_exception(failure)
            return
        for answer in answers:
            self._end(answer, is_kept=answer.event_id in done)

    def _end(self, answer: Answer, *, is_kept: bool) -> None:
        try:
            if not is_kept:
                _keep_alone(self._ctx, answer)
        except BaseException as failure:  # noqa: BLE001  # the same
            answer.kept.set_exception(failure)
        else:
            answer.kept.set_result(str(answer.finding.outcome))

    def _taken(self) -> Iterator[Answer]:
        with suppress(IndexError):
            for _ in range(ANSWERS):
                yield self._waiting.popleft()


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


def _keep_together(ctx: Context, answers: list[Answer]) -> frozenset[str]:
    """Keep charges that went well, and answer which: all of them or none."""
    told = [_told(ctx, each) for each in answers if each.finding.outcome is Outcome.PAID]
    try:
        rows = ctx.hasura.run("KeepAutopayAnswers", answers=told) if told else []
    except (AppError, QueryError) as failure:
        log.warning("answers are kept one by one: %s", failure)
        return frozenset()
    return frozenset(row["event_id"] for row in rows)


def _told(ctx: Context, answer: Answer) -> dict[str, Any]:
    return {
        "gateway": answer.order["gateway"],
        "gateway_account": answer.order["gateway_account"],
        "event_id": answer.event_id,
        "occurred_at": ctx.now().isoformat(),
        "finding": answer.finding.words(),
    }
