"""The inbox: whatever a gateway says of money comes in here, and nowhere else.

A webhook, the answer to a call and the result of a look-up are stored and applied by one SQL
function, so that each of them may come first, twice, late or not at all. What comes while others
are on their way goes with the next call, and is applied in one transaction with those.
"""

import hashlib
import json
import logging
from functools import partial
from typing import Any

from app.batches import Batches
from app.context import Context
from app.errors import AppError
from app.gateways import Finding, Notice
from app.graphql import QueryError

log = logging.getLogger(__name__)

CALLS_MAX = 2  # at a time: the database needs time for one of them, the way there for another
CROWD = 4  # that waits before a second call begins: one of fewer is not worth its while
MESSAGES_MAX = 32  # in a call

Message = dict[str, Any]  # a row of gateway_events, as far as it is known here
Messages = Batches[Message, dict[str, Any]]


def messages() -> Messages:
    """Make the line in which the messages of a process wait."""
    return Batches(CALLS_MAX, CROWD, MESSAGES_MAX)


def receive(ctx: Context, gateway: str, notice: Notice) -> dict[str, Any]:
    """Keep a genuine webhook and act on it; the same event id again: the same row, no effect.

    When applying fails the message is kept and a cron tries again, so an answer always means: we
    have it.
    """
    return _receive(
        ctx,
        {
            "gateway": gateway,
            "gateway_account": notice.account,
            "livemode": notice.livemode,
            "event_id": notice.event_id,
            "type": notice.type,
            "occurred_at": notice.occurred_at.isoformat(),
            "payload": notice.raw,
            "notice": notice.words(),
        },
    )


def hear(ctx: Context, gateway: str, notice: Notice, body: bytes) -> None:
    """Follow a hint that nobody signed, and count it; again: counted again, and no other effect.

    It is not kept: whoever finds the address could fill the table. What it hints at is brought
    forward before this answers, so a crash before that is an answer that its gateway never had.
    """
    ctx.hasura.run(
        "HearHint",
        gateway=gateway,
        account=notice.account,
        notice=notice.words(),
        bodyHash=hashlib.sha256(body).hexdigest(),
    )


def keep(
    ctx: Context, gateway: str, finding: Finding, kind: str, *, account: str = ""
) -> dict[str, Any]:
    """Keep what a gateway answered to a call of ours (`answer`) or a question (`look-up`).

    The event id is made of the content: the same words again change nothing.
    """
    return _receive(ctx, message(ctx, gateway, finding, kind, account=account))


def keep_found(
    ctx: Context, row: dict[str, Any], finding: Finding, **more: object
) -> dict[str, Any]:
    """Keep what a look-up of an attempt or a refund found, beside how that stood with us.

    The same words again change nothing, but where a late message has opened it anew meanwhile,
    they end it anew. `more` makes them others.
    """
    words = finding.words() | {"stood": row["status"], **more}
    return keep_words(ctx, row["gateway"], words, "look-up", account=row["gateway_account"])


def keep_words(
    ctx: Context, gateway: str, words: dict[str, Any], kind: str, *, account: str = ""
) -> dict[str, Any]:
    """Keep a finding that is written in the database's words already."""
    return _receive(ctx, _message(ctx, gateway, words, kind, account=account))


def message(
    ctx: Context, gateway: str, finding: Finding, kind: str, *, account: str = ""
) -> Message:
    """Write what `keep` keeps."""
    return _message(ctx, gateway, finding.words(), kind, account=account)


def _message(
    ctx: Context, gateway: str, words: dict[str, Any], kind: str, *, account: str
) -> Message:
    return {
        "gateway": gateway,
        "gateway_account": account,
        "livemode": ctx.settings.livemode,
        "event_id": event_id(kind, words),
        "type": kind,
        "occurred_at": ctx.now().isoformat(),
        "payload": words,
        "notice": words,
    }


def event_id(kind: str, words: dict[str, Any]) -> str:
    """Name what a gateway said by its content, as nobody else does."""
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()
    return f"{kind}:{digest}"


def receive_together(ctx: Context, told: list[Message]) -> list[dict[str, Any] | None]:
    """Receive messages in one call, and answer their rows; None for one that must come alone."""
    try:
        rows = ctx.hasura.run("ReceiveGatewayEvents", messages=told)
    except (AppError, QueryError) as failure:
        log.warning("messages are received one by one: %s", failure)
        rows = []
    kept = {_name(row): row for row in rows}
    return [kept.get(_name(each)) for each in told]


def receive_alone(ctx: Context, told: Message) -> dict[str, Any]:
    """Receive one message, whatever is to be done about it."""
    row: dict[str, Any] = ctx.hasura.one(
        "ReceiveGatewayEvent",
        gateway=told["gateway"],
        account=told["gateway_account"],
        livemode=told["livemode"],
        eventId=told["event_id"],
        type=told["type"],
        occurredAt=told["occurred_at"],
        payload=told["payload"],
        notice=told["notice"],
    )
    return row


def _receive(ctx: Context, told: Message) -> dict[str, Any]:
    return ctx.inbox.join(told, partial(_receive_waiting, ctx)) or receive_alone(ctx, told)


def _receive_waiting(ctx: Context, waiting: list[Message]) -> list[dict[str, Any] | None]:
    if len(waiting) == 1:
        return [receive_alone(ctx, waiting[0])]
    return receive_together(ctx, waiting)


def _name(told: Message) -> tuple[str, ...]:
    return told["gateway"], told["gateway_account"], told["event_id"]
