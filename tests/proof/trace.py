"""Rules that every trace must keep, whatever was spoilt in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from proof.seam import Call


def broken(trace: list[Call]) -> list[str]:
    """Name each breach of a rule."""
    return [*_without_intent(trace), *_inside_a_database_request(trace), *_with_other_keys(trace)]


def _without_intent(trace: list[Call]) -> Iterator[str]:
    """Before a gateway is asked to do something, the row that it is for is committed."""
    for call in trace:
        if call.has_effect and not call.asks.key and not call.asks.is_on_a_known_object:
            yield f"call {call.number} ({call.operation}) has no idempotency key"
        if call.intent_is_committed is False:
            row = f"no row {call.asks.key} was committed before"
            yield f"call {call.number} ({call.operation}): {row}"


def _inside_a_database_request(trace: list[Call]) -> Iterator[str]:
    """No database request of a door is open while that door asks a gateway."""
    for call in (one for one in trace if one.peer != "hasura"):
        for other in (one for one in trace if one.peer == "hasura" and one.door == call.door):
            if other.started < call.ended and other.ended > call.started:
                yield f"call {call.number} ({call.operation}) runs inside {other.operation}"


def _with_other_keys(trace: list[Call]) -> Iterator[str]:
    """Each retry of an attempt shows the gateway the same key.

    A numbered key is the same attempt's: it is taken once the gateway only repeats a stored 500.
    """
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for call in trace:
        key, reference = call.asks.key, call.asks.reference
        if call.has_effect and key and reference:
            keys[call.operation, reference].add(key.partition(":")[0])
    for (operation, reference), found in keys.items():
        if len(found) > 1:
            yield f"{operation} for {reference} was asked under {len(found)} keys"
