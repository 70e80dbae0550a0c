"""The list of bugs fits the code as it is now."""

from sabotage import breaking

BUGS = breaking.bugs()


def test_every_bug_has_its_one_place() -> None:
    assert {bug.name: bug.places for bug in BUGS if bug.places != 1} == {}
    assert len(BUGS) >= 40


def test_every_bug_names_tests_that_are_there() -> None:
    missing = [test for bug in BUGS for test in bug.tests if not (breaking.ROOT / test).exists()]
    assert missing == []
