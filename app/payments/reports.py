"""What a gateway's settlement reports tell that no message and no list of its own told.

Whatever a gateway takes or gives back shows at last in what it pays out. So where it does not list
disputes and new refunds by time, or its pages may be paid after they are closed, each day's report
is held against our books. A report books nothing: of what our books have not the gateway is asked,
and that answer counts.
"""

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice
from typing import Any

from app import inbox, outside_refunds
from app.context import Context
from app.failures import kept_apart
from app.gateways import Capability, Finding, Gateway, Outcome, Settled, SettlementLine, Subject

log = logging.getLogger(__name__)

Attempt = dict[str, Any]

LISTS = frozenset({Capability.DISPUTES, Capability.NEW_REFUNDS})
LINES = 100  # that our books are asked about at once
# After a day of UTC's has ended, so that it is over in every zone that a gateway counts by.
IS_OVER_AFTER = timedelta(hours=12)
AGAIN = timedelta(days=2)  # for so long a day's report is read again each day, for what comes late
ONE_DAY = timedelta(days=1)


def read(ctx: Context, gateway: Gateway, poll: dict[str, Any]) -> Iterator[int]:
    """Read the reports that are due; nothing of a gateway whose lists and pages tell all of it.

    Answers after each part how many of its lines were followed, for whoever asks may have no more
    time: then the day is read again from its beginning. Followed again, a line has its gateway
    asked once more, and books nothing twice. Raises GatewayUnavailableError for a report that is
    not to be had: it is asked for again with the next poll.
    """
    if gateway.capabilities >= LISTS and Capability.PAYMENTS not in gateway.capabilities:
        return
    for day in _due(ctx, date.fromisoformat(poll["reports_until"])):
        lines = gateway.settlements(day)
        failed: Exception | None = None
        while part := list(islice(lines, LINES)):
            followed, failure = _compare(ctx, gateway, part)
            failed = failure or failed
            yield followed
        if failed:
            raise failed
        ctx.hasura.run("EndReport", gateway=gateway.name, day=day.isoformat())


def _due(ctx: Context, until: date) -> Iterator[date]:
    """List the days to be read, oldest first: when another one is over, those before it again."""
    last = (ctx.now() - IS_OVER_AFTER).date() - ONE_DAY
    day = until - AGAIN
    while last > until and day < last:
        day += ONE_DAY
        yield day


def _compare(
    ctx: Context, gateway: Gateway, lines: list[SettlementLine]
) -> tuple[int, Exception | None]:
    """Follow what is of a payment of ours and not in our books.

    Answers how many lines were, and the last failure: one that is not answered keeps no other
    waiting.
    """
    rows = ctx.hasura.run(
        "ReportedPayments",
        gateway=gateway.name,
        ids=sorted({line.payment_attempt_id for line in lines if line.payment_attempt_id}),
        names=sorted({line.gateway_payment_id for line in lines if line.gateway_payment_id}),
    )
    by_id = {row["id"]: row for row in rows}
    by_name = {row["gateway_payment_id"]: row for row in rows if row["gateway_payment_id"]}
    followed, failed = 0, None
    for line in lines:
        attempt = by_name.get(line.gateway_payment_id) or by_id.get(line.payment_attempt_id)
        if attempt and (subject := _unknown(line, attempt)):
            log.warning("a settlement has what our books have not: %s", line.line_id)
            with kept_apart(log, "not followed", line_id=line.line_id) as outcome:
                _follow(ctx, gateway, line, subject)
                followed += 1
            failed = outcome.failure or failed
    return followed, failed


def _unknown(line: SettlementLine, attempt: Attempt) -> Subject | None:
    """Tell what is to be asked about; None where our books have it, or it is a fee or the like."""
    if line.kind is Settled.PAYMENT:
        # A page may be paid twice: then the other payment bears another name.
        booked = attempt["gateway_payment_id"] if attempt["status"] == "captured" else None
        return Subject.PAYMENT if booked != line.gateway_payment_id else None
    if line.kind is Settled.REFUND:
        named = (line.gateway_refund_id, line.refund_id)
        is_known = outside_refunds.is_among(attempt["refunds"], *named)
        return None if is_known else Subject.REFUND
    if line.kind is Settled.DISPUTE:
        names = {one["gateway_dispute_id"] for one in attempt["disputes"]}
        return Subject.DISPUTE if line.gateway_dispute_id not in names else None
    return None


def _follow(ctx: Context, gateway: Gateway, line: SettlementLine, subject: Subject) -> None:
    """Have the gateway asked by the cron that does so, or ask where none does."""
    if subject is Subject.DISPUTE and Capability.PAYMENT_DISPUTES in gateway.capabilities:
        for found in gateway.find_payment_disputes(str(line.gateway_payment_id)):
            inbox.keep(ctx, gateway.name, found, "look-up")
        return
    hint = Finding(
        subject=subject,
        outcome=Outcome.HINT,
        payment_attempt_id=line.payment_attempt_id,
        refund_id=line.refund_id,
        gateway_payment_id=line.gateway_payment_id,
        gateway_refund_id=line.gateway_refund_id,
        gateway_dispute_id=line.gateway_dispute_id,
    )
    # The same line is another hint on another day: what was asked then may not have helped.
    words = hint.words() | {"line": line.line_id, "read_on": ctx.now().date().isoformat()}
    inbox.keep_words(ctx, gateway.name, words, "report")
