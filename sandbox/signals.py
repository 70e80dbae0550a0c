"""What makes the sandbox stop: Ctrl-C, SIGTERM, and SIGHUP of a closed terminal."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(BaseException):
    """Somebody asked the sandbox to stop. Not an Exception: nothing on the way may swallow it."""


class Signals:
    """Raises StoppedError at the first of these signals, wherever the program is.

    What comes after the first is ignored, so that stopping is not interrupted.
    """

    def __init__(self) -> None:
        self._heard = False
        self._shielded = False

    def ignore(self) -> None:
        """Let nothing more interrupt: the program is stopping already."""
        self._shielded = True

    @contextmanager
    def caught(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._hear) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Finish the block first: for what must not be left half done, as a started process.

        The terminal's Ctrl-C reaches what runs inside as well; that it failed then is no news.
        """
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
            if self._heard:
                raise StoppedError

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        first, self._heard = not self._heard, True
        if first and not self._shielded:
            raise StoppedError
