"""Idempotency keys, which Razorpay has for refunds: the same key and body, the same answer."""

import json
import re

from sandbox.gateways.razorpay.calls import Call
from sandbox.gateways.razorpay.errors import key_in_use, key_of_another, plain
from sandbox.gateways.server.state import Document, Store

SCHEMA = """
create table if not exists razorpay_idempotency_keys (
    key text primary key,
    request text not null,
    answer text not null
);
"""
LENGTH_MIN = 10


class Keys:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.running: set[str] = set()
        store.db.executescript(SCHEMA)

    def find(self, key: str, operation: str, call: Call) -> Document | None:
        """Find the kept answer. Raises RefusalError when the key cannot be used like this."""
        _check(key)
        if key in self.running:
            raise key_in_use()
        row = self.store.db.execute(
            "select request, answer from razorpay_idempotency_keys where key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        if row["request"] != _text(operation, call):
            raise key_of_another()
        answer: Document = json.loads(row["answer"])
        return answer

    def keep(self, key: str, operation: str, call: Call, answer: Document) -> None:
        self.store.db.execute(
            "insert into razorpay_idempotency_keys values (?, ?, ?)",
            (key, _text(operation, call), json.dumps(answer)),
        )


def _check(key: str) -> None:
    if len(key) < LENGTH_MIN:
        raise plain(f"The idempotency key must be at least {LENGTH_MIN} characters long.")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", key):
        raise plain(
            "The idempotency key must only contain alphanumeric characters, underscores, and"
            " hyphens"
        )


def _text(operation: str, call: Call) -> str:
    return json.dumps([operation, call.path, call.params], sort_keys=True)
