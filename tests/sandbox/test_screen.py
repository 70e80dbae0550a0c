import io
from types import SimpleNamespace
from typing import Self

import pytest

from sandbox import screen
from sandbox.screen import RED, Screen


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes 0.0 s, however slow the machine is."""
    monkeypatch.setattr(screen, "time", SimpleNamespace(monotonic=lambda: 7.0))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError

    def __enter__(self) -> Self:
        return self


def test_a_file_gets_neither_colour_nor_moving_lines() -> None:
    file = io.StringIO()
    with Screen(file, {}).step("database") as step:
        step.result = "ready"

    assert file.getvalue() == "  database       0.0 s  ready\n"


def test_a_long_step_says_what_it_does_where_lines_cannot_move() -> None:
    file = io.StringIO()
    with Screen(file, {}).step("packages", "installing"):
        assert file.getvalue() == "  packages      installing ...\n"


def test_a_terminal_gets_colour_unless_it_is_told_no() -> None:
    assert Screen(Terminal(), {}).paint("text", RED) == "\033[31mtext\033[0m"
    assert Screen(Terminal(), {"NO_COLOR": "1"}).paint("text", RED) == "text"
    assert Screen(Terminal(), {"TERM": "dumb"}).paint("text", RED) == "text"


def test_a_line_that_moves_ends_as_one_line() -> None:
    terminal = Terminal()
    with Screen(terminal, {"NO_COLOR": "1"}).step("database"):
        pass

    assert terminal.getvalue().split("\r\033[K")[-1] == "  database       0.0 s  done\n"


def test_a_step_that_fails_says_so_and_passes_the_failure_on() -> None:
    file = io.StringIO()
    with pytest.raises(ValueError, match="why"), Screen(file, {}).step("database"):
        raise ValueError("why")

    assert file.getvalue() == "  database       0.0 s  failed\n"


def test_a_reader_who_left_does_not_stop_the_writer() -> None:
    Screen(Closed(), {}).say("text")
