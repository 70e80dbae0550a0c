"""One call for many: what comes while a call is under way goes with the next one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(eq=False, slots=True)
class Waiting(Generic[Item, Answer]):
    """A thread with an item: it sends that and others', or hears what was answered to it."""

    item: Item
    answer: Answer | None = None
    may_send: bool = False
    is_called: Event = field(default_factory=Event)


class Batches(Generic[Item, Answer]):
    """What many threads have to send, a call for all that wait.

    Nothing waits to be joined by others: where no call is under way an item goes at once, and
    alone. So a process that serves one request at a time never sends two together. Another call
    begins beside one that is under way when a crowd waits.
    """

    def __init__(self, calls_max: int, crowd: int, items_max: int) -> None:
        self._calls_max = calls_max
        self._crowd = crowd
        self._items_max = items_max
        self._lock = Lock()
        self._under_way = 0
        self._waiting: list[Waiting[Item, Answer]] = []

    @property
    def size(self) -> int:
        """How many wait for a call to end."""
        return len(self._waiting)

    def join(
        self, item: Item, send: Callable[[list[Item]], Sequence[Answer | None]]
    ) -> Answer | None:
        """Have an item sent with all that wait, by one of their threads, and answer what it got.

        `send` answers one for each that it is given, in their order. None: it had no answer to
        this one, or raised something in another thread; what it raises in this one is raised.
        """
        mine: Waiting[Item, Answer] = Waiting(item)
        with self._lock:
            self._waiting.append(mine)
            self._call_next()
        mine.is_called.wait()
        if mine.may_send:
            self._send(mine, send)
        return mine.answer

    def _call_next(self) -> None:
        """Let the first that waits begin a call, if it is time for one. The lock is ours."""
        wanted = self._crowd if self._under_way else 1
        if len(self._waiting) >= wanted and self._under_way < self._calls_max:
            self._under_way += 1
            first = self._waiting.pop(0)
            first.may_send = True
            first.is_called.set()

    def _send(
        self,
        mine: Waiting[Item, Answer],
        send: Callable[[list[Item]], Sequence[Answer | None]],
    ) -> None:
        with self._lock:
            others = self._waiting[: self._items_max - 1]
            del self._waiting[: self._items_max - 1]
        batch = [mine, *others]
        try:
            answers = send([each.item for each in batch])
            for each, answer in zip(batch, answers, strict=True):
                each.answer = answer
        finally:
            for each in others:
                each.is_called.set()
            with self._lock:
                self._under_way -= 1
                self._call_next()
