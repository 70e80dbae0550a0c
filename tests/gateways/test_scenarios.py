"""Every scenario in every gateway's world, over HTTP; what differs is declared, and asserted."""

import pytest
from gateways import (
    scenarios_days,
    scenarios_money,
    scenarios_pages,
    scenarios_several,
    scenarios_upi,
    worlds,
)
from gateways.differences import DIFFERENCES, Difference
from gateways.scenarios import ALL, lacking
from gateways.world import World

for each in (scenarios_pages, scenarios_money, scenarios_days, scenarios_several, scenarios_upi):
    assert each.scenario.__module__ == "gateways.scenarios"  # each has entered its own
NAMES = [*ALL]
NEEDS = {str(need) for one in ALL.values() for need in one.needs}


def declared(gateway: str, name: str) -> Difference | None:
    """Find the row of a scenario: its own, or that of all its values."""
    return DIFFERENCES.get((gateway, name)) or DIFFERENCES.get((gateway, name.partition("[")[0]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("world", worlds.names(), indirect=True)
def test_at_every_gateway(world: World, name: str) -> None:
    gateway, scenario = world.stage.gateway, ALL[name]
    difference, need = declared(gateway, name), lacking(world, scenario)
    if difference:
        assert difference.instead is not None
        difference.instead(world)
    elif need:
        assert (gateway, need) in DIFFERENCES, f"{gateway} has no {need}: differences.py says why"
    else:
        scenario.play(world)


def test_there_are_enough_scenarios() -> None:
    assert len(NAMES) >= 90


@pytest.mark.parametrize("world", worlds.names(), indirect=True)
def test_a_declared_difference_is_one(world: World) -> None:
    gateway = world.stage.gateway
    rows = {name: row for (of, name), row in DIFFERENCES.items() if of == gateway}
    scenarios = set(NAMES) | {name.partition("[")[0] for name in NAMES}

    for name, row in rows.items():
        assert row.why
        assert row.documentation.startswith("https://")
        if row.instead:
            assert name in scenarios
        else:
            assert name in NEEDS
            assert any(lacking(world, one) == name for one in ALL.values()), f"{name} is there"
    assert {gateway for gateway, _ in DIFFERENCES} <= set(worlds.names())
