import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

# The simulator's own tests share it: a running server, and somebody who receives its webhooks.
sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox" / "gateways"))

from gateway_bench import Receiver, Server, connect
from gateways.stripe_world import StripeWorld


@pytest.fixture(scope="session")
def stripe_receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    http = receiver.start()
    yield receiver
    http.shutdown()
    http.server_close()


@pytest.fixture(scope="session")
def stripe_server(
    tmp_path_factory: pytest.TempPathFactory, stripe_receiver: Receiver
) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("stripe"), stripe_receiver.url)
    yield server
    server.stop()


@pytest.fixture
def stripe_world(stripe_server: Server, stripe_receiver: Receiver) -> Iterator[StripeWorld]:
    with requests.Session() as session:
        world = StripeWorld(stripe_server, stripe_receiver, connect(stripe_server, session))
        yield world
        world.close()
    stripe_server.control("/faults", method="DELETE")
    stripe_server.control("/deliveries/release", {})
    stripe_server.move_clock(0)
