"""Scripted faults of calls and of webhooks."""

import time
from typing import Any
from uuid import uuid4

import pytest
import requests
import stripe
from gateway_bench import SECRET, Bench, construct, wait_for

CREATE = "customers.create"


def attempt(bench: Bench) -> tuple[str, str]:
    """Create a customer whose e-mail nobody else has; tell what came back."""
    email = f"{uuid4()}@b.example"
    try:
        answer = bench.server.raw("POST", "/v1/customers", {"email": email})
    except requests.ConnectionError:
        return email, "cut"
    return email, str(answer.status_code)


def happened(bench: Bench, email: str) -> bool:
    return len(bench.client.v1.customers.list(params={"email": email}).data) == 1


@pytest.mark.parametrize(
    ("kind", "details", "outcome", "effect"),
    [
        ("refuse", {}, "cut", False),
        ("timeout_before_effect", {"seconds": 0.1}, "cut", False),
        ("lost_answer", {}, "cut", True),
        ("error_500", {}, "500", False),
        ("error_after_effect", {}, "500", True),
        ("rate_limited", {}, "429", False),
        ("slow", {"seconds": 0.1}, "200", True),
        ("nonsense", {}, "200", True),
        ("nonsense", {"effect": False}, "200", False),
        ("malformed", {}, "200", True),
        ("empty", {}, "200", True),
        ("late_effect", {"seconds": 3600}, "cut", False),
        ("late_effect", {"seconds": 0}, "cut", True),
    ],
)
def test_a_fault_spoils_one_call_and_then_is_gone(
    bench: Bench, kind: str, details: dict[str, Any], outcome: str, *, effect: bool
) -> None:
    bench.server.fault(CREATE, kind, **details)

    email, seen = attempt(bench)
    bench.server.move_clock(0)  # whatever is due happens now
    assert (seen, happened(bench, email)) == (outcome, effect)
    assert bench.server.control("/faults", method="GET") == {"faults": []}
    email, seen = attempt(bench)
    assert (seen, happened(bench, email)) == ("200", True)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("refuse", stripe.APIConnectionError),
        ("lost_answer", stripe.APIConnectionError),
        ("error_500", stripe.APIError),
        ("rate_limited", stripe.RateLimitError),
        ("nonsense", stripe.APIError),
        ("malformed", stripe.APIError),
        ("empty", stripe.APIError),
    ],
)
def test_the_sdk_sees_the_error_it_would_see_of_stripe(
    bench: Bench, kind: str, error: type[Exception]
) -> None:
    bench.server.fault("checkout.sessions.create", kind)
    with pytest.raises(error):
        bench.open()


def test_nonsense_is_html_and_malformed_is_half_of_the_json(bench: Bench) -> None:
    bench.server.fault(CREATE, "nonsense")
    bench.server.fault(CREATE, "malformed")
    html = bench.server.raw("POST", "/v1/customers", {})
    half = bench.server.raw("POST", "/v1/customers", {})

    assert html.headers["content-type"].startswith("text/html")
    assert half.text.startswith('{"id"')
    with pytest.raises(requests.JSONDecodeError):
        half.json()


def test_a_lost_answer_is_found_again_by_its_key(bench: Bench) -> None:
    bench.server.fault(CREATE, "lost_answer")
    key = str(uuid4())
    email = f"{key}@b.example"
    create = bench.client.v1.customers.create
    with pytest.raises(stripe.APIConnectionError):
        create(params={"email": email}, options={"idempotency_key": key})

    found = create(params={"email": email}, options={"idempotency_key": key})
    assert [one.id for one in bench.client.v1.customers.list(params={"email": email}).data] == [
        found.id
    ]


def test_a_slow_call_is_late(bench: Bench) -> None:
    bench.server.fault(CREATE, "slow", seconds=0.4)
    start = time.monotonic()
    attempt(bench)
    assert time.monotonic() - start > 0.4


def test_faults_repeat_fit_by_pattern_and_can_be_cleared(bench: Bench) -> None:
    bench.server.fault("customers.*", "error_500", times=2)
    assert [attempt(bench)[1] for _ in range(3)] == ["500", "500", "200"]

    bench.server.fault("*", "error_500", times=None)
    assert [attempt(bench)[1] for _ in range(3)] == ["500", "500", "500"]
    bench.server.control("/faults", method="DELETE")
    assert attempt(bench)[1] == "200"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "melt"},
        {"kind": "slow", "seconds": "many"},
        {"kind": "slow", "seconds": -1},
        {"kind": "slow", "times": 0},
        {"kind": "slow", "colour": "red"},
        {},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(bench: Bench, wrong: dict[str, Any]) -> None:
    answer = bench.server.control("/faults", {"gateway": "stripe", "operation": "*", **wrong})
    assert answer["error"]
    assert bench.server.control("/faults", method="GET") == {"faults": []}


COMPLETED = "checkout.session.completed"


def test_a_dropped_webhook_never_comes(bench: Bench) -> None:
    bench.server.fault(f"webhook:{COMPLETED}", "drop")
    session = bench.paid()
    told = bench.told(str(session.payment_intent))
    assert "charge.updated" in told
    assert COMPLETED not in told


def test_a_duplicate_is_the_same_event_again(bench: Bench) -> None:
    bench.server.fault(f"webhook:{COMPLETED}", "duplicate", n=2)
    session = bench.paid()
    received = bench.receiver.wait(session.id, COMPLETED, 3)
    assert len({one.event["id"] for one in received}) == 1
    for one in received:
        construct(one)


def test_a_delayed_webhook_is_late(bench: Bench) -> None:
    bench.server.fault(f"webhook:{COMPLETED}", "delay", seconds=0.8)
    start = time.time()
    session = bench.paid()
    assert bench.receiver.wait(session.id, COMPLETED)[0].at - start > 0.8


def test_a_wrong_signature_comes_once_and_the_retry_is_right(bench: Bench) -> None:
    bench.server.fault(f"webhook:{COMPLETED}", "wrong_signature")
    session = bench.open()
    bench.receiver.refusals[:] = [(session.id, 400)]
    bench.pay(session.url)

    wrong, right = bench.receiver.wait(session.id, COMPLETED, 2)
    with pytest.raises(stripe.SignatureVerificationError):
        construct(wrong)
    construct(right)


def test_a_stale_webhook_is_outside_the_tolerance(bench: Bench) -> None:
    bench.server.fault(f"webhook:{COMPLETED}", "stale", seconds=301)
    one = bench.receiver.wait(bench.paid().id, COMPLETED)[0]
    with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
        construct(one)
    header = one.headers["stripe-signature"]
    assert stripe.WebhookSignature.verify_header(one.body.decode(), header, SECRET, 400)


def test_a_webhook_from_the_future_is_signed_ahead(bench: Bench) -> None:
    bench.server.fault(f"webhook:{COMPLETED}", "future", seconds=900)
    one = bench.receiver.wait(bench.paid().id, COMPLETED)[0]
    stamp = int(one.headers["stripe-signature"].split(",")[0].removeprefix("t="))
    assert 850 < stamp - one.at < 950


def test_held_webhooks_come_in_the_order_of_their_release(bench: Bench) -> None:
    bench.server.fault("webhook:*", "hold", times=None)
    session = bench.paid()
    intent = str(session.payment_intent)
    bench.server.wait_until_quiet()
    assert bench.receiver.about(intent) == []

    newest = bench.client.v1.events.list(params={"limit": 20}).data
    mine = {str(one.type): one.id for one in newest if intent in str(one)}
    order = [COMPLETED, "payment_intent.succeeded", "charge.succeeded"]
    release = {"order": [mine.pop(kind) for kind in order]}
    answer = bench.server.control("/deliveries/release", release)
    assert [one["type"] for one in answer["released"]] == order
    assert {one["status"] for one in answer["released"]} == {200}
    assert [one.type for one in bench.receiver.about(intent)] == order

    rest = bench.server.control("/deliveries/release", {})["released"]
    late = [one["type"] for one in rest if one["event"] in mine.values()]
    assert late == ["payment_intent.created", "charge.updated"]


def test_the_log_tells_every_attempt(bench: Bench) -> None:
    bench.server.fault(f"webhook:{COMPLETED}", "duplicate")
    session = bench.paid()
    event = bench.receiver.wait(session.id, COMPLETED, 2)[0].event["id"]

    def log() -> list[dict[str, Any]] | None:
        path = f"/deliveries?event={event}"
        found: list[dict[str, Any]] = bench.server.control(path, method="GET")["deliveries"]
        return found if all(one["state"] == "delivered" for one in found) else None

    copy, first = wait_for(log, "both deliveries")
    assert (first["duplicate"], copy["duplicate"]) == (False, True)
    assert first["fault"] == "duplicate"
    tried = first["attempts"][0]
    assert (tried["number"], tried["status"], tried["error"]) == (1, 200, None)
    assert tried["headers"]["Stripe-Signature"].startswith("t=")


def test_the_control_calls_pay_and_answer_for_every_card(bench: Bench) -> None:
    def pay(**order: Any) -> dict[str, Any]:
        session = bench.open()
        return bench.server.control(f"/stripe/sessions/{session.id}/pay", order)

    assert pay()["outcome"] == "done"
    assert pay(card="4000 0000 0000 0002")["outcome"] == "declined"
    assert pay(card="4000002760003184")["outcome"] == "done"
    assert pay(card="4000002760003184", challenge="fail")["outcome"] == "declined"
    assert pay(bank=True)["session"]["payment_status"] == "unpaid"
    expired = bench.open()
    bench.client.v1.checkout.sessions.expire(expired.id)
    path = f"/stripe/sessions/{expired.id}/pay"
    assert bench.server.control(path, {})["outcome"] == "closed"
    assert "error" in bench.server.control("/stripe/sessions/cs_none/pay", {})


def test_a_late_effect_happens_in_simulated_time_and_tells_it(bench: Bench) -> None:
    bench.server.fault(CREATE, "late_effect", seconds=3600)
    email, _ = attempt(bench)
    before = happened(bench, email)
    bench.server.move_clock(3601)

    assert (before, happened(bench, email)) == (False, True)
    bench.receiver.wait(email, "customer.created")


def test_a_late_effect_that_is_refused_does_nothing(bench: Bench) -> None:
    email = f"{uuid4()}@b.example"
    bench.server.fault(CREATE, "late_effect", seconds=1)
    with pytest.raises(requests.ConnectionError):
        bench.server.raw("POST", "/v1/customers", {"email": email, "expand[]": "colour"})
    bench.server.move_clock(2)

    assert not happened(bench, email)
    assert bench.client.v1.customers.create(params={"email": email}).email == email


def test_an_outage_lasts_until_it_is_cleared(bench: Bench) -> None:
    bench.server.fault("*", "refuse", times=None)
    seen = [attempt(bench)[1] for _ in range(3)]
    bench.server.control("/faults", method="DELETE")

    assert (seen, attempt(bench)[1]) == (["cut"] * 3, "200")


def test_a_wrong_amount_is_in_the_webhook_only(bench: Bench) -> None:
    bench.server.fault("webhook:checkout.session.completed", "wrong_amount", n=3)
    session = bench.paid()
    told = bench.delivered(session.id)[0].data.object

    assert (told["amount_total"], told["amount_subtotal"]) == (5003, 5003)
    assert bench.get(session.id).amount_total == 5000
