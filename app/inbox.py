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


def keep_found(ctx: Context, row: dict[str, Any], finding: Finding) -> dict[str, Any]:
    """Keep what a look-up of an attempt or a refund found, beside how that stood with us.

    The same words again change nothing, but where a late message has opened it anew meanwhile,
    they end it anew.
    """
    words = finding.words() | {"stood": row["status"]}
    return keep_words(ctx, row["gateway"], words, "look-up", account=row["gateway_account"])


def keep_words(
    ctx: Context, gateway: str, words: dict[str, Any], kind: str, *, account: str = ""
) -> dict[str, Any]:
    """Keep a finding that is written in the database's words already."""
    row: dict[str, Any] = ctx.hasura.one(
        "ReceiveGatewayEvent",
        gateway=gateway,
        account=account,
        livemode=ctx.settings.livemode,
        eventId=event_id(kind, words),
        type=kind,
        occurredAt=ctx.now().isoformat(),
        payload=words,
        notice=words,
    )
    return row


def event_id(kind: str, words: dict[str, Any]) -> str:
    """Name what a gateway said by its content, as nobody else does."""
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()
    return f"{kind}:{digest}"
