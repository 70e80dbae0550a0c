"""A few of the bugs at each run, others every day; `make sabotage` tries them all."""

from datetime import date

import pytest
from sabotage import breaking

BUGS = breaking.bugs()
A_DAY = 6


def todays() -> list[breaking.Bug]:
    first = date.today().toordinal() * A_DAY % len(BUGS)  # noqa: DTZ011 -- any day will do
    return (BUGS + BUGS)[first : first + A_DAY]


@pytest.mark.timeout(breaking.SECONDS_MAX)
@pytest.mark.parametrize("bug", todays(), ids=lambda bug: bug.name)
def test_a_bug_is_caught(bug: breaking.Bug) -> None:
    assert breaking.is_caught(bug)
