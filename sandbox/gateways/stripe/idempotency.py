"""Idempotency keys of API v1: the first result is kept for a day and replayed.

A result is written in the same transaction as the effect it reports. Refused requests leave
nothing. The key belongs to the account: another endpoint or other parameters are an error.
"""

import json
from dataclasses import dataclass
from typing import Any

from sandbox.gateways.server.state import Store
from sandbox.gateways.stripe.errors import RefusalError, invalid

SCHEMA = """
create table if not exists stripe_idempotency_keys (
    key text primary key,
    path text not null,
    params text not null,
    status integer not null,
    body text not null,
    request text not null,
    created integer not null
);
create index if not exists stripe_idempotency_keys_by_age on stripe_idempotency_keys (created);
"""
LIFETIME = 24 * 3600
LONGEST = 255


@dataclass(frozen=True, slots=True)
class Result:
    status: int
    text: str
    request: str  # the id of the request that was really executed


class IdempotencyKeys:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.running: set[str] = set()
        store.db.executescript(SCHEMA)

    def replay(self, key: str, path: str, params: dict[str, Any]) -> Result | None:
        """Find the kept result. Raises RefusalError when the key cannot be used like this."""
        if len(key) > LONGEST:
            raise invalid(
                f"Idempotency-Key must be at most {LONGEST} characters long.", "Idempotency-Key"
            )
        if key in self.running:
            raise _in_use(key)
        row = self.store.db.execute(
            "select * from stripe_idempotency_keys where key = ? and created > ?",
            (key, self.store.now() - LIFETIME),
        ).fetchone()
        if row is None:
            return None
        if row["path"] != path:
            raise _other_endpoint(key, path, row["path"])
        if row["params"] != _text(params):
            raise _other_params(key)
        return Result(row["status"], row["body"], row["request"])

    def keep(self, key: str, path: str, params: dict[str, Any], result: Result) -> None:
        now = self.store.now()
        self.store.db.execute(
            "delete from stripe_idempotency_keys where created <= ?", (now - LIFETIME,)
        )
        self.store.db.execute(
            "insert into stripe_idempotency_keys values (?, ?, ?, ?, ?, ?, ?)",
            (
                *(key, path, _text(params), result.status),
                *(result.text, result.request, now),
            ),
        )


def written(body: dict[str, Any]) -> str:
    """Write an answer, as it is kept and sent."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _text(params: dict[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)


def _in_use(key: str) -> RefusalError:
    return RefusalError(
        "There is currently another in-progress request using this Idempotent Key (that probably"
        " means you submitted twice, and the other request is still going through):"
        f" {key}. Please try again later.",
        status=409,
        type="idempotency_error",
        code="idempotency_key_in_use",
    )


def _other_endpoint(key: str, path: str, first: str) -> RefusalError:
    return RefusalError(
        "Keys for idempotent requests can only be used for the same endpoint they were first used"
        f" for ('{path}' vs '{first}'). Try using a key other than '{key}' if you meant to execute"
        " a different request.",
        type="idempotency_error",
    )


def _other_params(key: str) -> RefusalError:
    return RefusalError(
        "Keys for idempotent requests can only be used with the same parameters they were first"
        f" used with. Try using a key other than '{key}' if you meant to execute a different"
        " request.",
        type="idempotency_error",
    )
