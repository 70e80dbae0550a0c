"""Cashfree's objects in our words, the same whether a webhook or an answer brought them.

An order is a page and has many payments: the order is decided, never the payment. Cashfree finds a
payment's refunds only below its order, so our name for a payment is `<order_id>:<cf_payment_id>`.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from app.errors import GatewayUnavailableError
from app.findings import dispute_in
from app.gateways import Finding, Method, Outcome, Subject
from app.gateways.cashfree.declines import decline_class, reason
from app.gateways.cashfree.words import (
    INDIA,
    METHODS,
    ORDERS,
    OUR_REFUNDS,
    PAYMENTS,
    REFUNDS,
    Object,
    dispute_outcome,
    is_resolved,
    money,
    needed,
    ours,
    text,
    time,
)
from app.money import Money

# The first of these that a payment of the order has reached decides the order.
STRONGEST = (Outcome.PAID, Outcome.AUTHORIZED, Outcome.PROCESSING)
# Only these name their payment: of what failed or is still moving another try may take the place.
FIRM = {Outcome.PAID, Outcome.AUTHORIZED, Outcome.CANCELED}

# A payment that is held says so here when nothing else does, as in webhooks.
# https://www.cashfree.com/docs/payments/features/pre-authorisation
HELD_MARK = "PRE_AUTH"

EARLIEST = datetime.min.replace(tzinfo=INDIA)


def of_order(order: Object, payments: Sequence[Object], *, is_over: bool = False) -> Finding:
    """Translate an order by its payments; the first one captured counts.

    Raises GatewayUnavailableError for one that is paid and shows no payment yet.
    """
    tries = sorted(payments, key=_moment)
    for outcome in STRONGEST:
        for each in tries:
            if payment_outcome(each) is outcome:
                return of_payment(order, each)
    return _without_money(order, tries, is_over=is_over)


def _without_money(order: Object, tries: Sequence[Object], *, is_over: bool) -> Finding:
    status = order["order_status"]
    voided = [each for each in tries if payment_outcome(each) is Outcome.CANCELED]
    if voided and status != "ACTIVE":
        return of_payment(order, voided[-1])
    if status == "PAID":
        message = "Cashfree says that the order is paid, and shows no payment yet"
        raise GatewayUnavailableError(message)
    outcome = ORDERS.get(status, Outcome.UNKNOWN)
    if is_over and status == "ACTIVE":
        outcome = Outcome.EXPIRED
    failed = [each for each in tries if each.get("payment_status") == "FAILED"]
    return Finding(
        subject=Subject.PAYMENT,
        outcome=outcome,
        payment_attempt_id=ours(order["order_id"]),
        gateway_session_id=text(order["order_id"]),
        method=method_of(failed[-1]) if failed else None,
        amount=money(order["order_amount"], order.get("order_currency")),
        **(failure(failed[-1].get("error_details"), failed[-1]) if failed else {}),
    )


def of_payments(order_id: str, payments: Sequence[Object]) -> list[Finding]:
    """Translate each payment of an order by itself, the oldest first."""
    order = {"order_id": order_id}
    return [of_payment(order, payment) for payment in sorted(payments, key=_moment)]


def of_payment(order: Object, payment: Object, error: Object | None = None) -> Finding:
    """Translate one payment of an order. `error` stands beside it in webhooks."""
    outcome = payment_outcome(payment)
    currency = payment.get("payment_currency") or order.get("order_currency")
    has_failed = payment.get("payment_status") == "FAILED"
    return Finding(
        subject=Subject.PAYMENT,
        outcome=outcome,
        payment_attempt_id=ours(order["order_id"]),
        gateway_session_id=text(order["order_id"]),
        gateway_payment_id=payment_name(order, payment) if outcome in FIRM else None,
        method=method_of(payment),
        amount=money(payment["payment_amount"], currency),
        captured_amount=_captured(payment, outcome, currency),
        **(failure(error or payment.get("error_details"), payment) if has_failed else {}),
    )


def payment_outcome(payment: Object) -> Outcome:
    outcome = PAYMENTS.get(str(payment.get("payment_status")), Outcome.UNKNOWN)
    if outcome is not Outcome.PAID:
        return outcome
    authorization = payment.get("authorization") or {}
    done = authorization.get("action") if authorization.get("status") == "SUCCESS" else None
    if done == "VOID":
        return Outcome.CANCELED
    if done == "CAPTURE" or payment.get("is_captured"):
        return Outcome.PAID
    is_held = payment.get("is_captured") is False or str(
        payment.get("payment_message") or ""
    ).startswith(HELD_MARK)
    return Outcome.AUTHORIZED if is_held else Outcome.PAID


def payment_name(order: Object, payment: Object) -> str:
    return f"{needed(order['order_id'])}:{needed(payment['cf_payment_id'])}"


def order_of(gateway_payment_id: str) -> str:
    """Read the order's id off our name for a payment."""
    return gateway_payment_id.rpartition(":")[0]


def method_of(payment: Object) -> Method | None:
    """Tell how it was paid; a group that is new to us is OTHER, none is None."""
    group = payment.get("payment_group")
    if not group:
        means = payment.get("payment_method")
        group = next(iter(means), None) if isinstance(means, dict) else None
    return METHODS.get(str(group).lower(), Method.OTHER) if group else None


def failure(error: Any, payment: Object) -> dict[str, Any]:
    """Say why a payment failed."""
    found = error if isinstance(error, dict) else {}
    return {
        "failure_code": reason(found) or "payment-failed",
        "failure_message": text(found.get("error_description"))
        or text(payment.get("payment_message")),
        "decline_class": decline_class(found),
        "declined_at": time(payment.get("payment_time")),
    }


def of_refund(refund: Object) -> Finding:
    """Translate a refund. One that Cashfree made of an order of ours is told with its page.

    Most of those are of what never counted: it failed, came late, or came twice. A name in it is
    none that we gave. One of another order is about nothing of ours.
    """
    if refund.get("refund_type", "MERCHANT_INITIATED") in OUR_REFUNDS:
        return refund_as_it_is(refund)
    order_id = refund.get("order_id")
    if not ours(order_id):
        return Finding(subject=Subject.NONE, outcome=Outcome.UNKNOWN)
    found = refund_as_it_is({**refund, "refund_id": None})
    return replace(found, gateway_session_id=text(order_id))


def refund_as_it_is(refund: Object) -> Finding:
    """Translate a refund, whoever made it."""
    outcome = REFUNDS.get(str(refund["refund_status"]), Outcome.UNKNOWN)
    told = text(refund.get("status_description"))
    return Finding(
        subject=Subject.REFUND,
        outcome=outcome,
        refund_id=ours(refund["refund_id"]),
        gateway_refund_id=text(refund["cf_refund_id"]),
        gateway_payment_id=payment_name(refund, refund),
        amount=money(refund["refund_amount"], refund.get("refund_currency")),
        reason=text(refund.get("refund_note")),
        failure_code="refund-failed" if outcome is Outcome.FAILED else None,
        failure_message=told if outcome is Outcome.FAILED else None,
    )


def of_refund_called(refund_id: str, gateway_payment_id: str, refund: Object) -> Finding:
    """Translate a refund that was asked for by its id. Raises ValueError for another one."""
    if ours(refund["refund_id"]) != refund_id:
        raise ValueError("another refund")
    if refund["order_id"] != order_of(gateway_payment_id):
        raise ValueError("a refund of another order")
    return of_refund(refund)


def of_disputes(order_id: str, disputes: Sequence[Object]) -> list[Finding]:
    """Translate the disputes of an order. Raises ValueError where one is another order's."""
    found = [dispute_in(each, _listed, lambda one: (one["dispute_id"], None)) for each in disputes]
    told = [one.gateway_payment_id for one in found if one.outcome is not Outcome.UNREADABLE]
    if any(order_of(str(payment)) != order_id for payment in told):
        raise ValueError("a dispute of another order")
    return found


def _listed(dispute: Object) -> Finding:
    return of_dispute(dispute, dispute["order_details"], is_closed=is_resolved(dispute))


def of_dispute(dispute: Object, order: Object, *, is_closed: bool) -> Finding:
    currency = dispute.get("dispute_amount_currency") or order.get("payment_currency")
    return Finding(
        subject=Subject.DISPUTE,
        outcome=dispute_outcome(str(dispute["dispute_status"]), is_closed=is_closed),
        payment_attempt_id=ours(order["order_id"]),
        gateway_dispute_id=text(dispute["dispute_id"]),
        gateway_payment_id=payment_name(order, order),
        amount=money(dispute["dispute_amount"], currency),
        reason=text(dispute.get("reason_description")) or text(dispute.get("reason_code")),
        evidence_due_at=time(dispute.get("respond_by")),
        opened_at=time(dispute.get("created_at")),
    )


def _captured(payment: Object, outcome: Outcome, currency: object) -> Money | None:
    if outcome is not Outcome.PAID:
        return None
    if payment.get("authorization", {}) is None:  # nothing was held, and all of it is taken
        return money(payment["payment_amount"], currency)
    authorization = payment.get("authorization") or {}
    taken = authorization.get("captured_amount")
    is_told = authorization.get("action") == "CAPTURE" and taken is not None
    return money(taken, currency) if is_told else None  # of a hold that may be a part


def _moment(payment: Object) -> tuple[datetime, str]:
    return time(payment.get("payment_time")) or EARLIEST, str(payment.get("cf_payment_id"))
