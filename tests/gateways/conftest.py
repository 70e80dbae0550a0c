import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

# The simulator's own tests share it: a running server, and somebody who receives its webhooks.
sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox" / "gateways"))

from gateway_bench import Receiver, connect
from gateways import worlds
from gateways.standing import StandingServer
from gateways.stripe_world import StripeWorld
from gateways.world import Stage, World

from app import http

SECONDS_MAX = 60.0


@pytest.fixture(scope="session")
def receivers() -> Iterator[dict[str, Receiver]]:
    """Whoever receives the webhooks of each gateway that has a world."""
    with _listening() as found:
        yield found


@contextmanager
def _listening() -> Iterator[dict[str, Receiver]]:
    found = {name: Receiver() for name in worlds.names()}
    servers = [receiver.start() for receiver in found.values()]
    try:
        yield found
    finally:
        for each in servers:
            each.shutdown()
            each.server_close()


@pytest.fixture(scope="session")
def gateway_server(
    tmp_path_factory: pytest.TempPathFactory, receivers: dict[str, Receiver]
) -> Iterator[StandingServer]:
    """All simulators, in one process for the whole session."""
    server = _serve(tmp_path_factory.mktemp("gateways"), receivers)
    yield server
    server.stop()


def _serve(state: Path, receivers: dict[str, Receiver]) -> StandingServer:
    options = [option for name in receivers for option in worlds.options(name)]
    hooks = [part for name, one in receivers.items() for part in ("--webhook", f"{name}={one.url}")]
    return StandingServer(state, (*options, *hooks))


def _clear(server: StandingServer) -> None:
    """Leave nothing to the next test: what is on its way arrives before the clock is put back."""
    server.control("/faults", method="DELETE")
    server.control("/deliveries/release", {})
    server.wait_until_quiet()
    server.move_clock(0)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a simulator as long as a busy machine takes: silence is what its faults play."""
    monkeypatch.setattr(http, "CONNECT_SECONDS_MAX", SECONDS_MAX)
    monkeypatch.setattr(http, "ANSWER_SECONDS_MAX", SECONDS_MAX)


@pytest.fixture
def stage_alone(tmp_path: Path, patience: None) -> Iterator[Callable[[str], Stage]]:
    """Make the stage of a gateway with books of its own, in which nobody else's tests have been."""
    with _listening() as receivers:
        server = _serve(tmp_path, receivers)
        try:
            yield lambda name: Stage(name, server, receivers[name])
        finally:
            server.stop()


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    gateway_server: StandingServer,
    receivers: dict[str, Receiver],
    patience: None,
) -> Iterator[World]:
    """The world of the gateway that the test is parametrised with."""
    name: str = request.param
    made = worlds.build(name, Stage(name, gateway_server, receivers[name]))
    yield made
    made.close()
    receivers[name].refusals.clear()
    _clear(gateway_server)


@pytest.fixture
def stripe_world(
    gateway_server: StandingServer, receivers: dict[str, Receiver], patience: None
) -> Iterator[StripeWorld]:
    with requests.Session() as session:
        client = connect(gateway_server, session)
        world = StripeWorld(gateway_server, receivers["stripe"], client)
        yield world
        world.close()
    receivers["stripe"].refusals.clear()
    _clear(gateway_server)
