"""The inbox: whatever a gateway says of money comes in here, and nowhere else.

A webhook, the answer to a call and the result of a look-up are stored and applied by one SQL
function, so that each of them may come first, twice, late or not at all.
"""

import hashlib
import json
from typing import Any

from app.context import Context
from app.gateways import Finding, Notice


def receive(ctx: Context, gateway: str, notice: Notice) -> dict[str, Any]:
    """Keep a genuine webhook and act on it; the same event id again: the same row, no effect.

    When applying fails the message is kept and a cron tries again, so an answer always means: we
    have it.
    """
    row: dict[str, Any] = ctx.hasura.one(
        "ReceiveGatewayEvent",
        gateway=gateway,
        account=notice.account,
        livemode=notice.livemode,
        eventId=notice.event_id,
        type=notice.type,
        occurredAt=notice.occurred_at.isoformat(),
        payload=notice.raw,
        notice=notice.words(),
    )
    return row


def keep(
    ctx: Context, gateway: str, finding: Finding, kind: str, *, account: str = ""
) -> dict[str, Any]:
    """Keep what a gateway answered to a call of ours (`answer`) or a question (`look-up`).

    The event id is made of the content: the same words again change nothing.
    """
    return keep_words(ctx, gateway, finding.words(), kind, account=account)


def keep_words(
    ctx: Context, gateway: str, words: dict[str, Any], kind: str, *, account: str = ""
) -> dict[str, Any]:
    """Keep a finding that is written in the database's words already."""
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()
    row: dict[str, Any] = ctx.hasura.one(
        "ReceiveGatewayEvent",
        gateway=gateway,
        account=account,
        livemode=ctx.settings.livemode,
        eventId=f"{kind}:{digest}",
        type=kind,
        occurredAt=ctx.now().isoformat(),
        payload=words,
        notice=words,
    )
    return row
