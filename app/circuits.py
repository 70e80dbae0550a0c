"""Which gateways answer look-ups, as all instances of the service together have found.

A gateway is left alone after five silences in a row at an operation: opening a page, charging a
saved method, sending a refund, looking up. Of the first three the database hears by what is
written down of them anyway; of a look-up that finds nothing new nothing is written, so it is told
here. Only silence and failures of a gateway's own count. A no ends them as a yes does; a wrong key
of ours and too many requests say nothing of whether it works.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from app.capabilities import Capability
from app.context import Context
from app.errors import GatewayRefusedError, GatewaySilentError, ServiceUnavailableError


@contextmanager
def looking_up(ctx: Context, row: dict[str, Any]) -> Iterator[None]:
    """Note silence, and the first answer after it. A gateway that works costs no request.

    `row` says of which gateway, and whether it was failing when the row was read.
    """
    try:
        yield
    except GatewaySilentError:
        _note(ctx, "NoteGatewaySilence", row)
        raise
    except GatewayRefusedError:
        _note_answer(ctx, row)
        raise
    _note_answer(ctx, row)


def _note_answer(ctx: Context, row: dict[str, Any]) -> None:
    if row["is_gateway_failing"]:
        _note(ctx, "NoteGatewayAnswer", row)


def _note(ctx: Context, operation: str, row: dict[str, Any]) -> None:
    gateway = ctx.gateway(row["gateway"])
    is_unasked = Capability.UNASKED in gateway.capabilities
    # Where pages are opened without a question, look-ups alone tell whether they would work.
    named = ["look-up", "open"] if is_unasked else ["look-up"]
    with suppress(ServiceUnavailableError):  # it is a hint, and what was found is worth more
        ctx.hasura.run(operation, gateway=row["gateway"], operations=named)
