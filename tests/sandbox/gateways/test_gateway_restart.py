"""What outlives a restart and a kill."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import stripe
from gateway_bench import Bench, Receiver, Server, connect, construct, order, wait_for


@pytest.fixture
def own_receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    http = receiver.start()
    yield receiver
    http.shutdown()
    http.server_close()


def test_a_kill_loses_no_session_no_key_and_no_webhook(state: Path, own_receiver: Receiver) -> None:
    with requests.Session() as http:
        server = Server(state, own_receiver.url)
        bench = Bench(server, own_receiver, connect(server, http))
        key = str(uuid4())
        create = bench.client.v1.checkout.sessions.create
        same: Any = order()
        unpaid = create(params=same, options={"idempotency_key": key})
        own_receiver.refusals[:] = [("evt_", 503)] * 10_000
        delayed = bench.open()
        pay = f"/stripe/sessions/{delayed.id}/pay"
        assert server.control(pay, {"bank": True})["outcome"] == "done"
        paid = bench.paid()
        own_receiver.wait(paid.id, "checkout.session.completed")
        server.kill_and_start(between=own_receiver.forget)
        assert create(params=same, options={"idempotency_key": key}).id == unpaid.id
        assert bench.get(paid.id).payment_status == "paid"
        construct(own_receiver.wait(paid.id, "checkout.session.completed")[0])
        own_receiver.wait(delayed.id, "checkout.session.async_payment_succeeded")
        assert bench.get(delayed.id).payment_status == "paid"
        assert bench.pay(unpaid.url).status_code == 303
        assert len(bench.client.v1.webhook_endpoints.list().data) == 1
        server.stop()


def test_a_kill_amid_payments_leaves_the_books_whole(state: Path, own_receiver: Receiver) -> None:
    server = Server(state, own_receiver.url)
    answered: list[str] = []

    def pay(_: int) -> None:
        with suppress(requests.RequestException), requests.Session() as http:
            bench = Bench(server, own_receiver, connect(server, http))
            with suppress(stripe.APIConnectionError):
                for _ in range(200):
                    session = bench.open()
                    bench.pay(session.url)
                    answered.append(session.id)

    with ThreadPoolExecutor(4) as pool:
        paying = [pool.submit(pay, number) for number in range(4)]
        wait_for(lambda: len(answered) > 20 or None, "some payments")
        server.process.kill()
        for one in paying:
            one.result()

    server.kill_and_start()
    with requests.Session() as http:
        bench = Bench(server, own_receiver, connect(server, http))
        for identifier in answered:
            session = bench.get(identifier, "payment_intent.latest_charge").to_dict()
            charge = session["payment_intent"]["latest_charge"]
            assert (session["payment_status"], charge["status"]) == ("paid", "succeeded")
            assert charge["balance_transaction"]
        charged = bench.client.v1.charges.list(params={"limit": 100}).data
        entries = bench.client.v1.balance_transactions.list(params={"limit": 100}).data
        assert [one.source for one in entries] == [one.id for one in charged]
        own_receiver.wait(answered[-1], "checkout.session.completed")
    server.stop()


def test_a_moved_clock_outlives_a_restart(state: Path) -> None:
    first = Server(state)
    first.move_clock(5000)
    before = first.control("/clock", method="GET")["now"]
    first.stop()
    second = Server(state)
    after = second.control("/clock", method="GET")["now"]
    second.stop()

    assert 0 <= after - before < 1000
