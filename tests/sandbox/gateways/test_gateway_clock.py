"""The simulated clock, which moves objects, timers, retries and the stamps of webhooks."""

import time
from pathlib import Path

from gateway_bench import Bench, Receiver, Server


def test_the_clock_tells_its_skew_and_what_is_next(bench: Bench) -> None:
    session = bench.open(expires_at=int(time.time()) + 3600)
    bench.server.control("/clock", {"skew_seconds": 60})
    read = bench.server.control("/clock", method="GET")

    assert read["skew_seconds"] == 60
    assert abs(read["now"] - time.time() - 60) < 10
    assert read["next_due"] <= session.expires_at
    assert "error" in bench.server.control("/clock", {"skew_seconds": True})


def test_what_became_due_has_happened_when_the_clock_was_moved(bench: Bench) -> None:
    session = bench.open(expires_at=int(time.time()) + 3600)
    bench.server.control("/clock", {"skew_seconds": 3601})

    assert bench.get(session.id).status == "expired"


def test_webhooks_are_stamped_by_the_simulated_clock(bench: Bench) -> None:
    bench.server.move_clock(3600)
    session = bench.paid()

    stamp = bench.receiver.wait(session.id, "checkout.session.completed")[0]
    seconds = int(stamp.headers["stripe-signature"].partition("t=")[2].partition(",")[0])
    assert abs(seconds - time.time() - 3600) < 60


def test_an_endpoint_may_want_some_events_only(state: Path, receiver: Receiver) -> None:
    wanted = "payment_intent.succeeded"
    server = Server(state, receiver.url, events=(wanted,))
    try:
        answer = server.raw("GET", "/v1/webhook_endpoints").json()["data"]
    finally:
        server.stop()

    assert [one["enabled_events"] for one in answer] == [[wanted]]
