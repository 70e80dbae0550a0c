"""Tests that share a world run one after another: xdist reads their group from their id."""

import pytest


@pytest.mark.xdist_group("shared")
@pytest.mark.parametrize("name", ["one", "other"])
def test_a_test_of_a_group_is_known_by_it(request: pytest.FixtureRequest, name: str) -> None:
    is_grouping = getattr(request.config.option, "loadgroup", False)

    assert request.node.nodeid.endswith("@shared" if is_grouping else f"[{name}]")
