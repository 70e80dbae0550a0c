"""Which gateways answer questions, as all instances of the service together have found.

A gateway is left alone after five silences in a row at an operation: opening a page, charging a
saved method, sending a refund, looking up, capturing, telling of disputes. Of the first three the
database hears by what is written down of them anyway; of a question that finds nothing new nothing
is written, so it is told here. Only silence and failures of a gateway's own count. A no ends them
as a yes does; a wrong key of ours and too many requests say nothing of whether it works, nor does a
question that there was no time to ask. Too many requests are noted for this process alone
(app/pauses.py).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from app.capabilities import Capability
from app.context import Context
from app.errors import (
    GatewayBusyError,
    GatewayRefusedError,
    GatewaySilentError,
    ServiceUnavailableError,
)


def looking_up(ctx: Context, row: dict[str, Any]) -> AbstractContextManager[None]:
    """Note silence, and the first answer after it. A gateway that works costs no request.

    `row` says of which gateway, and whether it was failing when the row was read.
    """
    return _asking(ctx, row, "look-up")


def capturing(ctx: Context, row: dict[str, Any]) -> AbstractContextManager[None]:
    """Note the same of a capture."""
    return _asking(ctx, row, "capture")


def reading_disputes(ctx: Context, poll: dict[str, Any]) -> AbstractContextManager[None]:
    """Note the same of a question about disputes, which some gateways answer elsewhere."""
    return _asking(ctx, poll, "dispute")


@contextmanager
def _asking(ctx: Context, row: dict[str, Any], operation: str) -> Iterator[None]:
    try:
        yield
    except GatewayBusyError as failure:
        ctx.pauses.note(row["gateway"], failure)
        raise
    except GatewaySilentError:
        row["is_gateway_failing"] = True  # for the next question by the same row
        _note(ctx, "NoteGatewaySilence", row, operation)
        raise
    except GatewayRefusedError:
        _note_answer(ctx, row, operation)
        raise
    _note_answer(ctx, row, operation)


def _note_answer(ctx: Context, row: dict[str, Any], operation: str) -> None:
    if row["is_gateway_failing"]:
        _note(ctx, "NoteGatewayAnswer", row, operation)


def _note(ctx: Context, word: str, row: dict[str, Any], operation: str) -> None:
    named = [operation]
    # Where pages are opened without a question, look-ups alone tell whether they would work.
    if operation == "look-up" and _opens_unasked(ctx, row):
        named.append("open")
    with suppress(ServiceUnavailableError):  # it is a hint, and what was found is worth more
        ctx.hasura.run(word, gateway=row["gateway"], operations=named)


def _opens_unasked(ctx: Context, row: dict[str, Any]) -> bool:
    return Capability.UNASKED in ctx.gateway(row["gateway"]).capabilities
