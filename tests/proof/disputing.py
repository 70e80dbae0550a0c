"""Money goes back past us, by a bank or in the gateway's dashboard, and no webhook tells of it.

The cron reads the lists.
"""

from __future__ import annotations

from functools import partial

from proof.buying import AMOUNT, create_payment, pay, sweep, wait
from proof.cases import Case, Flow, Step
from proof.refunding import CRONS, FIONA, is_paid

FEE = 1500


def read_the_list(case: Case) -> None:
    """Begin where the gateway's lists were read before: those of other cases are in them."""
    case.stage.advance(600)
    case.stage.database.execute(
        "insert into dispute_polls (gateway, livemode, ask_since, begun_at, due_at, complete_until)"
        " values ('stripe', false, clock_now(), clock_now(), clock_now(), clock_now())"
    )


def is_taken(case: Case) -> bool:
    return bool(case.charges())


def dispute(case: Case) -> None:
    (charge,) = case.charges()
    case.stage.control(f"stripe/charges/{charge['id']}/dispute")


def lose(case: Case) -> None:
    """Decide it after an hour: the next case's list begins after this one's dispute."""
    (charge,) = case.charges()
    disputes = case.stage.gateway_objects("dispute", case.gateway_from)
    (opened,) = [one for one in disputes if one["payment_intent"] == charge["id"]]
    case.stage.advance(3600)
    case.stage.control(f"stripe/disputes/{opened['id']}/decide", outcome="lost")


def is_lost(case: Case) -> list[str]:
    rows = case.sql(
        "select disputes.status, disputes.amount, disputes.fee_amount from disputes"
        " where payment_intent_id = %s",
        case.facts["payment_intent_id"],
    )
    wanted = [{"status": "lost", "amount": AMOUNT, "fee_amount": FEE}]
    return [] if rows == wanted else [f"the books say {rows}"]


DISPUTE = Flow(
    "a dispute that no webhook told of",
    (
        Step("a list read before", read_the_list, by="payer"),
        Step("createPayment", create_payment),
        Step("paying", pay, by="payer"),
        Step("a minute", partial(wait, 60), by="payer"),
        Step("the crons", sweep, by="cron"),
        Step("a dispute", dispute, by="payer", ready=is_taken),
        Step("the crons again", sweep, by="cron"),
        Step("it is lost", lose, by="payer", ready=is_taken),
        Step("the crons at last", sweep, by="cron"),
    ),
    is_lost,
    couriers=False,
    crons=("check_payments", "apply_gateway_events", "store_missing_receipts", "check_disputes"),
    alone=True,
    later=3660,  # each gateway is asked once an hour
)


BACK = 1_000


def refund_there(case: Case) -> None:
    (charge,) = case.charges()
    case.stage.control(f"stripe/charges/{charge['id']}/refund", amount=BACK)


def is_back(case: Case) -> list[str]:
    rows = case.sql(
        "select requested_by, status, amount from refunds where payment_intent_id = %s",
        case.facts["payment_intent_id"],
    )
    wanted = [{"requested_by": "gateway", "status": "succeeded", "amount": BACK}]
    return [] if rows == wanted else [f"the books say {rows}"]


REFUNDED_THERE = Flow(
    "a refund at the gateway that no webhook told of",
    (
        Step("a list read before", read_the_list, by="payer"),
        Step("createPayment", create_payment),
        Step("paying", pay, by="payer"),
        Step("a minute", partial(wait, 60), by="payer"),
        Step("the crons", sweep, by="cron"),
        Step("a refund there", refund_there, by="payer", ready=is_taken),
        Step("an hour", partial(wait, 3660), by="payer"),
        Step("the crons again", sweep, by="cron"),
    ),
    is_back,
    couriers=False,
    crons=DISPUTE.crons,
    alone=True,
    later=3660,  # each gateway is asked once an hour
    refunded_there=True,
)


def give_all_back_there(case: Case) -> None:
    (charge,) = case.charges()
    case.stage.control(f"stripe/charges/{charge['id']}/refund")


def refund_what_is_gone(case: Case) -> None:
    """Ask for what our books have yet; the gateway says that nothing is left."""
    wanted = {"payment_intent_id": case.facts["payment_intent_id"], "reason": "duplicate"}
    named = {"idempotency_key": f"{case.key}-refund"}
    said = case.says(case.stage.action("refund_payment", FIONA, "owner", **wanted, **named))
    case.same("refund_id", said["refund_id"])


def is_found(case: Case) -> list[str]:
    rows = case.sql(
        "select requested_by, amount from refunds"
        " where payment_intent_id = %s and status = 'succeeded'",
        case.facts["payment_intent_id"],
    )
    wanted = [{"requested_by": "gateway", "amount": AMOUNT}]
    return [] if rows == wanted else [f"the books say {rows}"]


REFUSED = Flow(
    "a refund of what was given back at the gateway",
    (
        Step("createPayment", create_payment),
        Step("paying", pay, by="payer"),
        Step("a minute", partial(wait, 60), by="payer"),
        Step("the crons", sweep, by="cron"),
        Step("all back there", give_all_back_there, by="payer", ready=is_taken),
        Step("refundPayment", refund_what_is_gone, ready=is_paid),
        Step("two minutes", partial(wait, 120), by="payer"),
        Step("the crons again", sweep, by="cron"),
    ),
    is_found,
    couriers=False,
    crons=CRONS,
    alone=True,
    later=3660,  # each gateway is asked once an hour
    refunded_there=True,
)

FLOWS = (DISPUTE, REFUNDED_THERE, REFUSED)
