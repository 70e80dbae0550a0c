import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import stripe

# `sandbox` is the product's package here, so what these tests share is found by its own name.
sys.path.insert(0, str(Path(__file__).parent))

from gateway_bench import Bench, Receiver, Server, connect
from gateways.standing import StandingServer


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    http = receiver.start()
    yield receiver
    http.shutdown()
    http.server_close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("state"), receiver.url)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def standing(
    tmp_path_factory: pytest.TempPathFactory, receiver: Receiver
) -> Iterator[StandingServer]:
    """A server whose time moves when a test moves it: what is to come in two seconds waits."""
    hook = ("--webhook", f"stripe={receiver.url}")
    server = StandingServer(tmp_path_factory.mktemp("standing"), hook)
    yield server
    server.stop()


@pytest.fixture(scope="session", autouse=True)
def _without_telemetry() -> None:
    stripe.enable_telemetry = False


@pytest.fixture
def bench(server: Server, receiver: Receiver) -> Iterator[Bench]:
    yield from _bench(server, receiver)


@pytest.fixture
def standing_bench(standing: StandingServer, receiver: Receiver) -> Iterator[Bench]:
    yield from _bench(standing, receiver)


def _bench(server: Server, receiver: Receiver) -> Iterator[Bench]:
    with requests.Session() as session:
        yield Bench(server, receiver, connect(server, session))
    server.control("/faults", method="DELETE")
    server.control("/deliveries/release", {})
    server.move_clock(0)
    receiver.refusals.clear()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"
