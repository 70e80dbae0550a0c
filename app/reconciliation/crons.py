"""What must hold is looked at, not assumed."""

import logging
from collections import Counter

from app.context import Context
from app.endpoints import cron
from app.errors import AppError
from app.graphql import QueryError, has_time

log = logging.getLogger(__name__)


@cron
def check_invariants(ctx: Context) -> dict[str, int]:
    """Read every invariant, part by part, for as long as there is time; the next tick goes on.

    What is broken is an exception, and an error in the log; so is what could not be read, for
    nobody knows whether it holds.
    """
    for view in ctx.hasura.run("BeginInvariantChecks"):
        _read(ctx, view["name"])
    found: Counter[str] = Counter()
    for fault in ctx.hasura.run("EndInvariantChecks"):
        log.error("%s: %s: %s", fault["class"], fault["object_type"], fault["detail"])
        found[fault["class"]] += 1
    return {"broken": found["invariant-broken"], "not_read": found["invariant-not-read"]}


def _read(ctx: Context, name: str) -> None:
    """Read a view to its end. Where that fails, the others need not wait for it."""
    while has_time():
        try:
            parts = ctx.hasura.run("ReadInvariant", view=name)
        except (AppError, QueryError) as failure:
            ctx.hasura.run("PutOffInvariant", view=name, reason=str(failure))
            return
        if not parts or not int(parts[0]["position"]):
            return
