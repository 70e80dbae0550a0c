"""Money goes back over real parts: people, plain HTTP, the gateway's messages, faults and banks."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from e2e.product import World, until

from sandbox import tokens, world

GRACE = tokens.find("grace")
HEDY = tokens.find("hedy")
FIONA = tokens.find("fiona")
VICTOR = tokens.find("victor")
TENANT = "x-hasura-organization-id"

REFUND = """
mutation ($id: uuid!, $amount: bigint, $key: String!) {
  refundPayment(
    payment_intent_id: $id, amount: $amount, reason: "requested_by_customer", idempotency_key: $key
  ) {
    refund_id status type amount fee_amount currency refund { status payment_intent { status } }
  }
}
"""
REFUNDS = "query ($id: uuid!) { refunds(where: {payment_intent_id: {_eq: $id}}) { amount status } }"


def bought(product: World, card: str = "4242424242424242") -> str:
    """A paid purchase of 25 dollars; its payment intent."""
    page = product.create_payment().json()
    product.pay(page["session_id"], card)
    intent = page["payment_intent_id"]
    until(lambda: attempt(product, intent)["status"] == "captured", "the capture")
    return str(intent)


def attempt(product: World, intent: str) -> dict[str, Any]:
    (row,) = product.sql("select * from payment_attempts where payment_intent_id = %s", intent)
    return row


def refund(product: World, intent: str, amount: int | None = None, **more: Any) -> Any:
    user = more.pop("user", FIONA)
    key = more.pop("key", str(uuid4()))
    answer = product.graphql(REFUND, user, id=intent, amount=amount, key=key)
    return answer["data"]["refundPayment"] if "data" in answer else answer["errors"]


def refund_status(product: World, intent: str) -> str:
    (row,) = product.sql("select status from refunds where payment_intent_id = %s", intent)
    return str(row["status"])


def make_due(product: World) -> None:
    product.sql(
        "update refunds set next_check_at = clock_now() where next_check_at is not null"
        " returning id"
    )


def test_finance_refunds_a_part_and_the_customer_sees_it(product: World) -> None:
    before = product.balance()
    intent = bought(product)
    made = refund(product, intent, 1000)

    assert (made["status"], made["type"], made["amount"], made["fee_amount"]) == (
        "succeeded",
        "partial",
        "1000",
        "0",
    )
    assert made["refund"] == {"status": "succeeded", "payment_intent": {"status": "paid"}}
    assert product.balance() == before + 150
    seen = {"refunds": [{"amount": "1000", "status": "succeeded"}]}
    for user, rows in [
        (product.payer, seen),
        (VICTOR, seen),
        (GRACE, {"refunds": []}),
        (HEDY, {"refunds": []}),
    ]:
        assert product.graphql(REFUNDS, user, id=intent)["data"] == rows
    assert product.broken() == {}


@pytest.mark.parametrize("user", [tokens.ADA, VICTOR], ids=["customer", "viewer"])
def test_who_does_not_keep_the_books_has_no_such_mutation(product: World, user) -> None:
    (error,) = refund(product, str(uuid4()), user=user)

    assert error["extensions"]["code"] == "validation-failed"


def test_a_refusal_reaches_the_client_with_its_code(product: World) -> None:
    intent = bought(product)
    (error,) = refund(product, intent, 2501)

    assert error["extensions"]["code"] == "amount-out-of-range"
    assert error["message"] == "2501 is not between 1 and the 2500 left of this payment"


def post(product: World, intent: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    return product.web.post(
        f"{product.ports.app_url}/payments/{intent}/refund",
        json=body,
        headers={"ACTION-SECRET": world.ACTION_SECRET, TENANT: tokens.TIGER_CAMPUS} | headers,
    )


def test_the_path_of_the_seed_refunds_too_and_the_same_key_is_the_same_refund(
    product: World,
) -> None:
    intent = bought(product)
    body = {"reason": "order_canceled", "type": "cancellation", "idempotency_key": intent}
    first, again = post(product, intent, body), post(product, intent, body)

    assert first.status_code == 200, first.text
    assert (first.json()["type"], first.json()["amount"]) == ("cancellation", "2500")
    assert again.json() == first.json()
    assert product.broken() == {}


def test_plain_http_is_for_those_who_may(product: World) -> None:
    intent = bought(product)
    body = {"reason": "duplicate", "idempotency_key": "k"}
    customer = {
        "x-hasura-role": "customer",
        "x-hasura-user-id": product.payer.id,
    }
    answers = [
        post(product, intent, body, **{"ACTION-SECRET": "wrong"}),
        post(product, intent, body, **{"x-hasura-role": "operator"}),
        post(product, intent, body, **{TENANT: tokens.find("hedy").organization_id}),
        post(product, intent, body, **{TENANT: ""}),
        post(product, intent, body, **customer),
        post(product, "TXN-0", body),
        post(product, intent, {"reason": "duplicate"}),
        post(product, intent, body | {"type": "partial"}),
        post(product, intent, body | {"reason": "because"}),
    ]

    assert [answer.status_code for answer in answers] == [
        *(401, 409, 404, 404),
        *(409, 404, 400, 400, 404),
    ]
    assert {answer.json()["code"] for answer in answers} == {
        *("unauthorized", "refund-not-allowed", "not-found", "invalid-input"),
    }
    assert all(isinstance(answer.json()["error"], str) for answer in answers)
    assert product.sql("select from refunds where payment_intent_id = %s", intent) == []


def test_whoever_holds_the_secret_says_whose_money_goes_back(product: World) -> None:
    answer = product.web.post(
        f"{product.ports.app_url}/payments/{bought(product)}/refund",
        json={"reason": "duplicate", "idempotency_key": "k"},
        headers={"ACTION-SECRET": world.ACTION_SECRET},
    )

    assert (answer.status_code, answer.json()) == (
        403,
        {
            "error": "x-hasura-organization-id must say for which organisation",
            "code": "forbidden",
        },
    )


@pytest.mark.parametrize("kind", ["refuse", "lost_answer", "rate_limited", "malformed", "empty"])
@pytest.mark.parametrize("recovery", ["again", "cron"])
def test_what_stripe_spoiled_is_one_refund_in_the_end(product: World, kind, recovery) -> None:
    intent = bought(product)
    product.fault("refunds.create", kind)
    key = str(uuid4())
    assert refund(product, intent, key=key)["status"] in {"unknown", "succeeded"}

    if recovery == "again":
        assert refund(product, intent, key=key)["status"] == "succeeded"
    else:
        make_due(product)
        until(
            lambda: product.tick("check_refunds") and refund_status(product, intent) == "succeeded",
            "the refund",
        )
    stripes = product.sql(
        "select distinct notice ->> 'gateway_refund_id' as id from gateway_events"
        " where payment_attempt_id = %s and notice ->> 'subject' = 'refund'",
        attempt(product, intent)["id"],
    )
    assert len(stripes) == 1
    assert product.broken() == {}


def test_a_refund_that_the_bank_returns_has_failed_after_all(product: World) -> None:
    before = product.balance()
    intent = bought(product, "4000000000005126")
    refund(product, intent)

    until(lambda: refund_status(product, intent) == "failed", "the failure")
    assert product.balance() == before + 250
    assert attempt(product, intent)["amount_refunded"] == 0
    assert product.broken() == {}


def test_a_pending_refund_ends_by_the_gateways_message(product: World) -> None:
    intent = bought(product, "4000000000007726")
    assert refund(product, intent)["status"] in {"pending", "succeeded"}

    until(lambda: refund_status(product, intent) == "succeeded", "the success")
    assert product.broken() == {}


def test_a_refund_made_at_stripe_itself_is_in_our_books(product: World) -> None:
    intent = bought(product)
    payment = attempt(product, intent)["gateway_payment_id"]
    answer = product.web.post(
        f"{product.ports.gateways_url}/stripe/v1/refunds",
        data={"payment_intent": payment, "amount": "700"},
        headers={"Authorization": f"Bearer {world.STRIPE_SECRET_KEY}"},
    )
    assert answer.status_code == 200, answer.text

    until(lambda: attempt(product, intent)["amount_refunded"] == 700, "the refund")
    assert product.broken() == {}


@pytest.mark.parametrize("end", ["won", "lost"])
def test_a_dispute_is_followed_to_its_end(product: World, end: str) -> None:
    before = product.balance()
    intent = bought(product)
    payment = attempt(product, intent)["gateway_payment_id"]
    opened = product.control("POST", f"stripe/charges/{payment}/dispute", json={}).json()

    def dispute() -> dict[str, Any]:
        rows = product.sql("select * from disputes where payment_intent_id = %s", intent)
        return rows[0] if rows else {"status": None, "fee_amount": None}

    until(lambda: dispute()["fee_amount"], "the dispute and its fee")
    assert (dispute()["status"], dispute()["fee_amount"]) == ("opened", 1500)
    assert dispute()["evidence_due_at"] is not None
    (error,) = refund(product, intent)
    assert error["extensions"]["code"] == "amount-out-of-range"

    path = f"stripe/disputes/{opened['id']}/decide"
    product.control("POST", path, json={"outcome": end})
    until(lambda: dispute()["status"] == end, "the decision")
    assert product.balance() == before + (250 if end == "won" else 0)
    seen = product.graphql("{ disputes { gateway_dispute_id status } }", FIONA)["data"]["disputes"]
    assert {"gateway_dispute_id": opened["id"], "status": end} in seen
    assert product.broken() == {}


def test_a_dispute_whose_webhooks_are_lost_is_found_by_the_cron(product: World) -> None:
    intent = bought(product)
    payment = attempt(product, intent)["gateway_payment_id"]
    for kind in ("created", "funds_withdrawn"):
        product.fault(f"webhook:charge.dispute.{kind}", "drop")
    opened = product.control("POST", f"stripe/charges/{payment}/dispute", json={}).json()
    product.sql("update dispute_polls set due_at = clock_now() returning gateway")  # an hour later

    (dispute,) = until(
        lambda: (
            product.tick("check_disputes")
            and product.sql("select * from disputes where payment_intent_id = %s", intent)
        ),
        "the dispute",
    )
    assert (dispute["gateway_dispute_id"], dispute["status"]) == (opened["id"], "opened")
    assert dispute["fee_amount"] == 1500
    assert product.broken() == {}


def test_surplus_goes_back_by_itself(product: World) -> None:
    """I13: what is paid though nothing is owed any more."""
    page = product.create_payment().json()
    intent = page["payment_intent_id"]
    product.sql("update payment_intents set status = 'canceled' where id = %s returning id", intent)
    product.pay(page["session_id"])

    until(lambda: product.sql("select from refunds where payment_intent_id = %s", intent), "it")
    until(
        lambda: product.tick("check_refunds") and refund_status(product, intent) == "succeeded",
        "the refund",
    )
    (listed,) = product.sql(
        "select resolved_at from exceptions where class = 'surplus-payment' and object_id = %s",
        attempt(product, intent)["id"],
    )
    assert listed["resolved_at"] is not None
    assert product.broken() == {}
