"""A payment's names in a path: its own id, or the display id of the order that it pays."""

import re
from uuid import UUID

from app.context import Context
from app.errors import NotFoundError

DISPLAY_ID = re.compile(r"TXN-[0-9A-F]{10}")


def payment_intent_id(ctx: Context, written: str) -> str:
    """Find whom a path means. Raises NotFoundError, too where two organisations might be meant."""
    if DISPLAY_ID.fullmatch(written):
        rows = ctx.hasura.run("FindOrders", displayId=written)
        if len(rows) == 1:
            return str(rows[0]["payment_intent_id"])
    else:
        try:
            return str(UUID(written))
        except ValueError:
            pass
    message = "there is no such payment"
    raise NotFoundError(message)
