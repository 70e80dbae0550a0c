"""Stripe's objects in our words, the same whether a webhook or an answer brought them.

An object is a plain mapping here. What refers to another object is an id or, expanded, the object.
"""

from calendar import monthrange
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from app.gateways import Finding, Outcome, Subject
from app.gateways.stripe.declines import decline_class, reason
from app.gateways.stripe.methods import method_of
from app.gateways.stripe.units import money
from app.money import Money

Object = Mapping[str, Any]

# On the intent of a saved method's charge: nobody is there to try again after a decline.
PAYER_IS_AWAY = "off_session"

# https://docs.stripe.com/payments/paymentintents/lifecycle
INTENTS = {
    "succeeded": Outcome.PAID,
    "requires_capture": Outcome.AUTHORIZED,
    "processing": Outcome.PROCESSING,
    "requires_action": Outcome.REQUIRES_ACTION,
    "requires_confirmation": Outcome.REQUIRES_ACTION,
    "requires_payment_method": Outcome.REQUIRES_ACTION,  # declined, and the page is still open
    "canceled": Outcome.CANCELED,
}
RAN_OUT = {"expired", "automatic"}  # of a page, of an authorization

# https://docs.stripe.com/api/refunds/object#refund_object-status
REFUNDS = {
    "pending": Outcome.PENDING,
    "requires_action": Outcome.PENDING,
    "succeeded": Outcome.SUCCEEDED,
    "failed": Outcome.FAILED,
    "canceled": Outcome.CANCELED,
}

# An inquiry (warning_*) takes no money and is none of these until it becomes a dispute.
# https://docs.stripe.com/api/disputes/object#dispute_object-status
DISPUTES = {
    "needs_response": Outcome.OPENED,
    "under_review": Outcome.UNDER_REVIEW,
    "won": Outcome.WON,
    "lost": Outcome.LOST,
}

# https://docs.stripe.com/api/setup_intents/object#setup_intent_object-status
SETUPS = {"succeeded": Outcome.SUCCEEDED, "canceled": Outcome.FAILED}


def of_session(session: Object) -> Finding:
    """Translate a page. With its intent expanded the finding is exact."""
    if session.get("mode") == "setup":
        return _of_setup_session(session)
    intent = _expanded(session.get("payment_intent"))
    outcome = _session_outcome(session, intent)
    return Finding(
        subject=Subject.PAYMENT,
        outcome=outcome,
        payment_attempt_id=ours(session, "payment_attempt_id"),
        gateway_session_id=named(session),
        gateway_payment_id=identifier(session.get("payment_intent")),
        gateway_customer_id=identifier(session.get("customer")),
        method=method_of(intent) if intent else None,
        amount=money(session.get("amount_total"), session.get("currency") or ""),
        captured_amount=_captured(intent) if intent else None,
        receipt_url=receipt(intent) if intent else None,
        **(failure(intent.get("last_payment_error"), outcome, intent) if intent else {}),
    )


def _session_outcome(session: Object, intent: Object | None) -> Outcome:
    status = session.get("status")  # null, says the SDK, may be; then the payment decides
    if status == "expired":
        return Outcome.EXPIRED
    if status == "open":
        return Outcome.REQUIRES_ACTION
    if session["payment_status"] == "paid":
        return Outcome.PAID
    outcome = _intent_outcome(intent) if intent else Outcome.PROCESSING
    if intent is None or outcome is not Outcome.REQUIRES_ACTION:
        return outcome
    # The page takes no second try: what was declined is over. Anything else waits for days outside
    # of it, for cash at a till or for a transfer. https://docs.stripe.com/payments/vouchers
    is_declined = intent["status"] == "requires_payment_method"
    return Outcome.FAILED if is_declined else Outcome.PROCESSING


def _intent_outcome(intent: Object) -> Outcome:
    outcome = INTENTS.get(intent["status"], Outcome.UNKNOWN)
    declined = intent["status"] == "requires_payment_method" and intent.get("last_payment_error")
    if declined and ours_is_away(intent):
        return Outcome.FAILED
    if outcome is Outcome.CANCELED and intent.get("cancellation_reason") in RAN_OUT:
        return Outcome.EXPIRED
    return outcome


def of_intent(intent: Object) -> Finding:
    outcome = _intent_outcome(intent)
    return Finding(
        subject=Subject.PAYMENT,
        outcome=outcome,
        payment_attempt_id=ours(intent, "payment_attempt_id"),
        gateway_payment_id=named(intent),
        gateway_customer_id=identifier(intent.get("customer")),
        gateway_payment_method_id=identifier(intent.get("payment_method")),
        method=method_of(intent),
        amount=money(intent["amount"], intent["currency"]),
        captured_amount=_captured(intent),
        receipt_url=receipt(intent),
        reason=intent.get("cancellation_reason"),
        **failure(intent.get("last_payment_error"), outcome, intent),
    )


def of_refund(refund: Object) -> Finding:
    return Finding(
        subject=Subject.REFUND,
        outcome=REFUNDS.get(refund["status"], Outcome.UNKNOWN),
        refund_id=ours(refund, "refund_id"),
        gateway_refund_id=named(refund),
        gateway_payment_id=identifier(refund.get("payment_intent")),
        amount=money(refund["amount"], refund["currency"]),
        reason=refund.get("reason"),
        failure_code=refund.get("failure_reason"),
    )


def of_dispute(dispute: Object) -> Finding:
    due = (dispute.get("evidence_details") or {}).get("due_by")
    return Finding(
        subject=Subject.DISPUTE,
        outcome=DISPUTES.get(dispute["status"], Outcome.UNKNOWN),
        gateway_dispute_id=named(dispute),
        gateway_payment_id=identifier(dispute.get("payment_intent")),
        amount=money(dispute["amount"], dispute["currency"]),
        reason=dispute.get("reason"),
        fee=_dispute_fee(dispute),
        evidence_due_at=datetime.fromtimestamp(due, UTC) if due else None,
        opened_at=datetime.fromtimestamp(dispute["created"], UTC),
    )


def _dispute_fee(dispute: Object) -> Money | None:
    """Read the fee off the withdrawal, which the first message does not have yet."""
    for entry in dispute.get("balance_transactions") or ():
        if entry["amount"] < 0 < entry["fee"]:
            return money(entry["fee"], entry["currency"])
    return None


def of_setup_intent(intent: Object) -> Finding:
    """Translate a setup. One that failed is not over: its page takes another card."""
    outcome = SETUPS.get(intent["status"], Outcome.UNKNOWN)
    error = intent.get("last_setup_error") or {}
    return Finding(
        subject=Subject.SETUP,
        outcome=outcome,
        autopay_mandate_id=ours(intent, "autopay_mandate_id"),
        gateway_customer_id=identifier(intent.get("customer")),
        gateway_payment_method_id=identifier(intent.get("payment_method")),
        method=method_of(intent),
        reason=intent.get("cancellation_reason"),
        failure_code=reason(error),
        failure_message=error.get("message"),
    )


def _of_setup_session(session: Object) -> Finding:
    """Translate a page that saves a method; only its intent, expanded, names the method."""
    intent = _expanded(session.get("setup_intent"))
    outcome, code = SETUPS.get(intent["status"] if intent else "", Outcome.UNKNOWN), None
    if session["status"] == "expired":
        outcome, code = Outcome.FAILED, "expired"
    elif session["status"] == "open":
        outcome = Outcome.REQUIRES_ACTION
    return Finding(
        subject=Subject.SETUP,
        outcome=outcome,
        autopay_mandate_id=ours(session, "autopay_mandate_id"),
        gateway_session_id=named(session),
        gateway_customer_id=identifier(session.get("customer")),
        gateway_payment_method_id=identifier(intent.get("payment_method")) if intent else None,
        method=method_of(intent) if intent else None,
        failure_code=code,
        **_card(intent),
    )


def _card(intent: Object | None) -> dict[str, Any]:
    """Tell what its owner knows a saved card by, where the method is expanded."""
    method = _expanded(intent.get("payment_method")) if intent else None
    card = method.get("card") if method else None
    if not card:
        return {}
    last = monthrange(card["exp_year"], card["exp_month"])[1]
    return {
        "card_brand": card["brand"],
        "card_last4": card["last4"],
        "card_expires_on": date(card["exp_year"], card["exp_month"], last),
    }


def failure(error: Object | None, outcome: Outcome, intent: Object | None = None) -> dict[str, Any]:
    """Say why a payment failed, or the last try at it; nothing once it went well."""
    if not error or outcome not in {Outcome.FAILED, Outcome.REQUIRES_ACTION}:
        return {}
    return {
        "failure_code": reason(error),
        "failure_message": error.get("message"),
        "decline_class": decline_class(error),
        "declined_at": _declined_at(intent, error) if intent else None,
    }


def _declined_at(intent: Object, error: Object) -> datetime | None:
    """Read a decline's time off its charge, expanded. A try that was not confirmed has none."""
    charge = _expanded(intent.get("latest_charge"))
    if not charge or not error.get("charge") or charge["id"] != error["charge"]:
        return None
    return datetime.fromtimestamp(charge["created"], UTC)


def ours_is_away(intent: Object) -> bool:
    return (intent.get("metadata") or {}).get(PAYER_IS_AWAY) == "true"


def ours(of: Object, name: str) -> str | None:
    """Read one of our ids from the metadata; what is no UUID is not ours."""
    text = (of.get("metadata") or {}).get(name)
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        return None


def identifier(reference: Any) -> str | None:
    """Name an object that is given as its id or as itself."""
    return reference if isinstance(reference, str | None) else named(reference)


def named(of: Object) -> str:
    """Read an object's id. Raises LookupError and TypeError for none."""
    found = of["id"]
    if not isinstance(found, str):
        raise TypeError("an id is a text")
    return found


def _expanded(reference: Any) -> Object | None:
    return reference if isinstance(reference, Mapping) else None


def receipt(intent: Object) -> str | None:
    """Give the receipt of what was charged. Raises TypeError for what is no address."""
    charge = _expanded(intent.get("latest_charge"))
    url = charge.get("receipt_url") if charge else None
    if not isinstance(url, str | None):
        raise TypeError("an address is a text")
    return url


def _captured(intent: Object) -> Any:
    return money(intent.get("amount_received"), intent["currency"])
