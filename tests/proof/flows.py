"""The flows that are proved, as data.

To add one:

1. Write its steps. A step is a function of the case: it calls a door of `case.stage` (`action`,
   `rest`, `tick`), takes the yes with `case.says(...)`, which raises for anything else, and writes
   down what it was promised with `case.heard.heard(kind, ...)` (kinds and how each is looked up:
   acknowledged.py; a new kind is a function there). What a replay must answer again goes through
   `case.same(name, value)`. A key is `case.key`, which is new for each case.
2. Say who takes each step: a client (who may repeat it at any time), a "payer" (whose doing is the
   gateway's affair and makes no call of ours), or a "cron".
3. Write `expected`: what the books say once everything has come through, as a list of complaints.
4. Name the crons that could mend something of it, unless the three of a payment are all.
5. Add the flow to FLOWS. Its calls are numbered and spoilt by machine, and every site in the
   service that no flow comes through fails test_every_call_site_is_come_through by name.

Webhooks and outbox events are delivered after each step, without being steps: whatever the gateway
or the outbox wrote about this case. With `couriers=False` none is, and steps tick the crons.
"""

from __future__ import annotations

from functools import partial

from proof.cases import Case, Flow, Step

from sandbox import tokens

AMOUNT = 2500
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
    sold = [row["status"] for row in rows if row["status"] not in {"failed", "expired"}]
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
    crons=("check_payments", "apply_gateway_events", "store_missing_receipts", "seal_ledger"),
)
BUY_REFUSED = Flow(
    "buying credits, refused by the gateway",
    (Step("createPayment", refused_payment),),
    nothing_was_sold,
)

FLOWS = (BUY, BUY_UNTOLD, BUY_REFUSED)
