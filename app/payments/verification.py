"""The verify path: what a payment's state is, after its gateway has been asked."""

import logging
from typing import Any

from app.context import Context
from app.errors import GatewayRefusedError, GatewayUnavailableError, NotFoundError
from app.failures import kept_apart
from app.payments import checks

log = logging.getLogger(__name__)

UNPAID = frozenset({"pending", "failed", "expired", "canceled"})
DECLINE = ("failure_code", "decline_class", "declined_at")


def verify(ctx: Context, payment_intent_id: str) -> dict[str, Any]:
    """Ask about every attempt that has not ended, then answer the payment's state.

    A gateway that does not answer, or refuses to, leaves the state as it is known. Raises
    NotFoundError for a payment that the session does not see.
    """
    _ask(ctx, ctx.hasura.run("OpenPaymentAttempts", paymentIntentId=payment_intent_id))
    return state(ctx, payment_intent_id)


def verify_return(ctx: Context, payment_intent_id: str) -> dict[str, Any]:
    """Do the same for a payer who comes back, however often they load the page of it.

    The database says whom to ask about: what was asked about in the last seconds, nobody.
    """
    _ask(ctx, ctx.hasura.run("ClaimReturnChecks", paymentIntentId=payment_intent_id))
    return state(ctx, payment_intent_id)


def follow_hint(ctx: Context, payment_attempt_id: str | None) -> None:
    """Ask about the attempt that a message pointed to, if any. Called twice it asks once.

    Whatever happens here, the message is kept and the attempt is due: the cron asks again.
    """
    if not payment_attempt_id:
        return
    # A no would have the gateway send the message again, which is kept, and whose attempt is due.
    with kept_apart(log, "not asked", attempt_id=payment_attempt_id):
        for attempt in ctx.hasura.run("ClaimHintedCheck", attemptId=payment_attempt_id):
            checks.ask(ctx, attempt)


def _ask(ctx: Context, attempts: list[dict[str, Any]]) -> None:
    for attempt in attempts:
        try:
            checks.check(ctx, attempt)
        except (GatewayRefusedError, GatewayUnavailableError) as failure:
            log.warning("not verified: %s", failure, extra={"attempt_id": attempt["id"]})


def state(ctx: Context, payment_intent_id: str) -> dict[str, Any]:
    """Answer a payment's state as it is known, with its last decline. Raises NotFoundError.

    What was declined before a later try went well, or is on its way, is not told.
    """
    states = ctx.hasura.run("PaymentState", paymentIntentId=payment_intent_id)
    if not states:
        message = "there is no such payment"
        raise NotFoundError(message)
    known = states[0]
    declines = known.pop("payment_attempts")
    last = declines[0] if declines and known["status"] in UNPAID else {}
    return {
        "payment_intent_id": known.pop("id"),
        **known,
        **{name: last.get(name) for name in DECLINE},
    }
