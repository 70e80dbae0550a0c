"""JSON values as Kriti sees them: exact numbers, one order over all kinds, sorted keys as text."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from sandbox.engine.values import spell

NAMES: tuple[tuple[tuple[type, ...], str], ...] = (
    ((dict,), "Object"),
    ((list,), "Array"),
    ((str,), "String"),
    ((bool,), "Boolean"),
    ((int, float, Decimal), "Number"),
)
# Kinds compare in this order, whatever the values.
RANKS = {"Object": 0, "Array": 1, "String": 2, "Number": 3, "Boolean": 4, "Null": 5}


def name_of(value: Any) -> str:
    return next((name for kinds, name in NAMES if isinstance(value, kinds)), "Null")


def decode(text: str | bytes) -> Any:
    """Read JSON; None for what is none."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, ArithmeticError, RecursionError):
        return None


def _refuse(text: str) -> Any:
    raise ValueError(text)


def encode(value: Any) -> str:
    """Write JSON without a blank, object keys in order."""
    if isinstance(value, dict):
        pairs = (f"{_quoted(key)}:{encode(value[key])}" for key in sorted(value))
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(encode, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return spell(Decimal(repr(value) if isinstance(value, float) else value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def is_equal(left: Any, right: Any) -> bool:
    """Compare values; unlike in Python, true is not 1."""
    if name_of(left) != name_of(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(is_equal, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(is_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def is_less(left: Any, right: Any) -> bool:
    names = name_of(left), name_of(right)
    if names[0] != names[1]:
        return RANKS[names[0]] < RANKS[names[1]]
    if isinstance(left, list):
        return _is_less_in_turn(left, right)
    if isinstance(left, dict):
        flat = [
            [part for key in sorted(item) for part in (key, item[key])] for item in (left, right)
        ]
        return _is_less_in_turn(*flat)
    return left is not None and bool(left < right)


def _flat(value: dict[str, Any]) -> list[Any]:
    return [part for key in sorted(value) for part in (key, value[key])]


def _is_less_in_turn(left: list[Any], right: list[Any]) -> bool:
    for mine, other in zip(left, right, strict=False):
        if not is_equal(mine, other):
            return is_less(mine, other)
    return len(left) < len(right)
