"""A lost webhook is no lost payment: a cron asks the gateway, and so may whoever wants to know."""

from typing import Any

import pytest
from e2e.product import World, until

from sandbox import tokens, world

WEBHOOKS = "webhook:checkout.session.completed"
VERIFY = (
    "mutation($id: uuid!) { verifyPayment(payment_intent_id: $id)"
    " { payment_intent_id status amount currency payment_intent { status } } }"
)
DECLINED = (
    "mutation($id: uuid!) { verifyPayment(payment_intent_id: $id)"
    " { status failure_code decline_class declined_at } }"
)
NO_FUNDS = "4000000000009995"
CANCEL = "mutation($id: uuid!) { cancelPayment(payment_intent_id: $id) { status } }"


@pytest.fixture
def paid_in_silence(product: World) -> Any:
    """A payment that the gateway has, and no message of it ever comes."""
    product.control("POST", "faults", json=_lost(WEBHOOKS))
    product.control("POST", "faults", json=_lost("webhook:payment_intent.succeeded"))
    page = product.create_payment().json()
    product.pay(page["session_id"])
    yield page
    product.control("DELETE", "faults")


def _lost(operation: str) -> dict[str, Any]:
    return {"gateway": "stripe", "operation": operation, "kind": "drop", "times": None}


def make_due(product: World, intent_id: str) -> None:
    product.sql(
        "update payment_attempts set next_check_at = clock_now()"
        " where payment_intent_id = %s returning id",
        intent_id,
    )


def status(product: World, intent_id: str) -> str:
    (row,) = product.sql("select status from payment_intents where id = %s", intent_id)
    return str(row["status"])


def test_a_cron_finds_the_payment_whose_webhooks_were_lost(
    product: World, paid_in_silence: dict[str, Any]
) -> None:
    before, intent = product.balance(), paid_in_silence["payment_intent_id"]
    assert status(product, intent) == "pending"

    make_due(product, intent)
    until(lambda: product.tick("check_payments") and status(product, intent) == "paid", "paid")
    assert product.balance() == before + 250
    assert product.broken() == {}


def test_the_customer_who_asks_gets_their_credits(
    product: World, paid_in_silence: dict[str, Any]
) -> None:
    before, intent = product.balance(), paid_in_silence["payment_intent_id"]
    for _ in range(2):
        told = product.graphql(VERIFY, id=intent)["data"]["verifyPayment"]
        assert told == {
            "payment_intent_id": intent,
            "status": "paid",
            "amount": "2500",
            "currency": "USD",
            "payment_intent": {"status": "paid"},
        }
    assert product.balance() == before + 250


def test_the_path_of_the_seed_answers_the_same(
    product: World, paid_in_silence: dict[str, Any]
) -> None:
    intent = paid_in_silence["payment_intent_id"]
    url = f"{product.ports.app_url}/payments/{intent}/verify"
    answer = product.web.get(url, headers={"ACTION-SECRET": world.ACTION_SECRET})

    assert (answer.status_code, answer.json()["status"]) == (200, "paid")
    assert product.web.get(url).status_code == 401
    foreign = {"ACTION-SECRET": world.ACTION_SECRET, "x-hasura-role": "finance"}
    assert product.web.get(url, headers=foreign).status_code == 404
    nonsense = f"{product.ports.app_url}/payments/nonsense/verify"
    assert product.web.get(nonsense, headers=foreign).status_code == 404


@pytest.mark.parametrize("is_heard", [True, False])
def test_who_asks_hears_why_the_last_try_was_declined(product: World, is_heard: bool) -> None:
    page = product.create_payment().json()
    if not is_heard:
        product.control("POST", "faults", json=_lost("webhook:payment_intent.payment_failed"))
    try:
        url = f"{product.ports.gateways_url}/_sandbox/stripe/sessions/{page['session_id']}/pay"
        assert product.web.post(url, json={"card": NO_FUNDS}).json()["outcome"] == "declined"
        told = product.graphql(DECLINED, id=page["payment_intent_id"])["data"]["verifyPayment"]
    finally:
        product.control("DELETE", "faults")

    assert told.pop("declined_at") is not None
    assert told == {
        "status": "pending",
        "failure_code": "insufficient_funds",
        "decline_class": "soft",
    }
    product.pay(page["session_id"])
    until(lambda: status(product, page["payment_intent_id"]) == "paid", "paid after all")
    told = product.graphql(DECLINED, id=page["payment_intent_id"])["data"]["verifyPayment"]
    assert {told.pop("status"), *told.values()} == {"paid", None}
    assert product.broken() == {}


def test_nobody_verifies_another_customers_payment(product: World) -> None:
    intent = product.create_payment().json()["payment_intent_id"]
    answer = product.graphql(VERIFY, tokens.USERS[1], id=intent)

    assert answer["errors"][0]["extensions"]["code"] == "not-found"


def test_a_silent_gateway_leaves_the_state_as_it_is_known(product: World) -> None:
    intent = product.create_payment().json()["payment_intent_id"]
    product.fault("checkout.sessions.*", "refuse", times=1)
    told = product.graphql(VERIFY, id=intent)

    assert told["data"]["verifyPayment"]["status"] == "pending"
    product.control("DELETE", "faults")


def test_a_canceled_payment_takes_no_money(product: World) -> None:
    page = product.create_payment().json()
    answer = product.graphql(CANCEL, id=page["payment_intent_id"])
    assert answer["data"]["cancelPayment"]["status"] == "canceled"
    assert product.graphql(CANCEL, id=page["payment_intent_id"]) == answer

    refused = product.web.post(
        f"{product.ports.gateways_url}/_sandbox/stripe/sessions/{page['session_id']}/pay",
        json={"card": "4242424242424242"},
    )
    assert not refused.is_success
    assert product.broken() == {}


def test_a_payment_that_was_faster_than_its_cancellation_is_paid(
    product: World, paid_in_silence: dict[str, Any]
) -> None:
    before = product.balance()
    answer = product.graphql(CANCEL, id=paid_in_silence["payment_intent_id"])

    assert answer["data"]["cancelPayment"]["status"] == "paid"
    assert product.balance() == before + 250
