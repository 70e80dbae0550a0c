"""Real processes, really killed, while people buy."""

from pathlib import Path

import pytest
from ports import free_port
from proof.counters import Counters
from proof.town import open_town, slice_of

from sandbox.world import Ports

CYCLES = 40  # of trouble, each kind five times; `make soak` goes on for as long as one likes
RECOVERY_SECONDS_MAX = 90  # ten on an idle machine, several times as long on a busy one


@pytest.mark.timeout(900)
def test_nothing_that_was_promised_is_lost_whoever_is_killed(tmp_path: Path) -> None:
    counters = Counters()
    ports = Ports(free_port(), free_port(), free_port())
    with open_town(tmp_path, ports, free_port()) as town:
        slice_of(
            town,
            counters,
            seed=1,
            goes_on=lambda cycles: cycles < CYCLES,
        )
    town.postgres.destroy()

    assert counters.faults == []
    assert counters.cycles == CYCLES
    assert counters.promises > counters.cycles
    assert counters.slowest_recovery < RECOVERY_SECONDS_MAX
    assert "500" not in counters.answers
