"""Buying credits: told of it, not told of it, refused, verified, given up."""

from __future__ import annotations

from functools import partial

from proof.cases import Case, Flow, RefusedError, Step

from sandbox import tokens

AMOUNT = 2500
OVER = frozenset({"failed", "expired", "canceled"})
CREDITS = 250


def create_payment(case: Case) -> None:
    """Buy credits under the case's key, which answers one page however often it is asked."""
    said = case.says(
        case.stage.action(
            "create_payment",
            tokens.ADA,
            amount=AMOUNT,
            email=tokens.ADA.email,
            idempotency_key=case.key,
        )
    )
    for name in ("credit_purchase_id", "payment_intent_id", "session_id"):
        case.same(name, said[name])
    case.heard.heard(
        "purchase",
        credit_purchase_id=said["credit_purchase_id"],
        session_id=said["session_id"],
        amount=AMOUNT,
    )


def pay(case: Case) -> None:
    if not case.charges():
        case.stage.pay(case.facts["session_id"])


def wait(seconds: int, case: Case) -> None:
    case.stage.advance(seconds)


def sweep(case: Case) -> None:
    """Tick every cron once, as a minute of Hasura's does; one that fails stops no other."""
    answers = [case.stage.tick(cron) for cron in case.flow.crons]
    for answer in answers:
        case.says(answer)


def refused_payment(case: Case) -> None:
    """Buy while the gateway says no to the page: a definite no, the same for every replay."""
    case.stage.seam.refusals.add("/v1/checkout/sessions")
    answer = case.stage.action(
        "create_payment",
        tokens.ADA,
        amount=AMOUNT,
        email=tokens.ADA.email,
        idempotency_key=case.key,
    )
    if answer.status != 422:
        case.says(answer)  # raises, unless it is a yes
        case.complaints.append("a refused page was answered with yes")


def is_open(case: Case) -> bool:
    return "payment_intent_id" in case.facts


def verify(case: Case) -> None:
    said = case.says(
        case.stage.action(
            "verify_payment", tokens.ADA, payment_intent_id=case.facts["payment_intent_id"]
        )
    )
    if said["status"] == "pending" and case.charges():
        raise RefusedError("the gateway was not asked")  # its silence leaves the state as it was


def cancel(case: Case) -> None:
    case.says(
        case.stage.action(
            "cancel_payment", tokens.ADA, payment_intent_id=case.facts["payment_intent_id"]
        )
    )


def credits_are_there(case: Case) -> list[str]:
    rows = case.sql(
        "select payment_intents.status, payment_attempts.status as attempt, receipt_url,"
        " (select count(*) from credit_entries where reference_id = credit_purchases.id)"
        " as entries,"
        " (select sum(amount)::int from credit_entries where reference_id = credit_purchases.id)"
        " as credits"
        " from credit_purchases join payment_intents on payment_intents.id = payment_intent_id"
        " join payment_attempts using (payment_intent_id)"
        " where idempotency_key = %s",
        case.key,
    )
    wanted = [{"status": "paid", "attempt": "captured", "entries": 1, "credits": CREDITS}]
    found = [{name: row[name] for name in wanted[0]} for row in rows]
    complaints = [] if found == wanted else [f"the books say {rows}"]
    if len(case.charges()) != 1:
        complaints.append(f"the gateway took money {len(case.charges())} times")
    if not all(row["receipt_url"] for row in rows):
        complaints.append("there is no receipt")
    return complaints


def nothing_was_sold(case: Case) -> list[str]:
    rows = case.sql(
        "select status from payment_intents join credit_purchases"
        " on payment_intents.id = payment_intent_id where idempotency_key = %s",
        case.key,
    )
    sold = [row["status"] for row in rows if row["status"] not in OVER]
    return [f"the intent is {status}" for status in sold] + [str(one) for one in case.charges()]


BUY = Flow(
    "buying credits",
    (Step("createPayment", create_payment), Step("paying", pay, by="payer")),
    credits_are_there,
)
# Nobody tells us: the janitor asks the gateway, and the sweep fetches the receipt.
BUY_UNTOLD = Flow(
    "buying credits, and no webhook comes",
    (
        Step("createPayment", create_payment),
        Step("paying", pay, by="payer"),
        Step("a minute", partial(wait, 60), by="payer"),
        Step("the crons", sweep, by="cron"),
        Step("two minutes", partial(wait, 120), by="payer"),
        Step("the crons again", sweep, by="cron"),
    ),
    credits_are_there,
    couriers=False,
    crons=(
        "check_payments",
        "apply_gateway_events",
        "store_missing_receipts",
        "seal_ledger",
    ),
)
# The customer asks how it stands, and so brings in what no webhook told.
BUY_VERIFIED = Flow(
    "buying credits, and asking how it stands",
    (
        Step("createPayment", create_payment),
        Step("paying", pay, by="payer"),
        Step("verifyPayment", verify, ready=is_open),
    ),
    credits_are_there,
    couriers=False,
)
BUY_CANCELED = Flow(
    "buying credits, and giving it up",
    (
        Step("createPayment", create_payment, repeats=False),
        Step("cancelPayment", cancel, ready=is_open),
    ),
    nothing_was_sold,
)
BUY_REFUSED = Flow(
    "buying credits, refused by the gateway",
    (Step("createPayment", refused_payment),),
    nothing_was_sold,
)

FLOWS = (BUY, BUY_UNTOLD, BUY_REFUSED, BUY_VERIFIED, BUY_CANCELED)
