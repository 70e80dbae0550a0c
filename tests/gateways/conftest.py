import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

# The simulator's own tests share it: a running server, and somebody who receives its webhooks.
sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox" / "gateways"))

from gateway_bench import Receiver, Server, connect, wait_for
from gateways import worlds
from gateways.stripe_world import StripeWorld
from gateways.world import Stage, World


@pytest.fixture(scope="session")
def receivers() -> Iterator[dict[str, Receiver]]:
    """Whoever receives the webhooks of each gateway that has a world."""
    found = {name: Receiver() for name in worlds.names()}
    https = [receiver.start() for receiver in found.values()]
    yield found
    for http in https:
        http.shutdown()
        http.server_close()


@pytest.fixture(scope="session")
def gateway_server(
    tmp_path_factory: pytest.TempPathFactory, receivers: dict[str, Receiver]
) -> Iterator[Server]:
    """All simulators, in one process for the whole session."""
    options = [option for name in receivers for option in worlds.options(name)]
    hooks = [part for name, one in receivers.items() for part in ("--webhook", f"{name}={one.url}")]
    server = Server(tmp_path_factory.mktemp("gateways"), options=(*options, *hooks))
    yield server
    server.stop()


def _clear(server: Server) -> None:
    """Leave nothing to the next test: what is on its way arrives before the clock is put back."""
    server.control("/faults", method="DELETE")
    server.control("/deliveries/release", {})
    wait_for(lambda: True if _is_quiet(server) else None, "the webhooks")
    server.move_clock(0)


def _is_quiet(server: Server) -> bool:
    now = server.control("/clock", method="GET")["now"]
    log = server.control("/deliveries?limit=100", method="GET")["deliveries"]
    return not any(one["state"] == "pending" and one["due"] <= now for one in log)


@pytest.fixture
def world(
    request: pytest.FixtureRequest, gateway_server: Server, receivers: dict[str, Receiver]
) -> Iterator[World]:
    """The world of the gateway that the test is parametrised with."""
    name: str = request.param
    made = worlds.build(name, Stage(name, gateway_server, receivers[name]))
    yield made
    made.close()
    receivers[name].refusals.clear()
    _clear(gateway_server)


@pytest.fixture
def stripe_world(gateway_server: Server, receivers: dict[str, Receiver]) -> Iterator[StripeWorld]:
    with requests.Session() as session:
        client = connect(gateway_server, session)
        world = StripeWorld(gateway_server, receivers["stripe"], client)
        yield world
        world.close()
    _clear(gateway_server)
