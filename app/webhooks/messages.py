"""What is said of an event to the outside, in the words that its destination asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from app.http import written
from app.jsonb import parse_exactly
from app.money import Money

VERSION = 1  # of the message's shape; a fact that is added does not change it


@dataclass(frozen=True, slots=True)
class Message:
    """An event as it leaves. `detail` is a JSON object."""

    id: str
    source: str
    detail_type: str
    time: datetime
    detail: str


class Outcome(StrEnum):
    """What became of sending a message."""

    PUBLISHED = "published"
    REFUSED = "refused"  # the destination will never take this one
    SILENT = "silent"  # nobody knows, or it says nothing of the message: it is sent again


@dataclass(frozen=True, slots=True)
class Result:
    """How a message was taken, and why not."""

    outcome: Outcome
    detail: str = ""


def read(row: Mapping[str, Any]) -> Message:
    """Put an event into words. Raises TypeError or ValueError for one that cannot be."""
    facts = parse_exactly(row["facts"].encode())
    if not isinstance(facts, dict):
        raise TypeError("its facts are no object")
    said = facts if row["fields"] is None else _translated(facts | _of_event(row), row)
    return Message(
        id=row["id"],
        source=row["source"],
        detail_type=row["detail_type"],
        time=datetime.fromisoformat(row["created_at"]),
        detail=written({**said, "event": _of_event(row)}),
    )


def _of_event(row: Mapping[str, Any]) -> dict[str, Any]:
    """Say what lets a receiver drop what it has, and put the events of one object in order."""
    names = ("id", "type", "object_type", "object_id")
    return {
        **{name: row[name] for name in names},
        "version": VERSION,
        "sequence": int(row["sequence"]),
        "organization_id": row["organization_id"],
        "livemode": row["livemode"],
        "created_at": row["created_at"],
    }


def _translated(facts: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a message with every name of its words: null where the event has no such fact."""
    known = {**facts, "amount_major": _major(facts)}
    return {**{name: known.get(fact) for name, fact in row["fields"].items()}, **row["constants"]}


def _major(facts: Mapping[str, Any]) -> Decimal | None:
    try:
        return Money(facts["amount"], facts["currency"]).decimal
    except (KeyError, TypeError, ValueError):
        return None
