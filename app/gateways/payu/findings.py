"""PayU's transactions and refunds in our words."""

from collections.abc import Mapping
from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any

from app.errors import GatewayUnavailableError
from app.gateways import DeclineClass, Finding, Method, Outcome, Subject
from app.gateways.payu import declines, references
from app.gateways.payu.words import BY_STATUS, METHODS, PAYMENTS, REFUNDS, plain
from app.money import Money

CURRENCY = "INR"
INDIA = timezone(timedelta(hours=5, minutes=30))  # PayU writes its times without a zone
MESSAGE_LENGTH_MAX = 300

Object = Mapping[str, Any]


def of_payment(transaction: Object, *, code: str, amount: str) -> Finding:
    """Translate a transaction; its error code and its amount are named by whoever knows where.

    A payment is named by its txnid, not by `mihpayid`: PayU's hash does not cover that one, and a
    payer who sends a return of theirs to the webhook could put another payment's there.
    """
    state = plain(transaction.get("unmappedstatus"))
    status = plain(transaction.get("status"))
    outcome = PAYMENTS.get((status, state)) or BY_STATUS.get(status, Outcome.UNKNOWN)
    txnid = str(transaction.get("txnid") or "")
    total = rupees(transaction.get(amount))
    return Finding(
        subject=Subject.PAYMENT,
        outcome=outcome,
        payment_attempt_id=references.payment_attempt_id(txnid),
        gateway_session_id=txnid,
        gateway_payment_id=txnid,
        method=_method(transaction),
        amount=total,
        captured_amount=total if outcome is Outcome.PAID else None,
        **_failure(transaction, str(transaction.get(code) or ""), state, outcome),
    )


def of_refund(refund: Object, txnid: str) -> Finding:
    """Translate a refund as PayU lists it under its payment."""
    outcome = REFUNDS.get(plain(refund.get("Status")), Outcome.UNKNOWN)
    return Finding(
        subject=Subject.REFUND,
        outcome=outcome,
        refund_id=references.refund_id(str(refund.get("RefundToken") or "")),
        payment_attempt_id=references.payment_attempt_id(txnid),
        gateway_payment_id=txnid,
        gateway_refund_id=text(refund.get("RequestID")),
        amount=rupees(refund.get("Amount")),
        failure_code="failure" if outcome is Outcome.FAILED else None,
    )


def refunds_of(listed: Any) -> list[Mapping[str, Any]]:
    """Give the refunds of all of PayU's payments under a txnid, or raise: then nothing is known."""
    lists = list(listed.values()) if isinstance(listed, dict) else [None]
    flat = [each for refunds in lists if isinstance(refunds, list) for each in refunds]
    is_whole = all(isinstance(refunds, list) for refunds in lists)
    if not is_whole or not all(isinstance(each, dict) for each in flat):
        raise GatewayUnavailableError("PayU's answer has no refunds")
    return flat


def rupees(value: object) -> Money | None:
    """Read an amount; None when there is none, or it is no amount of rupees and paise."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    try:
        return Money.parse(value.strip() if isinstance(value, str) else value, CURRENCY)
    except ValueError:
        return None


def text(value: object) -> str | None:
    """Read an id, which PayU writes as a text or as a number; an empty one is none."""
    found = str(value).strip() if isinstance(value, str | int) else ""
    return found or None


def _method(transaction: Object) -> Method | None:
    mode = str(transaction.get("mode") or "").strip().upper()
    return METHODS.get(mode, Method.OTHER) if mode else None


def _failure(transaction: Object, code: str, state: str, outcome: Outcome) -> dict[str, Any]:
    if outcome is not Outcome.FAILED:
        return {}
    kind: DeclineClass = declines.decline_class(code, state)
    message = transaction.get("error_Message") or transaction.get("field9") or ""
    return {
        "failure_code": declines.reason(code, state),
        "failure_message": str(message)[:MESSAGE_LENGTH_MAX] or None,
        "decline_class": kind,
    }
