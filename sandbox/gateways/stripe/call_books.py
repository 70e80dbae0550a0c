"""The books during one call of the API: each object is read once and written once, at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto

from sandbox.gateways.server.state import Books, Document, Slice, Store

ENDPOINT = "webhook_endpoint"
EVERY_ENDPOINT = Slice(limit=100)


class Change(Enum):
    """What is to be written of an object."""

    NOTHING = auto()
    INSERT = auto()
    UPDATE = auto()


@dataclass(slots=True)
class Held:
    """An object as the call has left it so far."""

    document: Document
    change: Change


class CallBooks(Books):
    """Books that may hold back what a call changes.

    A charge changes its objects five times, and writing one takes longer than all else that is done
    to it. Who is sent events is read before every event, and hardly ever changes.
    """

    def __init__(self, store: Store, gateway: str) -> None:
        super().__init__(store, gateway)
        self._held: dict[tuple[str, str], Held] | None = None
        self._endpoints: list[Document] | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold changes back until the block ends well. Needs a transaction."""
        self._held = {}
        try:
            yield
            self._write()
        except BaseException:
            self._endpoints = None  # what was read may be undone
            raise
        finally:
            self._held = None

    def endpoints(self) -> list[Document]:
        """List all that webhooks may go to; not to be changed."""
        if self._endpoints is None:
            self._endpoints = self.page(ENDPOINT, EVERY_ENDPOINT)[0]
        return self._endpoints

    def insert(self, kind: str, document: Document) -> None:
        if self._held is None or kind in {"event", ENDPOINT}:
            self._forget(kind)
            super().insert(kind, document)
        else:
            self._held[kind, document["id"]] = Held(dict(document), Change.INSERT)

    def update(self, kind: str, document: Document) -> None:
        if self._held is None or kind == ENDPOINT:
            self._forget(kind)
            super().update(kind, document)
            return
        held = self._held.setdefault((kind, document["id"]), Held(document, Change.UPDATE))
        held.document = dict(document)
        if held.change is Change.NOTHING:
            held.change = Change.UPDATE

    def delete(self, kind: str, subject: str) -> None:
        self._write()
        self._forget(kind)
        super().delete(kind, subject)

    def find(self, kind: str, subject: str) -> Document | None:
        if self._held is None or kind == ENDPOINT:
            return super().find(kind, subject)
        held = self._held.get((kind, subject))
        if held is None:
            found = super().find(kind, subject)
            if found is None:
                return None
            held = self._held[kind, subject] = Held(found, Change.NOTHING)
        return dict(held.document)

    def page(self, kind: str, part: Slice) -> tuple[list[Document], bool]:
        self._write()
        return super().page(kind, part)

    def _write(self) -> None:
        """Write what is held, in the order in which it was first touched."""
        held, self._held = self._held, None
        for (kind, _), one in (held or {}).items():
            if one.change is Change.INSERT:
                super().insert(kind, one.document)
            elif one.change is Change.UPDATE:
                super().update(kind, one.document)
        self._held = None if held is None else {}

    def _forget(self, kind: str) -> None:
        if kind == ENDPOINT:
            self._endpoints = None
