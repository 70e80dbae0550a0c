"""What must hold is looked at, not assumed."""

import logging
import time
from collections import Counter
from collections.abc import Callable

from app.context import Context
from app.endpoints import cron
from app.errors import AppError
from app.graphql import QueryError

log = logging.getLogger(__name__)

# A function of ours is ended after 28 seconds, and the last part may take three, as may the end.
READ_SECONDS_MAX = 18


@cron
def check_invariants(ctx: Context) -> dict[str, int]:
    """Read every invariant, part by part, for as long as there is time; the next tick goes on.

    What is broken is an exception, and an error in the log; so is what could not be read, for
    nobody knows whether it holds.
    """
    give_up = time.monotonic() + READ_SECONDS_MAX
    for view in ctx.hasura.run("BeginInvariantChecks"):
        _read(ctx, view["name"], lambda: time.monotonic() > give_up)
    found: Counter[str] = Counter()
    for fault in ctx.hasura.run("EndInvariantChecks"):
        log.error("%s: %s: %s", fault["class"], fault["object_type"], fault["detail"])
        found[fault["class"]] += 1
    return {"broken": found["invariant-broken"], "not_read": found["invariant-not-read"]}


def _read(ctx: Context, name: str, time_is_up: Callable[[], bool]) -> None:
    """Read a view to its end. Where that fails, the others need not wait for it."""
    while not time_is_up():
        try:
            parts = ctx.hasura.run("ReadInvariant", view=name)
        except (AppError, QueryError) as failure:
            ctx.hasura.run("PutOffInvariant", view=name, reason=str(failure))
            return
        if not parts or not int(parts[0]["position"]):
            return
