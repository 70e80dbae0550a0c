"""Refunds that somebody made at a gateway, past us: its lists tell of them where no message did."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from app import inbox
from app.context import Context
from app.gateways import Finding, Outcome

BATCH = 100  # of refunds that our books are asked about at once
ON_THE_WAY = frozenset({Outcome.PENDING, Outcome.SUCCEEDED})  # any other has moved no money of ours


def bring(ctx: Context, gateway: str, listed: Iterable[Finding], *, account: str = "") -> int:
    """Bring those of a list through the door that our books have not. Answers how many.

    Our books are read after the list: what we ask for is written down before, and so is known.
    Whatever else names one of ours was not made by us.
    """
    found = [
        one for one in listed if one.outcome in ON_THE_WAY and one.gateway_refund_id is not None
    ]
    if not found:
        return 0
    names = [one.gateway_refund_id for one in found]
    ids = [one.refund_id for one in found if one.refund_id]
    rows = ctx.hasura.run("KnownRefunds", gateway=gateway, names=names, ids=ids)
    unknown = [one for one in found if not is_among(rows, one.gateway_refund_id, one.refund_id)]
    for one in unknown:
        inbox.keep(ctx, gateway, replace(one, refund_id=None), "look-up", account=account)
    return len(unknown)


def is_among(rows: Iterable[dict[str, Any]], name: str | None, refund_id: str | None) -> bool:
    """Tell whether one of the rows of refunds has that name at the gateway, or that id of ours.

    Of what both leave open nothing follows: a refund of ours whose answer was lost has no name yet,
    and one that was made at the gateway no id of ours.
    """
    return any(
        (name is not None and row["gateway_refund_id"] == name) or row["id"] == refund_id
        for row in rows
    )


def bring_new(ctx: Context, gateway: str, listed: Iterator[Finding]) -> Iterator[int]:
    """Do so with a list of whichever payments, part by part: those that are not ours are left out.

    Answers after each part how many were brought, for whoever asks may have no more time.
    """
    while part := list(islice(listed, BATCH)):
        names = [one.gateway_payment_id for one in part if one.gateway_payment_id]
        rows = ctx.hasura.run("KnownPayments", gateway=gateway, names=names)
        ours = {row["gateway_payment_id"] for row in rows}
        yield bring(ctx, gateway, [one for one in part if one.gateway_payment_id in ours])
