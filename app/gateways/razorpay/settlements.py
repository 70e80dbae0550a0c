"""Razorpay's report of what was settled.

https://razorpay.com/docs/api/settlements/fetch-recon/
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.gateways import Settled, SettlementLine
from app.gateways.razorpay.findings import ours
from app.gateways.razorpay.lists import items, pages
from app.money import Money

PAGE = 1000  # the most that is given at once

# A transfer to a linked account takes from ours, as an adjustment does.
KINDS = {"payment": Settled.PAYMENT, "refund": Settled.REFUND}

Item = Mapping[str, Any]
Lines = Sequence[SettlementLine | None]


def lines(page: Callable[[int], Lines]) -> Iterator[SettlementLine]:
    """Read a day's report to its end; `page` gives what comes after so many lines."""
    for found in pages(page, PAGE):
        yield from (line for line in found if line)


def of_page(body: Any) -> Lines:
    """Translate a page. What is held back is listed, too, and is none: it comes with its day."""
    return [_line(item) if item.get("settlement_id") else None for item in items(body)]


def _line(item: Item) -> SettlementLine:
    """Translate a line. Its `fee` has the tax in it, and is taken off a credit, put on a debit."""
    currency = item["currency"]
    net = item["credit"] - item["debit"]
    fee, tax = item.get("fee") or 0, item.get("tax") or 0
    kind = Settled.DISPUTE if item.get("dispute_id") else KINDS.get(item["type"])
    identifier = item["entity_id"]
    is_payment, is_refund = kind is Settled.PAYMENT, kind is Settled.REFUND
    return SettlementLine(
        settlement_id=item["settlement_id"],
        # One payment may be settled in parts.
        line_id=f"{item['settlement_id']}:{identifier}",
        kind=kind or Settled.ADJUSTMENT,
        gross=Money(net + fee, currency),
        fee=Money(fee - tax, currency),
        tax=Money(tax, currency),
        net=Money(net, currency),
        settled_at=datetime.fromtimestamp(item["settled_at"], UTC),
        utr=item.get("settlement_utr"),
        payment_attempt_id=ours(item.get("order_receipt")),
        gateway_payment_id=identifier if is_payment else item.get("payment_id"),
        gateway_refund_id=identifier if is_refund else None,
        gateway_dispute_id=item.get("dispute_id"),
    )
