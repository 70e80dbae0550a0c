"""What a person sees: step lines with their time, and pairs in aligned columns.

Colour and moving lines are for terminals only, and NO_COLOR turns colour off. Standard library
only: the installation speaks through it before anything is installed.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TextIO

BOLD, DIM, RED, GREEN = "1", "2", "31", "32"
NAME_WIDTH = 14
TICK_SECONDS = 1.0


class Step:
    """A step under way. What is put in `result` is printed when it ends well."""

    def __init__(self) -> None:
        self.result = "done"


class Screen:
    """Prints to one stream."""

    def __init__(
        self, stream: TextIO | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self._stream = sys.stdout if stream is None else stream
        environ = os.environ if environ is None else environ
        self._was_terminal = self._stream.isatty()
        self.moves = self._was_terminal and environ.get("TERM") != "dumb"
        self._colours = self.moves and not environ.get("NO_COLOR")

    @property
    def is_closed(self) -> bool:
        """Whether the terminal that this began on is gone."""
        return self._was_terminal and not self._stream.isatty()

    def paint(self, text: str, colour: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._colours else text

    def say(self, text: str = "") -> None:
        self._write(f"{text}\n")

    def head(self, text: str) -> None:
        self.say(f"\n{self.paint(text, BOLD)}")

    def pair(self, name: str, value: str) -> None:
        self.say(f"  {name:<{NAME_WIDTH}}{value}")

    def pairs(self, items: Iterable[tuple[str, str]]) -> None:
        for name, value in items:
            self.pair(name, value)

    @contextlib.contextmanager
    def step(self, name: str, doing: str = "") -> Iterator[Step]:
        """Print one line when the block ends, and while it runs too where lines can move.

        `doing` is for steps that take long: it is printed at once even where lines cannot move.
        """
        step, started = Step(), time.monotonic()
        try:
            with self._ticking(name, doing, started):
                yield step
        except Exception:
            self._finish(name, "failed", time.monotonic() - started, RED)
            raise
        self._finish(name, step.result, time.monotonic() - started, GREEN)

    @contextlib.contextmanager
    def _ticking(self, name: str, doing: str, started: float) -> Iterator[None]:
        if not self.moves:
            if doing:
                self.pair(name, f"{doing} ...")
            yield
            return
        ended = threading.Event()

        def tick() -> None:
            while True:
                seconds = time.monotonic() - started
                clock = f"{seconds:4.0f} s" if seconds >= TICK_SECONDS else " " * 6
                line = f"\r\033[K  {name:<{NAME_WIDTH}}{clock}  {doing or '...'}"
                self._write(self.paint(line, DIM))
                if ended.wait(TICK_SECONDS):
                    return

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()
            self._write("\r\033[K")

    def _finish(self, name: str, result: str, seconds: float, colour: str) -> None:
        label = self.paint(f"{name:<{NAME_WIDTH}}", colour)
        self.say(f"  {label}{seconds:4.1f} s  {result}")

    def _write(self, text: str) -> None:
        # Whoever read us may be gone, as with `| head` or a closed terminal; what runs must not
        # fall over that, least of all while it stops.
        with contextlib.suppress(OSError):
            self._stream.write(text)
            self._stream.flush()
