"""Stripe down, slow, lying, or telling us twice: nothing half-written, nothing lost."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe
from e2e.product import World, until

from app.clock import Clock
from sandbox.world import STRIPE_WEBHOOK_SECRET

CREATE = "checkout.sessions.create"


@pytest.mark.parametrize(
    "kind",
    [
        "refuse",
        "lost_answer",
        "error_500",
        "error_after_effect",
        "rate_limited",
        "nonsense",
        "malformed",
        "empty",
    ],
)
def test_the_same_call_again_completes_what_stripe_spoiled(product: World, kind: str) -> None:
    key = f"trouble-{kind}"
    before = product.balance()
    product.fault(CREATE, kind, times=None)
    failed = product.create_payment(idempotency_key=key)
    product.control("DELETE", "faults")
    assert failed.status_code == 424
    assert failed.json()["extensions"]["code"] == "gateway-unavailable"

    again = product.create_payment(idempotency_key=key)
    assert again.status_code == 200
    product.pay(again.json()["session_id"])

    until(lambda: product.balance() == before + 250, "the credits")
    rows = product.sql(
        "select status from payment_intents where id in"
        " (select payment_intent_id from credit_purchases where idempotency_key = %s)",
        key,
    )
    assert [row["status"] for row in rows] == ["paid"]
    assert product.broken() == {}


def test_a_slow_stripe_is_given_up_and_asked_again(product: World) -> None:
    product.fault(CREATE, "slow", seconds=14, times=None)  # the service waits for eight
    failed = product.create_payment(idempotency_key="slow")
    product.control("DELETE", "faults")

    assert failed.json()["extensions"]["code"] == "gateway-unavailable"
    # Stripe may still be busy with the first one, and says so: that is no answer either.
    until(lambda: product.create_payment(idempotency_key="slow").status_code == 200, "the page")


def signed(event: dict[str, Any], skew: int = 0) -> tuple[str, dict[str, str]]:
    body = json.dumps(event)
    stamp = int(Clock().now().timestamp()) + skew
    header = stripe.WebhookSignature.generate_signature_header(
        body, STRIPE_WEBHOOK_SECRET, timestamp=stamp
    )
    return body, {"Stripe-Signature": header}


def completed(payment: dict[str, Any], attempt_id: str, **changes: object) -> dict[str, Any]:
    session = {
        "id": payment["session_id"],
        "payment_status": "paid",
        "amount_total": 2500,
        "currency": "usd",
        "payment_intent": f"pi_{payment['session_id']}",
        "metadata": {"payment_attempt_id": attempt_id},
    }
    return {
        "id": f"evt_{payment['session_id']}",
        "object": "event",
        "created": 1_790_000_000,
        "livemode": False,
        "type": "checkout.session.completed",
        "data": {"object": session | changes},
    }


def opened(product: World) -> tuple[dict[str, Any], str]:
    payment = product.create_payment().json()
    (row,) = product.sql(
        "select id from payment_attempts where payment_intent_id = %s",
        payment["payment_intent_id"],
    )
    return payment, str(row["id"])


def post(product: World, body: str, headers: dict[str, str]) -> Any:
    return product.web.post(
        f"{product.ports.app_url}/stripe-webhook", content=body, headers=headers
    )


def entries(product: World, payment: dict[str, Any]) -> int:
    return len(
        product.sql(
            "select from credit_entries where reference_id = %s", payment["credit_purchase_id"]
        )
    )


def test_200_concurrent_replays_of_one_webhook_make_one_credit_entry(product: World) -> None:
    payment, attempt_id = opened(product)
    body, headers = signed(completed(payment, attempt_id))
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(product, body, headers), range(200)))

    # What is answered with 503 was not stored, and is sent again as Stripe would.
    assert {answer.status_code for answer in answers} == {200}
    assert entries(product, payment) == 1
    assert product.broken() == {}


@pytest.mark.parametrize("skew", [-400, 400])
def test_a_webhook_signed_at_another_time_changes_nothing(product: World, skew: int) -> None:
    payment, attempt_id = opened(product)
    answer = post(product, *signed(completed(payment, attempt_id), skew))

    assert (answer.status_code, entries(product, payment)) == (401, 0)


def test_an_altered_webhook_changes_nothing(product: World) -> None:
    payment, attempt_id = opened(product)
    body, headers = signed(completed(payment, attempt_id))
    answer = post(product, body.replace("2500", "2501"), headers)

    assert (answer.status_code, entries(product, payment)) == (401, 0)


def test_another_amount_is_held_and_listed_for_a_person(product: World) -> None:
    payment, attempt_id = opened(product)
    answer = post(product, *signed(completed(payment, attempt_id, amount_total=2400)))

    assert answer.json() == {"received": True, "status": "parked"}
    assert entries(product, payment) == 0
    listed = product.sql(
        "select class, exceptions.amount from exceptions"
        " join gateway_events on payment_attempt_id = object_id where event_id = %s",
        f"evt_{payment['session_id']}",
    )
    assert listed == [{"class": "amount-mismatch", "amount": 2400}]
    assert product.broken() == {}


def test_an_unknown_session_is_kept_and_listed(product: World) -> None:
    event = completed({"session_id": "cs_test_nobody"}, "6f1e9a3e-5a55-4a5a-9a55-000000000001")
    answer = post(product, *signed(event))

    assert answer.json() == {"received": True, "status": "parked"}


def test_a_declined_card_leaves_the_page_open_for_another(product: World) -> None:
    before = product.balance()
    payment = product.create_payment().json()
    declined = product.web.post(
        f"{product.ports.gateways_url}/_sandbox/stripe/sessions/{payment['session_id']}/pay",
        json={"card": "4000000000000002"},
    )
    assert declined.status_code < 500
    product.pay(payment["session_id"])

    until(lambda: product.balance() == before + 250, "the credits")


def test_a_page_that_is_closed_ends_the_purchase(product: World) -> None:
    payment = product.create_payment().json()
    client = stripe.StripeClient(
        "sk_test_sandbox_key_known_to_everybody",
        base_addresses={"api": f"{product.ports.gateways_url}/stripe"},
    )
    client.v1.checkout.sessions.expire(payment["session_id"])

    def status() -> bool:
        (row,) = product.sql(
            "select status from payment_intents where id = %s", payment["payment_intent_id"]
        )
        return row["status"] == "expired"

    assert until(status, "the end")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "duplicate", "n": 5},
        {"kind": "wrong_signature"},
        {"kind": "stale", "seconds": 400},
        {"kind": "future", "seconds": 400},
        {"kind": "delay", "seconds": 1},
    ],
)
def test_a_spoiled_webhook_is_sent_again_and_counts_once(product: World, fault) -> None:
    before = product.balance()
    product.fault("webhook:checkout.session.completed", **fault)
    payment = product.create_payment().json()
    product.pay(payment["session_id"])

    until(lambda: product.balance() == before + 250, "the credits")
    product.control("GET", "clock/quiet")  # whatever else was sent has arrived
    assert entries(product, payment) == 1
