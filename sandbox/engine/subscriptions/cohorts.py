"""Who watches what: subscribers whose answers are the same text share a cohort."""

from __future__ import annotations

from typing import Protocol

from sandbox.engine.errors import EngineError

Arguments = tuple[str | None, ...]


class Answer:
    """The JSON of one answer, framed once for all who use the same id."""

    __slots__ = ("frames", "text")

    def __init__(self, data: str) -> None:
        self.text = f'{{"data":{data}}}'
        self.frames: dict[str, str] = {}

    def framed(self, head: str) -> str:
        """Return a message that begins with `head` and ends with this payload."""
        found = self.frames.get(head)
        if found is None:
            found = self.frames[head] = f"{head}{self.text}}}"
        return found


class Subscriber(Protocol):
    """One operation of one client. The calls only note down what is to be sent."""

    def answered(self, answer: Answer) -> None: ...

    def failed(self, error: EngineError) -> None:
        """Tell a failure; the operation goes on."""

    def refused(self, error: EngineError) -> None:
        """Tell that the operation cannot be answered; it is over."""


class Cohort:
    """Subscribers with the same arguments. `newcomers` have not been answered yet.

    `is_slow` says that the others had to wait for its answer, so it is read apart from them.
    """

    __slots__ = ("arguments", "digest", "is_slow", "newcomers", "subscribers")

    def __init__(self, arguments: Arguments) -> None:
        self.arguments = arguments
        self.subscribers: dict[Subscriber, None] = {}
        self.newcomers: dict[Subscriber, None] = {}
        self.digest: bytes | None = None
        self.is_slow = False

    def add(self, subscriber: Subscriber) -> None:
        self.subscribers[subscriber] = None
        self.newcomers[subscriber] = None

    def remove(self, subscriber: Subscriber) -> None:
        self.subscribers.pop(subscriber, None)
        self.newcomers.pop(subscriber, None)

    def take_newcomers(self) -> list[Subscriber]:
        taken = list(self.newcomers)
        self.newcomers.clear()
        return taken

    def put_back(self, newcomers: list[Subscriber]) -> None:
        """Remember that those who were about to be answered were not."""
        self.newcomers |= dict.fromkeys(self.present(newcomers))

    def present(self, subscribers: list[Subscriber]) -> list[Subscriber]:
        """Return those who still listen."""
        return [item for item in subscribers if item in self.subscribers]

    def settled(self) -> list[Subscriber]:
        """Return all but those who came after the statement was sent."""
        return [item for item in self.subscribers if item not in self.newcomers]
