"""What Stripe settled: its payouts to our bank account, and what each is made of.

https://docs.stripe.com/payouts/reconciliation
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

import stripe

from app.errors import GatewayUnavailableError
from app.gateways import Money, Settled, SettlementLine
from app.gateways.stripe.answers import answer
from app.gateways.stripe.findings import Object, identifier, ours
from app.gateways.stripe.units import money

# https://docs.stripe.com/reports/reporting-categories
KINDS = {
    "charge": Settled.PAYMENT,
    "charge_failure": Settled.PAYMENT,
    "refund": Settled.REFUND,
    "refund_failure": Settled.REFUND,
    "partial_capture_reversal": Settled.REFUND,
    "dispute": Settled.DISPUTE,
    "dispute_reversal": Settled.DISPUTE,
}

# https://docs.stripe.com/api/payouts/object#payout_object-status
UNDER_WAY = {"pending", "in_transit"}


def settlements(client: stripe.StripeClient, day: date) -> Iterator[SettlementLine]:
    """List what the payouts hold that reached the bank on a day of UTC's, by which Stripe goes.

    Raises GatewayUnavailableError while a payout is on its way, or its list is put together. One
    that the bank sent back is listed, and taken back; Stripe pays the money out again later.
    """
    for payout in answer(partial(_payouts, client, day)):
        yield from answer(partial(_settled, client, payout))


def _settled(client: stripe.StripeClient, payout: Object) -> list[SettlementLine]:
    if payout["status"] == "canceled":
        return []
    if payout["status"] in UNDER_WAY or payout["reconciliation_status"] == "in_progress":
        raise GatewayUnavailableError("Stripe has not listed yet what it paid out")
    if payout["reconciliation_status"] == "completed":
        listed = _lines(client, payout)
    else:
        listed = [_whole(payout, f"{payout['id']}:whole", payout["amount"])]
    if payout["status"] == "failed":
        listed.append(_whole(payout, f"{payout['id']}:failed", -payout["amount"]))
    return listed


def _payouts(client: stripe.StripeClient, day: date) -> list[Object]:
    start = datetime.combine(day, time(), UTC)
    params: Any = {
        "arrival_date": {
            "gte": int(start.timestamp()),
            "lt": int((start + timedelta(days=1)).timestamp()),
        },
        "limit": 100,
    }
    listed = list(client.v1.payouts.list(params).auto_paging_iter())
    return [one.to_dict() for one in reversed(listed)]


def _lines(client: stripe.StripeClient, payout: Object) -> list[SettlementLine]:
    """Read a payout's list to its end, which is where its oldest entry stands."""
    params: Any = {"payout": payout["id"], "limit": 100, "expand": ["data.source"]}
    listed = list(client.v1.balance_transactions.list(params).auto_paging_iter())
    of_payout = [one.to_dict() for one in reversed(listed)]
    return [_line(payout, one) for one in of_payout if one["type"] != "payout"]


def _line(payout: Object, entry: Object) -> SettlementLine:
    source = entry.get("source")
    found: Object = source if isinstance(source, Mapping) else {}
    kind = KINDS.get(entry["reporting_category"], Settled.ADJUSTMENT)
    tax = sum(each["amount"] for each in entry["fee_details"] if each["type"] == "tax")
    return SettlementLine(
        line_id=entry["id"],
        kind=kind,
        gross=_money(entry["amount"], entry),
        fee=_money(entry["fee"] - tax, entry),
        tax=_money(tax, entry),
        net=_money(entry["net"], entry),
        payment_attempt_id=ours(found, "payment_attempt_id"),
        refund_id=ours(found, "refund_id"),
        gateway_payment_id=identifier(found.get("payment_intent")),
        gateway_refund_id=found.get("id") if kind is Settled.REFUND else None,
        gateway_dispute_id=found.get("id") if kind is Settled.DISPUTE else None,
        **_of_payout(payout),
    )


def _whole(payout: Object, line_id: str, amount: int) -> SettlementLine:
    """Show a payout as one line: one made by hand, of which Stripe keeps no list; one sent back."""
    whole, nothing = _money(amount, payout), Money(0, payout["currency"].upper())
    return SettlementLine(
        line_id=line_id,
        kind=Settled.ADJUSTMENT,
        gross=whole,
        fee=nothing,
        tax=nothing,
        net=whole,
        **_of_payout(payout),
    )


def _of_payout(payout: Object) -> dict[str, Any]:
    return {
        "settlement_id": payout["id"],
        "settled_at": datetime.fromtimestamp(payout["arrival_date"], UTC),
        "utr": (payout.get("trace_id") or {}).get("value"),
    }


def _money(amount: int, of: Object) -> Money:
    found = money(amount, of["currency"])
    if found is None:
        raise GatewayUnavailableError("Stripe settled a part of a minor unit")
    return found
