"""Credits given, used and returned: no gateway, and still one effect a key."""

from __future__ import annotations

from proof.cases import Case, Flow, Step
from proof.refunding import FIONA

from sandbox import tokens

GIVEN, USED = 30, 12


def grant(case: Case) -> None:
    said = case.says(
        case.stage.action(
            "grant_credits",
            FIONA,
            customer_id=tokens.ADA.customer_id,
            amount=GIVEN,
            idempotency_key=case.key,
            reason="a welcome",
        )
    )
    case.same("credit_grant_id", said["credit_grant_id"])


def is_given(case: Case) -> bool:
    return "credit_grant_id" in case.facts


def spend(case: Case) -> None:
    said = case.says(
        case.stage.action(
            "spend_credits",
            FIONA,
            "owner",
            customer_id=tokens.ADA.customer_id,
            amount=USED,
            idempotency_key=case.key,
            description="a ride",
        )
    )
    case.same("credit_spend_id", said["credit_spend_id"])


def is_spent(case: Case) -> bool:
    return "credit_spend_id" in case.facts


def give_back(case: Case) -> None:
    said = case.says(
        case.stage.action(
            "return_credits",
            FIONA,
            "owner",
            credit_spend_id=case.facts["credit_spend_id"],
            idempotency_key=case.key,
            reason="the ride was called off",
        )
    )
    case.same("credit_return_id", said["credit_return_id"])


def set_rate(case: Case) -> None:
    """Say the price that is in force already: it may be said again and again."""
    said = case.says(case.stage.action("set_credit_rate", FIONA, currency="USD", rate=10))
    case.same("rate", float(said["rate"]))


def set_policy(case: Case) -> None:
    """Say what goes back, as it is without a word: it may be said again and again."""
    said = case.says(case.stage.action("set_refund_policy", FIONA, purpose="order", currency="USD"))
    case.same("policy", said["valid_from"])


def set_origins(case: Case) -> None:
    """Say which sites may show a page: the same ones may be said again and again."""
    origins = ["https://shop.example"]
    said = case.says(case.stage.action("set_embedding_origins", FIONA, "owner", origins=origins))
    case.same("origins", said)


def each_happened_once(case: Case) -> list[str]:
    (row,) = case.sql(
        "select (select count(*) from credit_grants where idempotency_key = %s) as grants,"
        " (select count(*) from credit_spends where idempotency_key = %s) as spends,"
        " (select count(*) from credit_returns where idempotency_key = %s) as returns",
        case.key,
        case.key,
        case.key,
    )
    return [] if set(row.values()) == {1} else [f"the books say {row}"]


SPEND = Flow(
    "credits given, used and returned",
    (
        Step("setCreditRate", set_rate),
        Step("setRefundPolicy", set_policy),
        Step("setEmbeddingOrigins", set_origins),
        Step("grantCredits", grant),
        Step("spendCredits", spend, ready=is_given),
        Step("returnCredits", give_back, ready=is_spent),
    ),
    each_happened_once,
    crons=("apply_gateway_events", "expire_credits", "announce_expiring_credits"),
)

FLOWS = (SPEND,)
