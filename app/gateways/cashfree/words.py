"""Cashfree's words and values in ours, as data.

Ids come as numbers in old samples and as texts in new ones, amounts as JSON numbers of rupees,
times with a zone or, in settlements, without one: those are India's.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.gateways import Method, Outcome, Settled
from app.jsonb import UNKEEPABLE
from app.money import Money

Object = Mapping[str, Any]

INDIA = timezone(timedelta(hours=5, minutes=30))
TEXT_LENGTH_MAX = 500
DIGITS_MAX = 30

# https://www.cashfree.com/docs/api-reference/payments/latest/payments/get
# A payment that failed leaves its order open: the next step is the payer's.
PAYMENTS = {
    "SUCCESS": Outcome.PAID,  # or authorized: `is_captured` says
    "PENDING": Outcome.PROCESSING,
    "NOT_ATTEMPTED": Outcome.REQUIRES_ACTION,
    "FAILED": Outcome.REQUIRES_ACTION,
    "USER_DROPPED": Outcome.REQUIRES_ACTION,
    "CANCELLED": Outcome.REQUIRES_ACTION,
    "VOID": Outcome.CANCELED,
}

# What an order is worth when none of its payments has taken, holds, or is moving any money. One
# whose end is only requested may still be paid by whoever is at their bank's page just now.
# https://www.cashfree.com/docs/payments/online/resources/payment-lifecycle
ORDERS = {
    "ACTIVE": Outcome.REQUIRES_ACTION,
    "TERMINATION_REQUESTED": Outcome.REQUIRES_ACTION,
    "TERMINATED": Outcome.EXPIRED,
    "EXPIRED": Outcome.EXPIRED,
}

# https://www.cashfree.com/docs/api-reference/payments/latest/refunds/get
REFUNDS = {
    "SUCCESS": Outcome.SUCCEEDED,
    "PENDING": Outcome.PENDING,
    "ONHOLD": Outcome.PENDING,  # for review, or until the account has the money
    "CANCELLED": Outcome.CANCELED,
    "FAILED": Outcome.FAILED,
}

# Any other Cashfree makes by itself, mostly of a payment that came twice or too late.
# https://www.cashfree.com/docs/api-reference/payments/latest/refunds/webhooks
OUR_REFUNDS = {"MERCHANT_INITIATED"}

# A status is {stage}_{state}. A retrieval only asks for papers, and takes money once it is lost.
# https://www.cashfree.com/docs/api-reference/payments/latest/disputes/dispute-webhooks
DISPUTE_STAGES = ("PRE_ARBITRATION", "ARBITRATION", "CHARGEBACK", "DISPUTE")
DISPUTES = {
    "CREATED": Outcome.OPENED,
    "DOCS_RECEIVED": Outcome.UNDER_REVIEW,
    "UNDER_REVIEW": Outcome.UNDER_REVIEW,
    "INSUFFICIENT_EVIDENCE": Outcome.UNDER_REVIEW,  # lost, once the dispute is closed with it
    "MERCHANT_WON": Outcome.WON,
    "MERCHANT_LOST": Outcome.LOST,
    "MERCHANT_ACCEPTED": Outcome.LOST,
}
RETRIEVALS = {"RETRIEVAL_MERCHANT_LOST", "RETRIEVAL_MERCHANT_ACCEPTED"}
# What is not resolved is so on 9999-09-09.
# https://www.cashfree.com/docs/api-reference/payments/latest/disputes/get-disputes-by-order-id
NEVER = 9999

# `payment_group` of a payment.
# https://www.cashfree.com/docs/api-reference/payments/latest/payments/get
METHODS = {
    **dict.fromkeys(("credit_card", "debit_card", "prepaid_card", "card"), Method.CARD),
    **dict.fromkeys(("upi", "upi_ppi", "upi_ppi_offline", "upi_credit_card"), Method.UPI),
    **dict.fromkeys(("net_banking", "netbanking"), Method.NETBANKING),
    **dict.fromkeys(("wallet", "app"), Method.WALLET),
    **dict.fromkeys(("credit_card_emi", "debit_card_emi", "cardless_emi", "emi"), Method.EMI),
    **dict.fromkeys(("pay_later", "paylater"), Method.PAY_LATER),
    **dict.fromkeys(("bank_transfer", "banktransfer"), Method.BANK_TRANSFER),
}

# `order_meta.payment_methods`: what the page offers.
# https://www.cashfree.com/docs/api-reference/payments/latest/orders/create
OFFERS = {
    Method.CARD: "cc,dc,ccc,ppc",
    Method.UPI: "upi",
    Method.NETBANKING: "nb",
    Method.WALLET: "app",
    Method.EMI: "ccemi,dcemi,cardlessemi",
    Method.PAY_LATER: "paylater",
    Method.BANK_TRANSFER: "banktransfer",
}

# `event_type` of a line of settlement; any other is an adjustment.
# https://www.cashfree.com/docs/api-reference/payments/latest/settlements/settlement-reconciliation
SETTLED = {
    "PAYMENT": Settled.PAYMENT,
    **dict.fromkeys(("REFUND", "REFUND_REVERSAL"), Settled.REFUND),
    **dict.fromkeys(("DISPUTE", "DISPUTE_REVERSAL"), Settled.DISPUTE),
    **dict.fromkeys(("CHARGEBACK", "CHARGEBACK_REVERSAL"), Settled.DISPUTE),
}
NOT_SETTLED = {"FAILED", "PENDING", "CANCELLED"}


def text(value: object) -> str | None:
    """Write an id or a few words as text that a database can keep; None for nothing."""
    if value is None or value == "" or isinstance(value, bool | Mapping | list):
        return None
    return UNKEEPABLE.sub("\N{REPLACEMENT CHARACTER}", str(value))[:TEXT_LENGTH_MAX]


def needed(value: object) -> str:
    """Write what must be there as text. Raises ValueError."""
    found = text(value)
    if found is None:
        raise ValueError("something is missing")
    return found


def money(value: Any, currency: object) -> Money | None:
    """Read an amount of rupees; None for none. Raises ValueError for what is no amount."""
    if value is None:
        return None
    if isinstance(value, Decimal) and abs(value.adjusted()) > DIGITS_MAX:
        raise ValueError("no amount has so many digits")  # written out it would fill the memory
    return Money.parse(value, str(currency or "INR"))


def signed(value: Any, currency: object, sign: int) -> Money:
    """Read an amount whose sign another field tells, whether or not it carries one itself."""
    size = money(abs(Decimal(value or 0)), currency)
    return Money(sign * (size.amount if size else 0), str(currency or "INR"))


def time(value: object) -> datetime | None:
    """Read a time; one without a zone is India's. None for what is none."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=INDIA)


def ours(value: object) -> str | None:
    """Read one of our ids, with or without hyphens; what is no UUID is not ours."""
    try:
        return str(UUID(str(value)))
    except ValueError:
        return None


def dispute_outcome(status: str, *, is_closed: bool) -> Outcome:
    for stage in DISPUTE_STAGES:
        if status.startswith(f"{stage}_"):
            state = status.removeprefix(f"{stage}_")
            if is_closed and state == "INSUFFICIENT_EVIDENCE":
                return Outcome.LOST
            return DISPUTES.get(state, Outcome.UNKNOWN)
    return Outcome.LOST if status in RETRIEVALS else Outcome.UNKNOWN


def is_resolved(dispute: Object) -> bool:
    resolved_at = time(dispute.get("resolved_at"))
    return resolved_at is not None and resolved_at.year != NEVER
