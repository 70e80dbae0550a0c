"""Autopay over real parts: a page that saves a card, and crons that charge it."""

from typing import Any

import psycopg
import pytest
from e2e.product import World, until

from sandbox import tokens, world

HEDY = tokens.find("hedy")

STATE = """
query ($id: uuid!) {
  autopay_mandates_by_pk(id: $id) {
    status reason amount day_of_month payment_method { type status }
    autopay_charges { id status reason period tries payment_intent { status } }
  }
}
"""
PAY = """
mutation ($id: uuid!) {
  payAutopayCharge(autopay_charge_id: $id) {
    checkout_url session_id amount credits_amount autopay_charge { status }
  }
}
"""
CHANGE = "mutation ($id: uuid!) { %sAutopay(autopay_mandate_id: $id) { status next_due_on } }"


@pytest.fixture
def payer(product: World) -> tokens.User:
    """A customer of Tiger Campus Services whom no other test charges in this month."""
    return product.payer


def set_up(product: World, user: tokens.User, card: str) -> str:
    """Post Tiger Campus's own request, finish the page, and wait for the gateway's message.

    Its day is half a month away: nobody's falls due by itself while others look at what is due.
    """
    (row,) = product.sql("select extract(day from clock_now() + interval '15 days')::int as day")
    answer = product.web.post(
        f"{product.ports.app_url}/setup-autopay",
        json={
            "input": {"amount": 2500, "day_of_month": row["day"]},
            "session_variables": {"x-hasura-user-id": user.id},
        },
        headers={"ACTION-SECRET": world.ACTION_SECRET},
    )
    assert answer.status_code == 200, answer.text
    product.pay(answer.json()["session_id"], card)
    mandate_id: str = answer.json()["autopay_mandate_id"]
    until(lambda: state(product, user, mandate_id)["status"] == "active", "the mandate")
    return mandate_id


def state(product: World, user: tokens.User, mandate_id: str) -> dict[str, Any]:
    found: dict[str, Any] = product.graphql(STATE, user, id=mandate_id)["data"]
    return found["autopay_mandates_by_pk"]


def fall_due(product: World, mandate_id: str) -> None:
    """Make today its day, as if it had been set up before: time stands still for the others."""
    with psycopg.connect(product.database_url) as db:
        db.execute("set local session_replication_role = replica")
        db.execute(
            """update autopay_mandates set
                local_time = '00:00', next_notice_at = clock_now(),
                anchor_on = (clock_now() at time zone timezone)::date,
                next_due_on = (clock_now() at time zone timezone)::date,
                day_of_month = extract(day from clock_now() at time zone timezone)
            where id = %s""",
            [mandate_id],
        )


def tick(product: World) -> dict[str, int]:
    product.tick("materialise_autopay")
    done: dict[str, int] = product.tick("run_autopay")
    return done


def test_a_saved_card_is_charged_once_and_credits_come(product: World, payer: tokens.User) -> None:
    before = product.balance(payer)
    mandate_id = set_up(product, payer, "4242424242424242")
    fall_due(product, mandate_id)

    assert tick(product) == {"claimed": 1, "paid": 1}
    assert tick(product) == {}

    assert product.balance(payer) == before + 250
    product.tick("check_autopay_setups")  # the message did not say what was saved; Stripe does
    found = state(product, payer, mandate_id)
    assert found["payment_method"] == {"type": "card", "status": "active"}
    (charge,) = found["autopay_charges"]
    assert (charge["status"], charge["payment_intent"]["status"]) == ("succeeded", "paid")
    (row,) = product.graphql(
        "{ tcs_payment_methods { user_id type auto_pay_amount auto_pay_enabled } }", payer
    )["data"]["tcs_payment_methods"]
    assert (row["type"], row["auto_pay_amount"], row["auto_pay_enabled"]) == ("card", "2500", True)
    paused = product.graphql(CHANGE % "pause", payer, id=mandate_id)["data"]["pauseAutopay"]
    assert paused == {"status": "paused", "next_due_on": None}
    resumed = product.graphql(CHANGE % "resume", payer, id=mandate_id)["data"]["resumeAutopay"]
    assert resumed["status"] == "active"
    strange = product.graphql(CHANGE % "cancel", HEDY, id=mandate_id)
    assert strange["errors"][0]["extensions"]["code"] == "not-found"
    product.graphql(CHANGE % "cancel", payer, id=mandate_id)
    assert product.broken() == {}


@pytest.mark.parametrize(
    ("card", "charge_status", "mandate_status"),
    [
        ("4000000000000341", "due", "active"),  # declined: another day
        ("4000002760003184", "action_required", "active"),  # wants the payer each time
    ],
)
def test_each_kind_of_decline_leads_to_its_state(
    product: World, payer: tokens.User, card: str, charge_status: str, mandate_status: str
) -> None:
    before = product.balance(payer)
    mandate_id = set_up(product, payer, card)
    fall_due(product, mandate_id)
    assert tick(product) == {"claimed": 1, "failed": 1}

    found = state(product, payer, mandate_id)
    (charge,) = found["autopay_charges"]
    assert (charge["status"], found["status"]) == (charge_status, mandate_status)
    assert product.balance(payer) == before

    if charge_status == "action_required":
        page = product.graphql(PAY, payer, id=charge["id"])["data"]["payAutopayCharge"]
        assert (page["amount"], page["credits_amount"]) == ("2500", "250.0000")
        product.pay(page["session_id"])
        until(lambda: product.balance(payer) == before + 250, "the credits")
        (charge,) = state(product, payer, mandate_id)["autopay_charges"]
        assert charge["status"] == "succeeded"
    product.graphql(CHANGE % "cancel", payer, id=mandate_id)
    assert product.broken() == {}


def test_a_gateway_that_acts_and_does_not_answer_charges_once(
    product: World, payer: tokens.User
) -> None:
    before = product.balance(payer)
    mandate_id = set_up(product, payer, "4242424242424242")
    fall_due(product, mandate_id)
    product.fault("payment_intents.create", "lost_answer")
    done = tick(product)

    assert done in ({"claimed": 1, "silent": 1}, {"claimed": 1, "paid": 1})
    until(lambda: product.balance(payer) == before + 250, "the webhook that told of it")
    (charge,) = state(product, payer, mandate_id)["autopay_charges"]
    assert (charge["status"], charge["tries"]) == ("succeeded", 1)
    assert tick(product) == {}
    product.graphql(CHANGE % "cancel", payer, id=mandate_id)
    assert product.broken() == {}


def test_a_setup_with_a_day_that_no_month_has_is_refused(product: World) -> None:
    asked = "mutation { setupAutopay(amount: 2500, day_of_month: 32) { checkout_url } }"
    answer = product.graphql(asked, HEDY)

    assert answer["errors"][0]["extensions"]["code"] == "invalid-input"
    assert product.sql("select 1 from autopay_mandates where day_of_month > 31") == []
