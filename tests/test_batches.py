"""One call for many: who goes alone, who goes together, and who hears what."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import pytest

from app.batches import Batches

PATIENCE = 60


class Office:
    """Sends letters. A call with the letter `a` takes until it may end."""

    def __init__(self, calls_max: int = 1, crowd: int = 1, items_max: int = 32) -> None:
        self.batches: Batches[str, str] = Batches(calls_max, crowd, items_max)
        self.calls: list[list[str]] = []
        self.is_under_way, self.may_end = Event(), Event()
        self.threads = ThreadPoolExecutor(16)

    def send(self, letters: list[str]) -> list[str | None]:
        self.calls.append(letters)
        if "a" in letters:
            self.is_under_way.set()
            assert self.may_end.wait(PATIENCE)
        if "burnt" in letters:
            raise OSError("burnt")
        return [None if letter == "odd" else f"re: {letter}" for letter in letters]

    def begin(self) -> Future[str | None]:
        """Have a call under way."""
        first = self.threads.submit(self.batches.join, "a", self.send)
        assert self.is_under_way.wait(PATIENCE)
        return first

    def line_up(self, *letters: str) -> list[Future[str | None]]:
        """Have letters wait, one behind the other."""
        futures = []
        for letter in letters:
            futures.append(self.threads.submit(self.batches.join, letter, self.send))
            end = time.monotonic() + PATIENCE
            while self.batches.size < len(futures):
                assert time.monotonic() < end
        return futures

    def answers(self, *letters: str) -> list[str | None]:
        """Answer what letters hear that came while a call was under way."""
        first, others = self.begin(), self.line_up(*letters)
        self.may_end.set()
        assert first.result(PATIENCE) == "re: a"
        return [each.result(PATIENCE) for each in others]


@pytest.fixture
def offices() -> Iterator[list[Office]]:
    """What a test opens here is closed."""
    opened: list[Office] = []
    yield opened
    for office in opened:
        office.may_end.set()
        office.threads.shutdown()


@pytest.fixture
def office(offices: list[Office]) -> Office:
    offices.append(Office())
    return offices[0]


def test_who_comes_alone_goes_alone_and_at_once(office: Office) -> None:
    assert [office.batches.join(letter, office.send) for letter in "bc"] == ["re: b", "re: c"]
    assert office.calls == [["b"], ["c"]]


def test_who_comes_while_a_call_is_under_way_goes_with_the_next(office: Office) -> None:
    assert office.answers("b", "c", "d") == ["re: b", "re: c", "re: d"]
    assert office.calls == [["a"], ["b", "c", "d"]]
    assert office.batches.size == 0


def test_a_call_takes_so_many_and_the_next_the_others(offices: list[Office]) -> None:
    offices.append(office := Office(items_max=2))
    letters = ["b", "c", "d", "e", "f"]

    assert office.answers(*letters) == [f"re: {letter}" for letter in letters]
    assert office.calls == [["a"], ["b", "c"], ["d", "e"], ["f"]]


def test_a_second_call_need_not_wait_for_a_slow_one(offices: list[Office]) -> None:
    offices.append(office := Office(calls_max=2))
    first = office.begin()

    assert office.batches.join("b", office.send) == "re: b"
    assert not first.done()


def test_a_second_call_begins_when_a_crowd_waits(offices: list[Office]) -> None:
    offices.append(office := Office(calls_max=2, crowd=3))
    first, others = office.begin(), office.line_up("b", "c")
    others.append(office.threads.submit(office.batches.join, "d", office.send))

    assert [each.result(PATIENCE) for each in others] == ["re: b", "re: c", "re: d"]
    assert office.calls == [["a"], ["b", "c", "d"]]
    assert not first.done()


def test_who_gets_no_answer_hears_so_and_the_others_theirs(office: Office) -> None:
    assert office.answers("b", "odd", "c") == ["re: b", None, "re: c"]


def test_a_failure_is_raised_for_one_and_the_others_hear_that_they_go_alone(
    office: Office,
) -> None:
    first, others = office.begin(), office.line_up("b", "burnt", "c")
    office.may_end.set()
    assert first.result(PATIENCE) == "re: a"

    failures = [each.exception(PATIENCE) for each in others]
    assert [str(each) for each in failures if each] == ["burnt"]
    assert [each.result() for each in others if not each.exception()] == [None, None]
    assert office.batches.join("d", office.send) == "re: d"
