"""Money on a bank's statement: entered by one person, approved by another, and never twice."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import uuid4

from proof.cases import Case, Flow, Step

from sandbox import tokens

ASHA, TARUN, UMESH = (
    next(user for user in tokens.USERS if user.name == name) for name in ("asha", "tarun", "umesh")
)
ACCOUNT = "00000000-0000-4000-8000-000000000301"
AMOUNT, SENT = 245000, 250000


def initiate(case: Case) -> None:
    """Open the order's page; a transfer to the shop's own account opens none at a gateway."""
    asked = {"order_reference": case.key, "amount": AMOUNT, "currency": "INR", "method": "neft"}
    said = case.says(case.stage.action("initiate_payment", ASHA, **asked))
    case.same("order", said["transaction_id"])


def employ(case: Case) -> None:
    """The owner tells of somebody who works there from now on."""
    session = {
        "x-hasura-role": "owner",
        "x-hasura-user-id": UMESH.id,
        "x-hasura-organization-id": UMESH.organization_id,
    }
    asked = {"user_id": case.key, "role": "finance"}
    body = {"input": asked, "session_variables": session}
    said = case.says(case.stage.rest("POST", "/set-organization-member", json=body))
    case.same("member", said)


def add_account(case: Case) -> None:
    number = case.facts.setdefault("number", str(uuid4().int)[:12])
    asked = {"holder_name": "UberTruck", "bank_name": "Sandbox Bank", "ifsc": "SBXB0000123"}
    said = case.says(case.stage.action("add_bank_account", TARUN, account_number=number, **asked))
    case.same("account", said["bank_account_id"])


def decide_account(verb: str, case: Case) -> None:
    asked = {"bank_account_id": case.facts["account"]}
    case.says(case.stage.action(f"{verb}_bank_account", UMESH, **asked))


def record(kind: str, case: Case) -> None:
    """Enter a line of the statement under the case's key: one transfer, however often."""
    (row,) = case.sql("select (clock_now() at time zone 'UTC')::date::text as day")
    reference = f"{kind}{case.key[-12:]}"
    said = case.says(
        case.stage.action(
            "record_bank_transfer",
            TARUN,
            bank_account_id=ACCOUNT,
            rail="neft",
            reference=reference,
            amount=SENT,
            value_date=case.facts.setdefault("day", row["day"]),
            idempotency_key=reference,
        )
    )
    case.same(kind, said["bank_transfer_id"])


def match(case: Case) -> None:
    decide("match", "UTR", case, user=TARUN, order_display_id=case.facts["order"])


def decide(verb: str, kind: str, case: Case, user: tokens.User = UMESH, **more: Any) -> None:
    asked = {"bank_transfer_id": case.facts[kind], **more}
    case.says(case.stage.action(f"{verb}_bank_transfer", user, **asked))


def tick(case: Case) -> None:
    case.says(case.stage.tick("settle_bank_transfers"))


def shown_by_two_and_closed(case: Case) -> list[str]:
    query = "select status, made_by, checked_by from bank_accounts where account_number = %s"
    rows = case.sql(query, case.facts["number"])
    wanted = [{"status": "closed", "made_by": TARUN.id, "checked_by": UMESH.id}]
    return [] if rows == wanted else [f"the accounts are {rows}"]


def knows(*facts: str) -> Any:
    return lambda case: all(fact in case.facts for fact in facts)


def paid_once_and_the_rest_is_owed(case: Case) -> list[str]:
    rows = case.sql(
        "select status, gateway, (select array_agg(amount_captured::int order by is_surplus)"
        " from payment_attempts where payment_intent_id = order_checkouts.payment_intent_id)"
        " as captured from order_checkouts where reference = %s",
        case.key,
    )
    wanted = [{"status": "paid", "gateway": "bank_transfer", "captured": [AMOUNT, SENT - AMOUNT]}]
    complaints = [] if rows == wanted else [f"the books say {rows}"]
    rows = case.sql(
        "select status, amount_used::int as used from bank_transfers where id = any(%s::uuid[])"
        " order by status",
        [case.facts["UTR"], case.facts["TYPO"]],
    )
    wanted = [{"status": "approved", "used": SENT}, {"status": "rejected", "used": 0}]
    return complaints if rows == wanted else [*complaints, f"the transfers are {rows}"]


FLOWS = (
    Flow(
        "an order paid by bank transfer",
        (
            Step("initiatePayment", initiate),
            Step("recordBankTransfer", partial(record, "UTR")),
            Step("recordBankTransfer, wrongly", partial(record, "TYPO")),
            Step("matchBankTransfer", match, ready=knows("order", "UTR")),
            Step("approveBankTransfer", partial(decide, "approve", "UTR"), ready=knows("UTR")),
            Step(
                "rejectBankTransfer",
                partial(decide, "reject", "TYPO", reason="it is not on the statement"),
                ready=knows("TYPO"),
            ),
            Step("settle_bank_transfers", tick, by="cron"),
        ),
        paid_once_and_the_rest_is_owed,
        crons=("settle_bank_transfers",),
        couriers=False,
    ),
    Flow(
        "an account that payers are shown, and then are not",
        (
            Step("setOrganizationMember", employ),
            Step("addBankAccount", add_account, repeats=False),
            Step("approveBankAccount", partial(decide_account, "approve"), repeats=False),
            Step("closeBankAccount", partial(decide_account, "close"), ready=knows("account")),
        ),
        shown_by_two_and_closed,
        crons=(),
        couriers=False,
        alone=True,
    ),
)
