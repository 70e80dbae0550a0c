"""Autopay: a method is saved once, and charged when it is due, once a month, by crons alone."""

from __future__ import annotations

from functools import partial

from proof.buying import AMOUNT, wait
from proof.cases import Case, Flow, RefusedError, Step

from sandbox import tokens

DAY = 24 * 3600
GOOD_CARD, CARD_OF_THE_CAUTIOUS = "4242424242424242", "4000002760003184"
CARD_OF_THE_POOR = "4000000000000341"  # is saved, and then declined
CRONS = (
    "apply_gateway_events",
    "check_autopay_setups",
    "check_payments",
    "materialise_autopay",
    "run_autopay",
    "store_missing_receipts",
)


def set_up(case: Case) -> None:
    said = case.says(
        case.stage.action(
            "setup_autopay",
            tokens.ADA,
            amount=AMOUNT,
            day_of_month=15,
            idempotency_key=case.key,
        )
    )
    for name in ("autopay_mandate_id", "session_id"):
        case.same(name, said[name])
    case.heard.heard("mandate", autopay_mandate_id=said["autopay_mandate_id"])


def save_card(card: str, case: Case) -> None:
    if not case.facts.get("saved"):
        case.stage.pay(case.facts["session_id"], card)
        case.facts["saved"] = True


def is_set_up(case: Case) -> bool:
    return "autopay_mandate_id" in case.facts


def go_to(column: str, table: str, case: Case) -> None:
    """Let time go by until a queue's oldest row is due."""
    (row,) = case.sql(
        f"select ceil(extract(epoch from min({column}) - clock_now()))::int as seconds from {table}"
    )
    case.stage.advance(max(60, (row["seconds"] or 0) + 1))


def tick(cron: str, case: Case) -> None:
    case.says(case.stage.tick(cron))


def pause_and_resume(case: Case) -> None:
    for name in ("pause_autopay", "resume_autopay"):
        mandate = case.facts["autopay_mandate_id"]
        case.says(case.stage.action(name, tokens.ADA, autopay_mandate_id=mandate))


def is_active(case: Case) -> bool:
    rows = case.sql("select from autopay_mandates where status in ('active', 'paused')")
    return is_set_up(case) and bool(rows)


def cancel(case: Case) -> None:
    mandate = case.facts["autopay_mandate_id"]
    said = case.says(case.stage.action("cancel_autopay", tokens.ADA, autopay_mandate_id=mandate))
    if said["status"] != "canceled":
        raise RefusedError(said["status"])


def charged_once(case: Case) -> list[str]:
    rows = case.sql("select period, status from autopay_charges order by period")
    statuses = [row["status"] for row in rows]
    taken = [one["amount"] for one in case.own("payment_intent") if one["status"] == "succeeded"]
    complaints = []
    # A setup that was heard of late has its first due date later, too.
    if statuses.count("succeeded") != len(taken) or not (taken or case.faults):
        complaints.append(f"the books say {rows}, the gateway took {taken}")
    if len({row["period"] for row in rows}) != len(rows):
        complaints.append(f"a period was charged twice: {rows}")
    return complaints


def never_charged(case: Case) -> list[str]:
    return [f"charged after it was ended: {one['id']}" for one in case.own("payment_intent")]


def tried_and_not_charged(case: Case) -> list[str]:
    rows = case.sql("select period, status from autopay_charges order by period")
    tries = [one["metadata"]["payment_attempt_id"] for one in case.own("payment_intent")]
    complaints = [f"charged {one['id']}" for one in case.charges()]
    if len(set(tries)) != len(tries):
        complaints.append(f"an attempt was made twice: {tries}")
    if len(tries) < 2 and not case.faults:
        complaints.append(f"the gateway heard {tries}, the books say {rows}")
    if len({row["period"] for row in rows}) != len(rows):
        complaints.append(f"a period was begun twice: {rows}")
    return complaints


def waiting_charge(case: Case) -> str | None:
    """Find the charge that only the customer can finish."""
    rows = case.sql("select id::text from autopay_charges where status = 'action_required'")
    return rows[0]["id"] if rows else None


def is_waiting(case: Case) -> bool:
    return waiting_charge(case) is not None


def open_page(case: Case) -> None:
    said = case.says(
        case.stage.action("pay_autopay_charge", tokens.ADA, autopay_charge_id=waiting_charge(case))
    )
    case.facts["page"] = said["session_id"]


def is_refused_a_page(case: Case) -> None:
    """Ask while the gateway says no for good; another time it may say yes."""
    refusals = case.stage.seam.refusals
    refusals.add("/v1/checkout/sessions")
    try:
        answer = case.stage.action(
            "pay_autopay_charge", tokens.ADA, autopay_charge_id=waiting_charge(case)
        )
    finally:
        refusals.clear()
    if answer.status != 422:
        case.says(answer)
        case.complaints.append("a refused page was answered with yes")


def pay_page(case: Case) -> None:
    if "page" in case.facts and is_waiting(case) and not case.charges():
        case.stage.pay(case.facts["page"])


def charged_with(card: str) -> tuple[Step, ...]:
    """Set it up and let a month fall due."""
    return (
        Step("setupAutopay", set_up),
        Step("saving a card", partial(save_card, card), by="payer"),
        Step("the notice is due", partial(go_to, "next_notice_at", "autopay_mandates"), by="payer"),
        Step("materialise_autopay", partial(tick, "materialise_autopay"), by="cron"),
        Step("it is due", partial(go_to, "next_try_at", "autopay_charges"), by="payer"),
        Step("run_autopay", partial(tick, "run_autopay"), by="cron"),
    )


AUTOPAY = Flow(
    "a month of autopay",
    (
        *charged_with(GOOD_CARD),
        Step("another five minutes", partial(wait, 300), by="payer"),
        Step("run_autopay again", partial(tick, "run_autopay"), by="cron"),
    ),
    charged_once,
    crons=CRONS,
    alone=True,
)
# The bank wants the customer to be there.
AUTOPAY_ATTENDED = Flow(
    "a month of autopay that the customer finishes",
    (
        *charged_with(CARD_OF_THE_CAUTIOUS),
        Step("payAutopayCharge, refused", is_refused_a_page, ready=is_waiting, repeats=False),
        Step("payAutopayCharge", open_page, ready=is_waiting, repeats=False),
        Step("paying", pay_page, by="payer"),
    ),
    charged_once,
    crons=CRONS,
    alone=True,
)
# Each try is an attempt with a key of its own, and begins when the one before has ended.
AUTOPAY_DECLINED = Flow(
    "a month of autopay that is declined, and tried again",
    (
        *charged_with(CARD_OF_THE_POOR),
        Step("the next try", partial(go_to, "next_try_at", "autopay_charges"), by="payer"),
        Step("run_autopay again", partial(tick, "run_autopay"), by="cron"),
    ),
    tried_and_not_charged,
    crons=CRONS,
    alone=True,
)
# The page is finished and nobody says so: the cron asks.
AUTOPAY_UNTOLD = Flow(
    "autopay set up, paused, resumed and ended, and no webhook comes",
    (
        Step("setupAutopay", set_up, repeats=False),
        Step("saving a card", partial(save_card, GOOD_CARD), by="payer"),
        Step("a while", partial(wait, 3600), by="payer"),
        Step("check_autopay_setups", partial(tick, "check_autopay_setups"), by="cron"),
        Step("pause and resume", pause_and_resume, ready=is_active, repeats=False),
        Step("cancelAutopay", cancel, ready=is_set_up),
    ),
    never_charged,
    couriers=False,
    crons=CRONS,
    alone=True,
)

FLOWS = (AUTOPAY, AUTOPAY_ATTENDED, AUTOPAY_DECLINED, AUTOPAY_UNTOLD)
