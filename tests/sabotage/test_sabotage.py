"""A few of the bugs at each run, others every day; `make sabotage` tries them all."""

from datetime import UTC, datetime

import pytest
from sabotage import breaking

BUGS = breaking.bugs()
A_DAY = 15


def todays(place: int) -> breaking.Bug:
    """Tell a bug of this day, which is in no test's name: workers may start around midnight."""
    day = datetime.now(UTC).toordinal()
    return BUGS[(day * A_DAY + place) % len(BUGS)]


@pytest.mark.timeout(breaking.SECONDS_MAX + 60)
@pytest.mark.parametrize("place", range(A_DAY))
def test_a_bug_is_caught(place: int) -> None:
    bug = todays(place)
    assert breaking.is_caught(bug), f"nobody notices this bug: {bug.name}"
