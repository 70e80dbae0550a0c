"""One stage for all proofs."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The gateways' worlds, which play the payers here too, stand on the simulators' own tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox" / "gateways"))

from ports import free_port
from proof.flows import FLOWS
from proof.stage import Stage, open_stage

from app import budget, clock, graphql, http
from app.webhooks import crons as webhook_crons
from sandbox.world import Ports

LONG = 600.0
# A service that has time: on a slow machine, too, its calls are the same each time they are made.
TIMES = (
    (graphql, {"PAUSE_SECONDS_MAX": 0.0, "ANSWER_SECONDS_MAX": LONG, "TRIES_SECONDS_MAX": LONG}),
    (clock, {"BELIEVED_SECONDS": 0.0}),  # days go by between two of its calls
    (http, {"CONNECT_SECONDS_MAX": LONG, "ANSWER_SECONDS_MAX": LONG}),
    (budget, {"ANSWER_SECONDS_MAX": 10 * LONG, "CRON_SECONDS_MAX": 10 * LONG}),
    (webhook_crons, {"SWEEP_SECONDS_MAX": LONG}),
)


@pytest.hookimpl(tryfirst=True)  # else xdist, asked for this folder alone, reads no groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep two stages: with several workers, half of the flows run in each of two of them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            flow = getattr(item, "callspec", None) and item.callspec.params.get("flow")
            half = FLOWS.index(flow) % 2 if flow else 0
            item.add_marker(pytest.mark.xdist_group(f"proof-{half}"))


@pytest.fixture(scope="session")
def open_stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    ports = Ports(free_port(), free_port(), free_port())
    with open_stage(tmp_path_factory.mktemp("stage"), ports) as stage:
        yield stage


@pytest.fixture
def stage(open_stages: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The stage as at its beginning, with a service that gives up nothing because of the time."""
    for module, seconds in TIMES:
        for name, value in seconds.items():
            monkeypatch.setattr(module, name, value)
    open_stages.restart()
    with open_stages.seam:  # around a test only: the worker has tests of others to run
        open_stages.journal.begin()
        yield open_stages
    assert open_stages.broken_order() == []
    open_stages.empty()
