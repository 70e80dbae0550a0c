"""The spoilt line itself, between two plain sockets: what each verb does to what is said."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from e2e.line import Line, Verb

ANSWER = b"0123456789"
SECONDS_MAX = 60


class Echo:
    """Answers each piece with ten digits, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        try:
            while asked := connection.recv(1000):
                self.asked.append(asked)
                if asked == b"stop":
                    self.server.close()
                    return
                connection.sendall(ANSWER)
        except OSError:
            return

    def stop(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"stop")
            last.recv(1)
        self.thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.stop()


@pytest.fixture
def line(echo: Echo) -> Iterator[Line]:
    with Line(echo.port) as line:
        yield line


def ask(line: Line, said: bytes = b"hello") -> bytes:
    """Say one thing and hear it out; a ConnectionResetError is raised as it comes."""
    with socket.create_connection(("127.0.0.1", line.port), timeout=SECONDS_MAX) as client:
        client.sendall(said)
        heard = b""
        while len(heard) < len(ANSWER) and (more := client.recv(1000)):
            heard += more
        return heard


def test_a_line_that_is_left_alone_passes_everything(line: Line, echo: Echo) -> None:
    assert ask(line) == ANSWER
    assert (echo.asked, line.hits) == ([b"hello"], 0)


def test_a_delayed_line_is_late(line: Line) -> None:
    line.spoil(Verb.DELAY, seconds=0.3)
    started = time.monotonic()

    assert ask(line) == ANSWER
    assert time.monotonic() - started >= 0.3


def test_what_is_dropped_before_never_arrives(line: Line, echo: Echo) -> None:
    line.spoil(Verb.DROP_BEFORE)
    assert ask(line) == b""
    assert echo.asked == []


def test_what_is_dropped_after_arrived(line: Line, echo: Echo) -> None:
    line.spoil(Verb.DROP_AFTER)
    assert ask(line) == b""
    assert echo.asked == [b"hello"]


def test_a_reset_comes_amid_the_answer(line: Line, echo: Echo) -> None:
    line.spoil(Verb.RESET)
    with pytest.raises(ConnectionResetError):
        ask(line)
    assert echo.asked == [b"hello"]


def test_a_half_closed_line_ends_amid_the_answer(line: Line) -> None:
    line.spoil(Verb.HALF_CLOSE)
    assert ask(line) == ANSWER[:5]


def test_a_throttled_line_is_slow(line: Line) -> None:
    line.spoil(Verb.THROTTLE, times=2, rate=40)
    started = time.monotonic()

    assert ask(line) == ANSWER
    assert time.monotonic() - started >= 0.15


def test_a_line_that_swallows_is_silent(line: Line, echo: Echo) -> None:
    line.spoil(Verb.SWALLOW)
    with socket.create_connection(("127.0.0.1", line.port), timeout=0.3) as client:
        client.sendall(b"hello")
        with pytest.raises(TimeoutError):
            client.recv(1)
        while not line.hits:  # the machine may be so slow that nothing has been swallowed yet
            time.sleep(0.01)
    assert echo.asked == []


def test_a_verb_is_met_as_often_as_it_was_said(line: Line) -> None:
    line.spoil(Verb.DROP_BEFORE, times=2)
    assert [ask(line) for _ in range(3)] == [b"", b"", ANSWER]


def test_a_mended_line_passes_again(line: Line) -> None:
    line.spoil(Verb.DROP_BEFORE, times=9)
    line.mend()

    assert ask(line) == ANSWER
