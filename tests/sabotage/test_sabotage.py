"""A few of the bugs at each run, others every day; `make sabotage` tries them all."""

from datetime import date

import pytest
from sabotage import breaking

BUGS = breaking.bugs()
A_DAY = 6


def todays() -> list[breaking.Bug]:
    first = date.today().toordinal() * A_DAY % len(BUGS)  # noqa: DTZ011 -- any day will do
    return (BUGS + BUGS)[first : first + A_DAY]


def test_every_bug_has_its_one_place_and_its_tests() -> None:
    assert {bug.name: bug.places for bug in BUGS} == {bug.name: 1 for bug in BUGS}
    missing = [test for bug in BUGS for test in bug.tests if not (breaking.ROOT / test).exists()]
    assert missing == []
    assert len(BUGS) >= 40


@pytest.mark.timeout(breaking.SECONDS_MAX)
@pytest.mark.parametrize("bug", todays(), ids=lambda bug: bug.name)
def test_a_bug_is_caught(bug: breaking.Bug) -> None:
    assert breaking.is_caught(bug)
