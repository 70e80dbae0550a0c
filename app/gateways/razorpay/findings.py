"""Razorpay's entities in our words, the same whether a webhook or an answer brought them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.errors import GatewayRefusedError
from app.findings import dispute_in, refund_in
from app.gateways import Finding, Method, Outcome, Query, RefundOrder, Subject
from app.gateways.razorpay.answers import error_of
from app.gateways.razorpay.declines import decline_class
from app.money import Money

Entity = Mapping[str, Any]

# A payment that failed is not the end of its order, on which the payer may try again; nor even of
# itself: a bank that answers late makes it authorized days after. `refunded` is looked at closely.
# https://razorpay.com/docs/payments/payments/#payment-life-cycle
PAYMENTS = {
    "created": Outcome.REQUIRES_ACTION,
    "authorized": Outcome.AUTHORIZED,
    "captured": Outcome.PAID,
    "failed": Outcome.REQUIRES_ACTION,
}

# https://razorpay.com/docs/api/payments/entity/
METHODS = {
    "card": Method.CARD,
    "upi": Method.UPI,
    "netbanking": Method.NETBANKING,
    "wallet": Method.WALLET,
    "emi": Method.EMI,
    "cardless_emi": Method.EMI,
    "paylater": Method.PAY_LATER,
    "emandate": Method.BANK_DEBIT,
    "nach": Method.BANK_DEBIT,
    "bank_transfer": Method.BANK_TRANSFER,
}

# https://razorpay.com/docs/api/refunds/entity/
REFUNDS = {
    "pending": Outcome.PENDING,
    "processed": Outcome.SUCCEEDED,
    "failed": Outcome.FAILED,
}

# `closed` ends an inquiry only. https://razorpay.com/docs/api/disputes/entity/
DISPUTES = {
    "open": Outcome.OPENED,
    "under_review": Outcome.UNDER_REVIEW,
    "won": Outcome.WON,
    "lost": Outcome.LOST,
}
INQUIRIES = {"fraud", "retrieval"}  # phases in which a bank asks, and as a rule takes no money


def of_payment(payment: Entity) -> Finding:
    """Translate one payment of an order. What its own notes say is left alone.

    The payer's browser wrote them: with them, one payment could be made to count for two orders.
    A payment without money is not named, for another may still be the one that pays the order.
    """
    outcome = _payment_outcome(payment)
    amount = Money(payment["amount"], payment["currency"])
    return Finding(
        subject=Subject.PAYMENT,
        outcome=outcome,
        gateway_session_id=payment.get("order_id"),
        gateway_payment_id=None if outcome is Outcome.REQUIRES_ACTION else payment["id"],
        method=_method(payment),
        amount=amount,
        captured_amount=amount if outcome is Outcome.PAID else replace(amount, amount=0),
        **_failure(payment),
    )


def of_payment_called(gateway_payment_id: str) -> Callable[[Entity], Finding]:
    """Answer a translation of this payment, which raises ValueError for another one."""

    def translate(payment: Entity) -> Finding:
        if payment["id"] != gateway_payment_id:
            raise ValueError("another payment")
        return of_payment(payment)

    return translate


def _payment_outcome(payment: Entity) -> Outcome:
    """Go by the status: `captured` is true in some messages about payments that are not."""
    if payment["status"] == "refunded":
        return Outcome.PAID if was_captured(payment) else Outcome.UNKNOWN
    return PAYMENTS.get(payment["status"], Outcome.UNKNOWN)


def was_captured(payment: Entity) -> bool:
    """Say whether a payment that is refunded was ever ours: Razorpay gives others back itself."""
    return payment.get("captured") in (True, "1", "true")


def _method(payment: Entity) -> Method | None:
    name = payment.get("method")
    return METHODS.get(str(name), Method.OTHER) if name else None


def _failure(payment: Entity) -> dict[str, Any]:
    if payment["status"] != "failed":
        return {}
    return {
        "failure_code": payment.get("error_reason") or payment.get("error_code"),
        "failure_message": payment.get("error_description"),
        "decline_class": decline_class(payment),
        "declined_at": _tried_at(payment),
    }


def _tried_at(payment: Entity) -> datetime | None:
    """Date a try, the same in a webhook as in a look-up; one that says no time is undated."""
    try:
        return datetime.fromtimestamp(payment["created_at"], UTC)
    except (LookupError, TypeError, ValueError, OverflowError, OSError):
        return None


def of_payments(order_id: str, payments: Sequence[Entity], query: Query) -> list[Finding]:
    """Translate each payment of an order by itself. Raises ValueError for one of another order.

    What was never captured and is given back is over, whatever becomes of the order.
    """
    _see_whose(order_id, payments)
    found = []
    for payment in payments:
        one = replace(of_payment(payment), payment_attempt_id=query.payment_attempt_id)
        is_over = payment["status"] == "refunded" and not was_captured(payment)
        found.append(replace(one, outcome=Outcome.CANCELED) if is_over else one)
    return found


def _see_whose(order_id: str, payments: Sequence[Entity]) -> None:
    if any(payment["order_id"] != order_id for payment in payments):
        raise ValueError("a payment of another order")


def of_order(order: Entity, payments: Sequence[Entity], query: Query) -> Finding:
    """Decide an order by all its payments, of which at most one should have succeeded.

    Raises ValueError for a payment of another order.
    """
    _see_whose(order["id"], payments)
    decided = _decided(order, sorted(payments, key=lambda one: one["created_at"]), query)
    return replace(
        decided,
        payment_attempt_id=query.payment_attempt_id,
        gateway_session_id=order["id"],
    )


def _decided(order: Entity, payments: Sequence[Entity], query: Query) -> Finding:
    found = [of_payment(payment) for payment in payments]
    for outcome in (Outcome.PAID, Outcome.AUTHORIZED):
        standing = [one for one in found if one.outcome is outcome]
        if standing:
            known = (one for one in standing if one.gateway_payment_id == query.gateway_payment_id)
            return next(known, standing[0])
    nothing = Finding(
        subject=Subject.PAYMENT,
        outcome=_without_money(order, payments, query),
        amount=Money(order["amount"], order["currency"]),
        captured_amount=Money(0, order["currency"]),
    )
    if nothing.outcome is Outcome.REQUIRES_ACTION:
        failed = [one for one in found if one.failure_code]
        return failed[-1] if failed else nothing
    return nothing


def _without_money(order: Entity, payments: Sequence[Entity], query: Query) -> Outcome:
    """Decide an order on which no payment stands. It can be paid for ever: only we close it."""
    returned = {one["id"] for one in payments if one["status"] == "refunded"}
    statuses = {one["status"] for one in payments} - {"failed", "refunded"}
    if order["status"] == "paid" or statuses - {"created"}:
        return Outcome.UNKNOWN
    if query.gateway_payment_id in returned:  # the authorization that we knew of has run out
        return Outcome.EXPIRED
    return Outcome.EXPIRED if query.is_over and not statuses else Outcome.REQUIRES_ACTION


def of_refund(refund: Entity) -> Finding:
    """Translate a refund. Its status says how it is, not the name of the event that brought it."""
    return Finding(
        subject=Subject.REFUND,
        outcome=REFUNDS.get(refund["status"], Outcome.UNKNOWN),
        refund_id=ours(_notes(refund).get("refund_id"), refund.get("receipt")),
        gateway_refund_id=refund["id"],
        gateway_payment_id=refund["payment_id"],
        amount=Money(refund["amount"], refund["currency"]),
    )


def of_listed_refund(refund: Any) -> Finding:
    """Translate a refund of a list, which may have others that can be read."""
    return refund_in(refund, of_refund)


def of_refund_of(order: RefundOrder, refund: Entity) -> Finding:
    """Translate the refund that was asked for. Raises ValueError for another one."""
    found = of_refund(refund)
    is_same = found.gateway_payment_id == order.gateway_payment_id
    if not is_same or found.refund_id not in {None, order.id}:
        raise ValueError("another refund")
    return found


def not_refunded(order: RefundOrder, refusal: GatewayRefusedError) -> Finding:
    """Translate a no to a refund, in Razorpay's words."""
    error = error_of(refusal)
    reason = error.get("reason")
    code = reason if reason and reason != "NA" else error.get("code") or refusal.code
    return order.answered(Outcome.FAILED, code, refusal.message)


def of_dispute(dispute: Entity) -> Finding:
    due, opened = dispute.get("respond_by"), dispute.get("created_at")
    return Finding(
        subject=Subject.DISPUTE,
        outcome=_dispute_outcome(dispute),
        gateway_dispute_id=dispute["id"],
        gateway_payment_id=dispute["payment_id"],
        amount=Money(dispute["amount"], dispute["currency"]),
        reason=dispute.get("reason_code"),
        evidence_due_at=datetime.fromtimestamp(due, UTC) if due else None,
        opened_at=datetime.fromtimestamp(opened, UTC) if opened else None,
    )


def _dispute_outcome(dispute: Entity) -> Outcome:
    """Tell how a dispute stands: of an inquiry, once its money is taken.

    One that is won has been given back what was taken, for without that it ends as `closed`.
    """
    status = dispute["status"]
    is_asked = dispute.get("phase") in INQUIRIES and not dispute.get("amount_deducted")
    if is_asked and status != "won":
        return Outcome.UNKNOWN
    return DISPUTES.get(status, Outcome.UNKNOWN)


def of_listed_dispute(dispute: Any) -> Finding:
    """Translate a dispute of a list, which may have others that can be read."""
    return dispute_in(dispute, of_dispute, lambda entry: (entry["id"], entry.get("payment_id")))


def reference_of(order: Entity) -> str | None:
    """Read our payment attempt's id off an order, where our server wrote it."""
    return ours(order.get("receipt"), _notes(order).get("payment_attempt_id"))


def ours(*texts: Any) -> str | None:
    """Give the first of several texts that can be an id of ours; what is no UUID is not."""
    return next(_uuids(texts), None)


def _uuids(texts: Iterable[Any]) -> Iterator[str]:
    for text in texts:
        try:
            yield str(UUID(text))
        except (TypeError, ValueError, AttributeError):
            continue


def _notes(entity: Entity) -> Mapping[str, Any]:
    """Read the notes, which are an empty list where there are none."""
    notes = entity.get("notes")
    return notes if isinstance(notes, Mapping) else {}
