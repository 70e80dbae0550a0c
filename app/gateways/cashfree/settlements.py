"""Cashfree's settlements, line by line.

https://www.cashfree.com/docs/api-reference/payments/latest/settlements/settlement-reconciliation
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from functools import partial
from typing import Any

from app.errors import GatewayUnavailableError
from app.gateways import Settled, SettlementLine
from app.gateways.cashfree.answers import translated
from app.gateways.cashfree.findings import payment_name
from app.gateways.cashfree.words import (
    INDIA,
    NOT_SETTLED,
    SETTLED,
    Object,
    needed,
    ours,
    signed,
    text,
)
from app.gateways.cashfree.words import time as moment
from app.money import Money

PAGE_LINES = 500
PAGES_MAX = 1000
LAST_SECOND = time(23, 59, 59)


def request(day: date, cursor: str | None) -> dict[str, Any]:
    """Write the question for one page of a day in India."""
    first, last = (datetime.combine(day, at, INDIA) for at in (time(), LAST_SECOND))
    return {
        "pagination": {"limit": PAGE_LINES, "cursor": cursor},
        "filters": {"start_date": first.isoformat(), "end_date": last.isoformat()},
    }


def read(ask: Callable[[dict[str, Any]], Object], day: date) -> Iterator[SettlementLine]:
    """Read a day's report, page by page. Raises GatewayUnavailableError for one without an end."""
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        page = ask(request(day, cursor))
        yield from translated(partial(lines, page))
        following = page.get("cursor")
        if not following or following == cursor:
            return
        cursor = str(following)
    message = f"Cashfree's report has more than {PAGES_MAX} pages"
    raise GatewayUnavailableError(message)


def lines(page: Object) -> list[SettlementLine]:
    """Translate a page; what was not settled, as a refund that failed, is left out."""
    return [
        _line(item)
        for item in page["data"]
        if item["event_details"].get("event_status") not in NOT_SETTLED
    ]


def _line(item: Object) -> SettlementLine:
    """Translate a line. What is between gross and net is tax, where it says so, and fee."""
    event, settlement = item["event_details"], item["settlement_details"]
    currency = event.get("event_currency")
    sign = {"CREDIT": 1, "DEBIT": -1}[event["sale_type"]]
    gross = signed(event["event_amount"], currency, sign)
    net = signed(event["event_settlement_amount"], currency, sign)
    tax = signed(event.get("event_service_tax"), currency, 1)
    settled_at = moment(settlement["settlement_date"])
    if settled_at is None:
        raise ValueError("a settlement has a date")
    return SettlementLine(
        settlement_id=needed(settlement["cf_settlement_id"]),
        line_id=f"{event['event_type']}:{needed(event['event_id'])}",
        kind=SETTLED.get(event["event_type"], Settled.ADJUSTMENT),
        gross=gross,
        fee=Money(gross.amount - net.amount - tax.amount, gross.currency),
        tax=tax,
        net=net,
        settled_at=settled_at,
        utr=text(settlement.get("utr") or settlement.get("settlement_utr")),
        **_subjects(item, event),
    )


def _subjects(item: Object, event: Object) -> dict[str, Any]:
    """Name what a line is about; an adjustment is about nothing of ours.

    An event's id is the id of what it is about.
    """
    kind = SETTLED.get(event["event_type"])
    order, payment, refund = (
        item.get(f"{name}_details") or {} for name in ("order", "payment", "refund")
    )
    known = text(order.get("order_id")) and text(payment.get("cf_payment_id"))
    return {
        "payment_attempt_id": ours(order.get("order_id")),
        "gateway_payment_id": payment_name(order, payment) if known else None,
        "refund_id": ours(refund.get("refund_id")),
        "gateway_refund_id": text(event["event_id"]) if kind is Settled.REFUND else None,
        "gateway_dispute_id": text(event["event_id"]) if kind is Settled.DISPUTE else None,
    }
