"""Orders of other systems: paid on a page by the customer, or charged because a bus said so."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
from proof.cases import JANITOR, Case, Flow, RefusedError, Step

from sandbox import tokens

AMOUNT = 4200
CRONS = ("apply_gateway_events", "charge_orders", "check_payments", "store_missing_receipts")


def initiate(case: Case, **named: str) -> None:
    """Ask for the page of an order, which is one however often it is asked."""
    said = case.says(
        case.stage.action(
            "initiate_payment",
            tokens.ADA,
            order_reference=case.key,
            amount=AMOUNT,
            currency="USD",
            **named,
        )
    )
    for name in ("transaction_id", "payment_intent_id", "payment_url"):
        case.same(name, said[name])


def initiate_at_stripe(case: Case) -> None:
    initiate(case, gateway="stripe")


def visit(case: Case, method: str, path: str, expected: int) -> None:
    """Send a browser somewhere, each case from an address of its own."""
    case.facts.setdefault("address", f"2001:db8::{uuid4().hex[:4]}:{uuid4().hex[:4]}")
    where = {"REMOTE_ADDR": case.facts["address"]}
    answer = case.stage.call(method, path, environ_base=where)
    if answer.status != expected:
        raise RefusedError(f"{answer.status} {answer.body}")


def attempts(case: Case) -> list[dict[str, Any]]:
    """List the order's attempts that have a page, the newest first."""
    return case.sql(
        "select payment_attempts.id, payment_attempts.status, gateway_session_id"
        " from payment_attempts join orders using (payment_intent_id)"
        " join checkout_sessions on payment_attempt_id = payment_attempts.id"
        " where reference = %s order by payment_attempts.created_at desc",
        case.key,
    )


def is_initiated(case: Case) -> bool:
    return "payment_url" in case.facts


def is_begun(case: Case) -> bool:
    return bool(attempts(case))


def page(case: Case) -> str:
    return httpx.URL(case.facts["payment_url"]).path


def look(case: Case) -> None:
    visit(case, "GET", page(case), 200)


def watch(case: Case) -> None:
    visit(case, "GET", f"{page(case)}/state", 200)


def choose(method: str, case: Case) -> None:
    visit(case, "POST", f"{page(case)}/methods/{method}", 303)


def choose_another(case: Case) -> None:
    choose("wallet", case)


def choose_card(case: Case) -> None:
    choose("card", case)


def hand_over(case: Case) -> None:
    """Go to the gateway's page; once it is paid, back to ours."""
    is_over = attempts(case)[0]["status"] not in {"created", "unknown", "pending"}
    visit(case, "GET", f"/payments/handover/{attempts(case)[0]['id']}", 303 if is_over else 200)


def pay(case: Case) -> None:
    """Pay the page that the payer was brought to last, if it still takes anything."""
    known = [row["gateway_session_id"] for row in attempts(case)][:1]
    for session in case.own("checkout.session"):
        if session["id"] in known and session["status"] == "open" and not case.charges():
            case.stage.pay(session["id"])


def come_back(case: Case) -> None:
    attempt = attempts(case)[0]
    session = attempt["gateway_session_id"] or ""
    visit(case, "GET", f"/payments/return/{attempt['id']}?session_id={session}", 303)


def verify(case: Case) -> None:
    session = {
        "x-hasura-role": "customer",
        "x-hasura-user-id": tokens.ADA.id,
        "x-hasura-organization-id": tokens.TIGER_CAMPUS,
    }
    path = f"/payments/{case.facts['transaction_id']}/verify"
    case.says(case.stage.rest("GET", path, headers=session))


def know_the_customer(case: Case) -> None:
    """Ada has an id at the shop and a saved card; both are there before any order is."""
    if "customer" in case.facts:
        return
    url = f"{case.stage.ports.gateways_url}/_sandbox/stripe/customers"
    made = case.stage.web.post(url, json={"card": "4242424242424242"}).json()["customers"][0]
    case.facts["customer"] = f"C-{uuid4()}"
    case.sql(
        "update customers set external_id = %s where id = %s returning id",
        case.facts["customer"],
        tokens.ADA.customer_id,
    )
    case.sql(
        "insert into payment_methods (organization_id, livemode, customer_id, gateway,"
        " gateway_customer_id, gateway_payment_method_id, type)"
        " values (%s, false, %s, 'stripe', %s, %s, 'card') returning id",
        tokens.TIGER_CAMPUS,
        tokens.ADA.customer_id,
        made["customer"],
        made["payment_method"],
    )


def hear(kind: str, case: Case) -> None:
    """The bus delivers an event of the order, with one id however often it does."""
    event = {
        "id": f"{kind}-{case.key}",
        "type": kind,
        "time": "2026-11-21T10:00:00Z",
        "data": {"orderId": case.key, "customerId": case.facts["customer"], "amount": "42.00"},
    }
    headers = {"x-hasura-organization-id": tokens.TIGER_CAMPUS}
    case.says(case.stage.rest("POST", "/events", json=event, headers=headers))


def ready(case: Case) -> None:
    hear("order.ready_for_payment", case)


def reserved(case: Case) -> None:
    hear("inventory.reserved", case)


def cancelled(case: Case) -> None:
    hear("order.cancelled", case)


def tick_charges(case: Case) -> None:
    case.stage.advance(70)
    case.says(case.stage.tick("charge_orders"))


def paid_once(case: Case) -> list[str]:
    rows = case.sql(
        "select status, payment_attempt_status as attempt from order_checkouts"
        " where reference = %s",
        case.key,
    )
    complaints = []
    if rows != [{"status": "paid", "attempt": "captured"}]:
        complaints.append(f"the books say {rows}")
    if len(case.charges()) != 1:
        complaints.append(f"the gateway took money {len(case.charges())} times")
    return complaints


def all_of_it_went_back(case: Case) -> list[str]:
    taken = sum(one["amount"] for one in case.charges())
    back = sum(one["amount"] for one in case.own("refund") if one["status"] == "succeeded")
    if JANITOR not in case.powers:  # who sends it is the cron: without it, it is promised only
        (promised,) = case.sql(
            "select coalesce(sum(refunds.amount), 0)::int as amount from refunds"
            " join orders using (payment_intent_id) where reference = %s",
            case.key,
        )
        back = promised["amount"]
    rows = case.sql(
        "select payment_intents.status from orders"
        " join payment_intents on payment_intents.id = payment_intent_id where reference = %s",
        case.key,
    )
    complaints = []
    if taken not in (0, AMOUNT) or back != taken:
        complaints.append(f"the gateway took {taken} and gave {back} back; the books say {rows}")
    if not taken and [row["status"] for row in rows] != ["canceled"]:
        complaints.append(f"the books say {rows}")
    return complaints


FLOWS = (
    Flow(
        "an order paid on a page",
        (
            Step("initiatePayment", initiate),
            Step("looking", look, ready=is_initiated),
            Step("choosing", choose_another, ready=is_initiated, repeats=False),
            Step("going there", hand_over, ready=is_begun, repeats=False),
            Step("choosing anew", choose_card, ready=is_initiated),
            Step("going to the page", hand_over, ready=is_begun),
            Step("paying", pay, by="payer"),
            Step("watching", watch, ready=is_initiated),
            Step("coming back", come_back, ready=is_begun),
            Step("asking by its display id", verify, ready=is_initiated),
        ),
        paid_once,
    ),
    Flow(
        "an order paid at the gateway that its shop names",
        (
            Step("initiatePayment", initiate_at_stripe),
            Step("going to the page", hand_over, ready=is_begun),
            Step("paying", pay, by="payer"),
            Step("coming back", come_back, ready=is_begun),
        ),
        paid_once,
    ),
    Flow(
        "an order charged because a bus said so",
        (
            Step("the customer", know_the_customer, by="payer"),
            Step("order.ready_for_payment", ready),
            Step("inventory.reserved", reserved),
            Step("charge_orders", tick_charges, by="cron"),
        ),
        paid_once,
        crons=CRONS,
        alone=True,
    ),
    Flow(
        "an order charged, and called off",
        (
            Step("the customer", know_the_customer, by="payer"),
            Step("order.ready_for_payment", ready),
            Step("order.cancelled", cancelled),
        ),
        all_of_it_went_back,
        crons=(*CRONS, "check_refunds"),
        alone=True,
    ),
)
