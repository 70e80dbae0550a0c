"""Sending money back: asked for by the books' keeper, and opened by the system itself."""

from __future__ import annotations

from proof.buying import AMOUNT, create_payment, pay
from proof.cases import CLIENT, JANITOR, Case, Flow, Step

from sandbox import tokens

FIONA = next(user for user in tokens.USERS if user.name == "fiona")
CRONS = ("apply_gateway_events", "check_payments", "store_missing_receipts", "check_refunds")


def is_paid(case: Case) -> bool:
    """Whether the books know of the money; before that there is nothing to send back."""
    rows = case.sql(
        "select from payment_intents where id = %s and status = 'paid'",
        case.facts.get("payment_intent_id"),
    )
    return bool(rows)


def refund(case: Case) -> None:
    """Send all of it back under the case's key: one refund, however often it is asked for."""
    said = case.says(
        case.stage.action(
            "refund_payment",
            FIONA,
            "owner",
            payment_intent_id=case.facts["payment_intent_id"],
            reason="requested_by_customer",
            idempotency_key=f"{case.key}-refund",
        )
    )
    case.same("refund_id", said["refund_id"])
    case.same("refunded", (said["amount"], said["currency"]))
    case.heard.heard("refund", refund_id=said["refund_id"], amount=AMOUNT)


def money_is_back(case: Case) -> list[str]:
    rows = case.sql(
        "select refunds.status, refunds.amount, amount_refunded from refunds"
        " join payment_attempts on payment_attempts.id = payment_attempt_id"
        " where refunds.payment_intent_id = %s",
        case.facts["payment_intent_id"],
    )
    wanted = [{"status": "succeeded", "amount": AMOUNT, "amount_refunded": AMOUNT}]
    complaints = [] if rows == wanted else [f"the books say {rows}"]
    sent = [one["amount"] for one in case.own("refund") if one["status"] == "succeeded"]
    if not sent and not case.powers & {CLIENT, JANITOR}:
        # It never got there, of which no webhook tells: it waits for whoever asks.
        waiting = [row["status"] for row in rows if row["status"] in ("created", "unknown")]
        return [] if waiting else complaints
    return complaints if sent == [AMOUNT] else [*complaints, f"the gateway sent back {sent}"]


REFUND = Flow(
    "refunding a payment",
    (
        Step("createPayment", create_payment),
        Step("paying", pay, by="payer"),
        Step("refundPayment", refund, ready=is_paid),
    ),
    money_is_back,
    crons=CRONS,
)

FLOWS = (REFUND,)
