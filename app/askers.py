"""Several ask the gateways at once, each about one thing after the other, until none is due.

A gateway takes its time with each answer, and after an outage thousands wait for theirs. What one
asker claims no other does, here or in another process: so there may be any number of them. None is
left when the work is answered for, as Lambda would freeze it in its middle.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from app.context import Context
from app.http import has_time

log = logging.getLogger(__name__)

Row = dict[str, Any]
Claim = Callable[[int], list[Row]]  # of so many rows at most
Ask = Callable[[Row], bool]  # whether it came to something; what it raises ends its asker


def ask_all(ctx: Context, claim: Claim, ask: Ask) -> tuple[int, int]:
    """Claim and ask until nothing is due. Answers how many were claimed, and `ask` was true of.

    As many are claimed at first as there are askers, then one by each that has done with its own;
    and only while a gateway has time to answer: so nothing is claimed that nobody asks about. One
    asker alone is the caller itself. Raises what the claim or `ask` raised first, after all askers
    have come to their end: nobody stops for another's failure.
    """
    due = claim(ctx.settings.gateway_askers) if has_time() else []
    if not due:
        return 0, 0
    if len(due) == 1:
        return _go_on(claim, ask, due[0])
    with ThreadPoolExecutor(len(due), "asker") as pool:
        # Each thread logs under the request's id, and has its time.
        askers = [pool.submit(copy_context().run, _go_on, claim, ask, row) for row in due]
    _raise_first([failure for each in askers if (failure := each.exception())])
    counts = [each.result() for each in askers]
    return sum(asked for asked, _ in counts), sum(done for _, done in counts)


def _go_on(claim: Claim, ask: Ask, row: Row) -> tuple[int, int]:
    asked, done = 1, int(ask(row))
    while has_time() and (due := claim(1)):
        asked, done = asked + 1, done + ask(due[0])
    return asked, done


def _raise_first(failures: list[BaseException]) -> None:
    for other in failures[1:]:
        log.error("another asker failed as well", exc_info=other)
    if failures:
        raise failures[0]
