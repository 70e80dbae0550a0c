"""`x-idempotency-key`: for a day the same request has the same answer, and no second effect.

An answer is written in the same transaction as the effect it reports; a refusal leaves nothing.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.gateways.cashfree import errors, rupees
from sandbox.gateways.server.state import Books

LIFETIME = 24 * 3600


class IdempotencyKeys:
    def __init__(self, books: Books) -> None:
        self.books = books
        self.running: set[str] = set()

    @contextmanager
    def in_use(self, key: str) -> Iterator[None]:
        self.running.add(key)
        try:
            yield
        finally:
            self.running.discard(key)

    def replay(self, key: str, place: str, body: dict[str, Any]) -> Any:
        """Find the kept answer. Raises RefusalError when the key cannot be used like this."""
        if not key:
            return None
        if key in self.running:
            raise errors.key_in_use()
        kept = self.books.find("idempotency_key", _name(key, place))
        if kept is None or kept["created"] <= self.books.store.now() - LIFETIME:
            return None
        if kept["body"] != rupees.write(body).decode():
            raise errors.key_reused()
        return rupees.read(kept["answer"].encode())

    def keep(self, key: str, place: str, body: dict[str, Any], answer: Any) -> None:
        if not key:
            return
        name = _name(key, place)
        kept = {
            "id": name,
            "created": self.books.store.now(),
            "body": rupees.write(body).decode(),
            "answer": rupees.write(answer).decode(),
        }
        if self.books.find("idempotency_key", name):
            self.books.update("idempotency_key", kept)
        else:
            self.books.insert("idempotency_key", kept)


def _name(key: str, place: str) -> str:
    return hashlib.sha256(f"{place}\n{key}".encode()).hexdigest()
