"""What outlives a restart and a kill."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from gateway_bench import Bench, Receiver, Server, construct, order

from conftest import connect


@pytest.fixture
def own_receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    http = receiver.start()
    yield receiver
    http.shutdown()
    http.server_close()


def test_a_kill_loses_no_session_no_key_and_no_webhook(state: Path, own_receiver: Receiver) -> None:
    with requests.Session() as http:
        first = Server(state, own_receiver.url)
        bench = Bench(first, own_receiver, connect(first, http))
        key = str(uuid4())
        create = bench.client.v1.checkout.sessions.create
        same: Any = order()
        unpaid = create(params=same, options={"idempotency_key": key})
        own_receiver.refusals[:] = [("evt_", 503)] * 100
        delayed = bench.open()
        pay = f"/stripe/sessions/{delayed.id}/pay"
        assert first.control(pay, {"bank": True})["outcome"] == "done"
        paid = bench.paid()
        own_receiver.wait(paid.id, "checkout.session.completed")
        first.kill()

        own_receiver.refusals.clear()
        own_receiver.received.clear()
        second = Server(state, own_receiver.url, port=first.port)
        bench = Bench(second, own_receiver, connect(second, http))
        create = bench.client.v1.checkout.sessions.create
        assert create(params=same, options={"idempotency_key": key}).id == unpaid.id
        assert bench.get(paid.id).payment_status == "paid"
        construct(own_receiver.wait(paid.id, "checkout.session.completed")[0])
        own_receiver.wait(delayed.id, "checkout.session.async_payment_succeeded")
        assert bench.get(delayed.id).payment_status == "paid"
        assert bench.pay(unpaid.url).status_code == 303
        assert len(bench.client.v1.webhook_endpoints.list().data) == 1
        second.stop()


def test_a_moved_clock_outlives_a_restart(state: Path) -> None:
    first = Server(state)
    first.move_clock(5000)
    before = first.control("/clock", method="GET")["now"]
    first.stop()
    second = Server(state)
    after = second.control("/clock", method="GET")["now"]
    second.stop()

    assert 0 <= after - before < 60
