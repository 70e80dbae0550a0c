"""The simulated clock, which moves objects, timers, retries and the stamps of webhooks."""

import time
from pathlib import Path
from typing import Any

import pytest
from gateway_bench import Bench, Receiver, Server

from sandbox.gateways.server.app import build_house
from sandbox.gateways.server.worker import Worker


def test_the_clock_tells_its_skew_and_what_is_next(bench: Bench) -> None:
    session = bench.open(expires_at=int(time.time()) + 3600)
    bench.server.control("/clock", {"skew_seconds": 60})
    before = time.time()
    read = bench.server.control("/clock", method="GET")

    assert read["skew_seconds"] == 60
    assert before <= read["now"] - 60 <= time.time()
    assert read["next_due"] <= session.expires_at
    assert "error" in bench.server.control("/clock", {"skew_seconds": True})


def test_what_became_due_has_happened_when_the_clock_was_moved(bench: Bench) -> None:
    session = bench.open(expires_at=int(time.time()) + 3600)
    bench.server.control("/clock", {"skew_seconds": 3601})

    assert bench.get(session.id).status == "expired"


def test_all_that_became_due_has_happened_however_much_it_is(tmp_path: Path) -> None:
    house = build_house(tmp_path, "http://127.0.0.1")
    fired: list[str] = []

    class Simulator:
        def on_timer(self, kind: str, subject: str) -> None:
            if kind == "broken":
                raise ZeroDivisionError
            fired.append(subject)

    simulators: Any = {"acme": Simulator()}
    books, due = house.books("acme"), house.store.exact_now()
    books.set_timer("broken", "order-0", due)
    for number in range(350):
        books.set_timer("ship", f"order-{number}", due)
    books.set_timer("ship", "order-of-tomorrow", due + 86400)
    Worker(house.store, house.outbox, simulators).catch_up()
    house.store.close()

    assert sorted(fired) == sorted(f"order-{number}" for number in range(350))


def test_webhooks_are_stamped_by_the_simulated_clock(bench: Bench) -> None:
    bench.server.move_clock(3600)
    session = bench.paid()

    stamp = bench.receiver.wait(session.id, "checkout.session.completed")[0]
    seconds = int(stamp.headers["stripe-signature"].partition("t=")[2].partition(",")[0])
    assert abs(seconds - time.time() - 3600) < 60


@pytest.mark.parametrize("is_waited_for", [False, True])
def test_a_webhook_stays_behind_what_made_it_unless_somebody_waits_for_it(
    state: Path, receiver: Receiver, *, is_waited_for: bool
) -> None:
    lead = 60 if is_waited_for else 0.4
    server = Server(state, receiver.url, options=("--lead", str(lead)))
    try:
        made = server.control("/stripe/customers", {})["customers"][0]
        form = {"amount": 2500, "currency": "usd", "confirm": "true", "off_session": "true"}
        began = time.time()
        intent = server.raw("POST", "/v1/payment_intents", {**form, **made}).json()["id"]
        if is_waited_for:
            server.wait_until_quiet()
        (webhook,) = receiver.wait(intent, "payment_intent.succeeded")
    finally:
        server.stop()

    assert (webhook.at - began < lead) is is_waited_for


def test_nobody_waits_for_ever_for_webhooks_that_an_endpoint_does_not_take(
    state: Path, receiver: Receiver
) -> None:
    server = Server(state, receiver.url)
    receiver.refusals += [("payment_intent.succeeded", 503)] * 1000
    try:
        made = server.control("/stripe/customers", {})["customers"][0]
        form = {"amount": 2500, "currency": "usd", "confirm": "true", "off_session": "true"}
        server.raw("POST", "/v1/payment_intents", {**form, **made})
        found = server.wait_until_quiet()
    finally:
        server.stop()
        receiver.refusals.clear()

    assert found["next_due"] > found["now"]


def test_an_endpoint_may_want_some_events_only(state: Path, receiver: Receiver) -> None:
    wanted = "payment_intent.succeeded"
    server = Server(state, receiver.url, options=("--event", f"stripe={wanted}"))
    try:
        answer = server.raw("GET", "/v1/webhook_endpoints").json()["data"]
    finally:
        server.stop()

    assert [one["enabled_events"] for one in answer] == [[wanted]]
