"""Orders of other systems: paid on a page by the customer, or charged because a bus said so."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

from gateways.world import Payer, Refunds
from proof.cases import CLIENT, JANITOR, Case, Flow, Step
from proof.deeds import capture, initiate, is_held, verify
from proof.outcomes import taken_as_told
from proof.shops import AMOUNT, CAMPUS, GATEWAYS
from proof.visits import (
    choose,
    choose_card,
    come_back,
    hand_over,
    is_begun,
    is_initiated,
    is_there,
    look,
    pay,
    watch,
)

from sandbox import tokens

STRIPE = GATEWAYS[0]
CRONS = ("apply_gateway_events", "charge_orders", "check_payments", "store_missing_receipts")


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


def is_refused_its_capture(case: Case) -> None:
    """Ask for the money while the gateway says no to that; the next time it says yes."""
    refusals = case.stage.seam.refusals
    refusals.add("/capture")
    try:
        answer = case.stage.action(
            "capture_payment",
            CAMPUS.keeper,
            payment_intent_id=case.facts["payment_intent_id"],
            amount=STRIPE.capture,
        )
    finally:
        refusals.clear()
    if answer.status != 422:
        case.says(answer)
        case.complaints.append("a capture that was refused was answered with yes")


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
    closed = [{"status": "expired", "attempt": "expired"}]
    if rows == closed and not case.charges() and case.faults and CLIENT not in case.powers:
        return []  # the page was closed for another choice, unheard: the payer would choose again
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
            Step("initiatePayment", partial(initiate, CAMPUS)),
            Step("looking", look, ready=is_initiated),
            Step("choosing", partial(choose, "wallet"), ready=is_initiated, repeats=False),
            Step("going there", hand_over, ready=is_begun, repeats=False),
            Step("choosing anew", choose_card, ready=is_initiated),
            Step("going to the page", hand_over, ready=is_begun),
            Step("paying", partial(pay, Payer.PAYS, Refunds.SUCCEED), by="payer"),
            Step("watching", watch, ready=is_initiated),
            Step("coming back", come_back, ready=is_there),
            Step("asking by its display id", partial(verify, CAMPUS), ready=is_initiated),
        ),
        paid_once,
    ),
    Flow(
        "an order paid at the gateway that its shop names",
        (
            Step("initiatePayment", partial(initiate, CAMPUS, gateway="stripe")),
            Step("going to the page", hand_over, ready=is_begun),
            Step("paying", partial(pay, Payer.PAYS, Refunds.SUCCEED), by="payer"),
            Step("coming back", come_back, ready=is_there),
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
        "an order authorised because a bus said so, and taken later",
        (
            Step("the customer", know_the_customer, by="payer"),
            Step("initiatePayment", partial(initiate, CAMPUS, capture_method="manual")),
            Step("order.ready_for_payment", ready),
            Step("capturePayment", partial(capture, STRIPE), ready=is_held),
        ),
        partial(taken_as_told, STRIPE),
        crons=CRONS,
        alone=True,
    ),
    Flow(
        "an order whose capture is refused first",
        (
            Step("the customer", know_the_customer, by="payer"),
            Step("initiatePayment", partial(initiate, CAMPUS, capture_method="manual")),
            Step("order.ready_for_payment", ready),
            Step("refused", is_refused_its_capture, ready=is_held, repeats=False),
            Step("capturePayment", partial(capture, STRIPE), ready=is_held),
        ),
        partial(taken_as_told, STRIPE),
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
