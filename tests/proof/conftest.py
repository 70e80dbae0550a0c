"""One stage for all proofs."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The gateways' worlds, which play the payers here too, stand on the simulators' own tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox" / "gateways"))

from e2e.conftest import free_port
from proof.stage import Stage, open_stage

from app import clock, graphql
from sandbox.world import Ports


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep one stage: with several workers, all of these run in the same one."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("proof"))


@pytest.fixture(scope="session")
def open_stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    ports = Ports(free_port(), free_port(), free_port())
    with open_stage(tmp_path_factory.mktemp("stage"), ports) as stage:
        yield stage


@pytest.fixture
def stage(open_stages: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The stage as at its beginning, with a service that does not pause before it tries again.

    Nor does it believe for a second what time it is: days go by between two of its calls.
    """
    monkeypatch.setattr(graphql, "PAUSE_SECONDS_MAX", 0.0)
    monkeypatch.setattr(clock, "BELIEVED_SECONDS", 0.0)
    with open_stages.seam:  # around a test only: the worker has tests of others to run
        yield open_stages
    open_stages.empty()
