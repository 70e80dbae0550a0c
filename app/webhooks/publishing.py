"""How events leave: claimed, sent, and written down as the destination took them.

A message is claimed by putting it off, in a transaction of its own, before it is sent. A sender
that dies anywhere leaves it to be sent again: at least once, and never by two at a time.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Protocol

from app.context import Context
from app.http import has_time
from app.webhooks import address, eventbridge
from app.webhooks.messages import Message, Outcome, Result, read

log = logging.getLogger(__name__)

SILENCES_MAX = 3  # batches without any answer, after which the rest wait for the next tick


class Destination(Protocol):
    """Where messages go."""

    batch: int  # how many are sent at a time

    def send(self, messages: list[Message], ctx: Context) -> list[Result]:
        """Send them and answer how each was taken. Raises nothing that a peer could cause."""


DESTINATIONS: Mapping[str, Callable[[Any], Destination]] = {
    "eventbridge": eventbridge.bus,
    "url": address.receiver,
}


def publish(ctx: Context, name: str, seconds: float) -> dict[str, int]:
    """Send what is due at a destination for so long, or one batch. Answers what became of it.

    Nothing is claimed that there is no time to send.
    """
    destination = DESTINATIONS[name](ctx.settings)
    told = dict.fromkeys(map(str, Outcome), 0)
    silences = 0
    give_up = monotonic() + seconds
    claim = {"destination": name, "limit": destination.batch}
    while has_time() and (rows := ctx.hasura.run("ClaimEventMessages", **claim)):
        outcomes = _send(ctx, name, destination, rows)
        for outcome in outcomes:
            told[outcome] += 1
        silences = silences + 1 if set(outcomes) == {Outcome.SILENT} else 0
        if silences == SILENCES_MAX or monotonic() >= give_up:
            break
    return told


def _send(
    ctx: Context, name: str, destination: Destination, rows: list[dict[str, Any]]
) -> list[Outcome]:
    results = _answers(ctx, destination, rows)
    ctx.hasura.run(
        "SettleEventMessages",
        destination=name,
        results=[
            {"event_id": row["id"], "outcome": result.outcome, "detail": result.detail or None}
            for row, result in zip(rows, results, strict=True)
        ],
    )
    failures = Counter(result for result in results if result.outcome is not Outcome.PUBLISHED)
    for failure, count in failures.items():
        log.warning(
            "not published: %s", failure.detail, extra={"destination": name, "events": count}
        )
    return [result.outcome for result in results]


def _answers(ctx: Context, destination: Destination, rows: list[dict[str, Any]]) -> list[Result]:
    """Send what can be put into words; what cannot is refused, and holds up nobody else."""
    messages: list[Message] = []
    results: dict[str, Result] = {}
    for row in rows:
        try:
            messages.append(read(row))
        except (ValueError, TypeError, AttributeError, RecursionError) as failure:
            results[row["id"]] = Result(Outcome.REFUSED, f"cannot be written: {failure}")
    taken = destination.send(messages, ctx) if messages else []
    results |= {message.id: result for message, result in zip(messages, taken, strict=True)}
    return [results[row["id"]] for row in rows]
