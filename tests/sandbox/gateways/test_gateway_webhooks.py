"""Webhooks: signed as Stripe signs, to those who asked, again until accepted."""

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
import stripe
from gateway_bench import SECRET, Bench, Received, Receiver, construct, wait_for

DAYS_3 = 3 * 24 * 3600


@pytest.fixture
def extra(bench: Bench) -> Iterator["Extra"]:
    extra = Extra(bench)
    http = extra.receiver.start()
    yield extra
    extra.remove_all()
    http.shutdown()
    http.server_close()


class Extra:
    """A second endpoint, made over the API."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.receiver = Receiver()
        self.endpoints = bench.client.v1.webhook_endpoints

    def remove_all(self) -> None:
        for one in self.endpoints.list().data:
            if "commandline" not in one.id:
                self.endpoints.delete(one.id)

    def make(self, *events: str) -> stripe.WebhookEndpoint:
        return self.endpoints.create(
            params={"url": self.receiver.url, "enabled_events": [*events]}  # type: ignore[list-item]  # any text
        )


def signatures(one: Received) -> list[str]:
    parts = one.headers["stripe-signature"].split(",")
    return [part for part in parts if part.startswith("v1=")]


def log(bench: Bench, event: str, endpoint: str = "we_commandline") -> dict[str, Any]:
    """Read what became of an event at an endpoint, as the simulator wrote it down."""
    found = bench.server.control(f"/deliveries?event={event}", method="GET")["deliveries"]
    return next(one for one in found if one["endpoint"] == endpoint)


def verify(one: Received, secret: str) -> None:
    stripe.WebhookSignature.verify_header(
        one.body.decode(), one.headers["stripe-signature"], secret, 300
    )


def test_a_payment_is_reported_by_signed_webhooks(bench: Bench) -> None:
    session = bench.paid()
    event = bench.delivered(session.id)[0]

    assert event.api_version == "2026-10-28.endive"
    assert event.livemode is False
    assert event.data.object["payment_status"] == "paid"
    intent = str(session.payment_intent)
    for kind in ("payment_intent.created", "payment_intent.succeeded", "charge.succeeded"):
        assert construct(bench.receiver.wait(intent, kind)[0]).type == kind
    updated = bench.receiver.wait(intent, "charge.updated")[0].event["data"]
    assert updated["previous_attributes"] == {"balance_transaction": None}
    assert updated["object"]["balance_transaction"].startswith("txn_")


def test_a_tampered_body_does_not_verify(bench: Bench) -> None:
    session = bench.paid()
    one = bench.receiver.wait(session.id, "checkout.session.completed")[0]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(
            one.body.replace(b"5000", b"5001"), one.headers["stripe-signature"], SECRET
        )


def test_an_event_names_the_request_behind_it(bench: Bench) -> None:
    headers = {"Idempotency-Key": f"k-{time.time_ns()}"}
    answer = bench.server.raw("POST", "/v1/customers", {"name": "A"}, **headers)
    event = bench.receiver.wait(answer.json()["id"], "customer.created")[0].event
    assert event["request"] == {
        "id": answer.headers["Request-Id"],
        "idempotency_key": headers["Idempotency-Key"],
    }


def test_events_can_be_read_and_listed_by_type(bench: Bench) -> None:
    session = bench.paid()
    sent = bench.receiver.wait(session.id, "checkout.session.completed")[0].event
    events = bench.client.v1.events

    assert events.retrieve(sent["id"]).type == "checkout.session.completed"
    exact = events.list(params={"type": "checkout.session.completed", "limit": 1})
    assert exact.data[0].id == sent["id"]
    several = events.list(params={"type": "charge.*", "limit": 10}).data
    mine = [one.type for one in several if str(session.payment_intent) in str(one)]
    assert mine == ["charge.updated", "charge.succeeded"]
    chosen = events.list(params={"types": ["charge.failed", "charge.succeeded"], "limit": 5})
    assert {one.type for one in chosen.data} <= {"charge.failed", "charge.succeeded"}


def test_a_refused_webhook_comes_again_soon_with_a_new_timestamp(bench: Bench) -> None:
    customer = bench.client.v1.customers.create(params={})
    bench.receiver.wait(customer.id, "customer.created")
    bench.receiver.refusals[:] = [(customer.id, 500), (customer.id, 302)]
    bench.client.v1.customers.update(customer.id, params={"name": "A"})

    one, two, three = bench.receiver.wait(customer.id, "customer.updated", 3)
    assert one.event["id"] == two.event["id"] == three.event["id"]
    assert one.headers["stripe-signature"] != two.headers["stripe-signature"]
    assert construct(three).id == one.event["id"]
    bench.server.wait_until_quiet()
    sent = log(bench, one.event["id"])
    first, second = (later["at"] - tried["at"] for tried, later in pairwise(sent["attempts"]))
    assert (sent["state"], first >= 1, second >= 2) == ("delivered", True, True)
    assert len(bench.receiver.about(customer.id, "customer.updated")) == 3


def test_a_webhook_comes_again_in_a_second_and_then_after_twice_as_long(
    standing_bench: Bench,
) -> None:
    customer = standing_bench.client.v1.customers.create(params={"email": f"{uuid4()}@b.example"})
    standing_bench.receiver.wait(customer.id, "customer.created")
    standing_bench.receiver.refusals[:] = [(customer.id, 500)] * 3
    standing_bench.client.v1.customers.update(customer.id, params={"name": "A"})
    skew = 0.0
    for number, wait in enumerate((1, 2, 4), start=1):
        standing_bench.server.wait_until_quiet()
        came = standing_bench.receiver.about(customer.id, "customer.updated")
        sent = log(standing_bench, came[0].event["id"])
        assert (len(came), sent["due"] - sent["attempts"][-1]["at"]) == (number, wait)
        skew += wait
        standing_bench.server.move_clock(skew)
    assert len(standing_bench.receiver.wait(customer.id, "customer.updated", 4)) == 4


def test_pending_webhooks_counts_those_that_have_not_accepted(bench: Bench) -> None:
    bench.server.fault("webhook:customer.created", "hold")
    customer = bench.client.v1.customers.create(params={})
    events = bench.client.v1.events
    newest = events.list(params={"type": "customer.created", "limit": 1}).data[0]
    assert newest.pending_webhooks == 1

    bench.server.control("/deliveries/release", {"order": [newest.id]})
    assert bench.receiver.wait(customer.id, "customer.created")[0].event["pending_webhooks"] == 1
    assert events.retrieve(newest.id).pending_webhooks == 0


def test_pending_webhooks_counts_endpoints_and_not_duplicates(bench: Bench) -> None:
    bench.server.fault("webhook:customer.created", "duplicate")
    email = f"{uuid4()}@b.example"
    bench.receiver.refusals[:] = [(email, 500)] * 1000
    customer = bench.client.v1.customers.create(params={"email": email})
    event = bench.receiver.wait(customer.id, "customer.created", 2)[0].event["id"]
    assert bench.client.v1.events.retrieve(event).pending_webhooks == 1


def test_an_endpoint_gets_only_what_it_asked_for(bench: Bench, extra: Extra) -> None:
    endpoint = extra.make("checkout.session.completed")
    session = bench.paid()
    received = extra.receiver.wait(session.id, "checkout.session.completed")[0]
    verify(received, str(endpoint.secret))
    assert received.event["pending_webhooks"] == 2
    bench.server.wait_until_quiet()
    assert len(extra.receiver.received) == 1

    extra.endpoints.update(endpoint.id, params={"disabled": True})
    assert extra.endpoints.retrieve(endpoint.id).status == "disabled"
    bench.delivered(bench.paid().id)
    bench.server.wait_until_quiet()
    assert len(extra.receiver.received) == 1
    extra.endpoints.delete(endpoint.id)
    assert endpoint.id not in {one.id for one in extra.endpoints.list().data}


def test_an_endpoint_has_its_own_version(bench: Bench, extra: Extra) -> None:
    extra.endpoints.create(
        params={
            "url": extra.receiver.url,
            "enabled_events": ["customer.created"],
            "api_version": "2026-09-30.endive",
        }
    )
    customer = bench.client.v1.customers.create(params={})
    received = extra.receiver.wait(customer.id, "customer.created")[0]
    assert received.event["api_version"] == "2026-09-30.endive"


def test_while_a_secret_is_rolled_both_sign(bench: Bench, extra: Extra) -> None:
    endpoint = extra.make("customer.created")
    path = f"/stripe/webhook_endpoints/{endpoint.id}/roll"
    fresh = bench.server.control(path, {"keep_old_seconds": 60})["secret"]

    customer = bench.client.v1.customers.create(params={})
    both = extra.receiver.wait(customer.id, "customer.created")[0]
    assert len(signatures(both)) == 2
    verify(both, fresh)
    verify(both, str(endpoint.secret))

    bench.server.move_clock(61)
    customer = bench.client.v1.customers.create(params={})
    single = extra.receiver.wait(customer.id, "customer.created")[0]
    assert len(signatures(single)) == 1
    verify(single, fresh)


def test_an_unknown_event_or_address_is_refused(extra: Extra) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        extra.make("made.up")
    assert caught.value.param == "enabled_events[0]"
    with pytest.raises(stripe.InvalidRequestError, match="explicit scheme"):
        extra.endpoints.create(params={"url": "nowhere", "enabled_events": ["*"]})


def test_the_webhooks_of_a_deleted_endpoint_are_given_up(bench: Bench, extra: Extra) -> None:
    endpoint = extra.endpoints.create(
        params={"url": "http://127.0.0.1:9/none", "enabled_events": ["customer.created"]}
    )
    customer = bench.client.v1.customers.create(params={})
    extra.endpoints.delete(endpoint.id)
    event = bench.receiver.wait(customer.id, "customer.created")[0].event["id"]

    def given_up() -> bool | None:
        return log(bench, event, endpoint.id)["state"] == "given_up" or None

    assert wait_for(given_up, "the delivery to be given up")


def test_after_three_days_a_webhook_is_given_up(bench: Bench, extra: Extra) -> None:
    endpoint = extra.endpoints.create(
        params={"url": "http://127.0.0.1:9/none", "enabled_events": ["customer.created"]}
    )
    customer = bench.client.v1.customers.create(params={})
    event = bench.receiver.wait(customer.id, "customer.created")[0].event["id"]

    def sent() -> dict[str, Any]:
        return log(bench, event, endpoint.id)

    wait_for(lambda: sent()["attempts"] or None, "the first attempt")
    bench.server.move_clock(DAYS_3 + 10)
    wait_for(lambda: sent()["state"] == "given_up" or None, "giving up")
    tried = sent()["attempts"]
    assert all(attempt["error"] for attempt in tried)
    is_late = [attempt["at"] - sent()["created"] > DAYS_3 for attempt in tried]
    assert is_late == [*[False] * (len(tried) - 1), True]
