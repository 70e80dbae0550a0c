"""Credits that are given for a while: announced, and then gone, once, by crons alone."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from proof.cases import Case, Flow, Step
from proof.deeds import tick, wait
from proof.refunding import FIONA

from sandbox import tokens

DAY = 24 * 3600
GIVEN = 30


def grant(case: Case) -> None:
    """Give credits for ten days, counted from the first try."""
    (row,) = case.sql("select clock_now() as now")
    case.facts.setdefault("ends", (row["now"] + timedelta(days=10)).isoformat())
    said = case.says(
        case.stage.action(
            "grant_credits",
            FIONA,
            customer_id=tokens.ADA.customer_id,
            amount=GIVEN,
            idempotency_key=case.key,
            reason="a trial",
            expires_at=case.facts["ends"],
        )
    )
    case.same("credit_grant_id", said["credit_grant_id"])


def announced_and_gone(case: Case) -> list[str]:
    rows = case.sql(
        "select remaining, used, expired,"
        " (select array_agg(type order by type) from events where object_id = credit_lots.id"
        "  and type in ('credits.expiring', 'credits.expired')) as told"
        " from credit_lots join credit_grants on credit_grants.id = credit_grant_id"
        " where idempotency_key = %s",
        case.key,
    )
    wanted = {"remaining": 0, "used": 0, "expired": GIVEN}
    told = ["credits.expired", "credits.expiring"]
    fine = len(rows) == 1 and rows[0] in (wanted | {"told": told}, wanted | {"told": told[:1]})
    # Of credits that a dead cron did not announce in time there is no warning any more.
    late = fine and rows[0]["told"] != told and not case.faults
    return [] if fine and not late else [f"the books say {rows}"]


FLOWS = (
    Flow(
        "credits that expire",
        (
            Step("grantCredits", grant),
            Step("four days", partial(wait, 4 * DAY), by="payer"),
            Step("announcing", partial(tick, "announce_expiring_credits"), by="cron"),
            Step("a week", partial(wait, 7 * DAY), by="payer"),
            Step("expiring", partial(tick, "expire_credits"), by="cron"),
        ),
        announced_and_gone,
        crons=("announce_expiring_credits", "expire_credits"),
        couriers=False,
        alone=True,
    ),
)
