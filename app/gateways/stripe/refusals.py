"""What Stripe's no to a charge or a refund means: a finding, for the database must know of it."""

from dataclasses import replace

from app.errors import GatewayRefusedError
from app.gateways import Finding, Outcome, RefundOrder, SavedCharge, Subject
from app.gateways.stripe import findings
from app.gateways.stripe.answers import error_of

NO_PAYMENT = Finding(subject=Subject.PAYMENT, outcome=Outcome.FAILED)


def declined(charge: SavedCharge, refusal: GatewayRefusedError) -> Finding:
    """Tell a charge that failed, with its intent where it came so far as to have one."""
    error = error_of(refusal)
    intent = error.get("payment_intent")
    found = findings.of_intent(intent) if intent else NO_PAYMENT
    return replace(
        found,
        outcome=Outcome.FAILED,
        payment_attempt_id=charge.id,
        gateway_customer_id=charge.gateway_customer_id,
        gateway_payment_method_id=charge.gateway_payment_method_id,
        amount=charge.amount,
        **findings.failure(error, Outcome.FAILED),
    )


def not_refunded(order: RefundOrder, refusal: GatewayRefusedError) -> Finding:
    code = error_of(refusal).get("code") or refusal.code
    return order.answered(Outcome.FAILED, code, refusal.message)
