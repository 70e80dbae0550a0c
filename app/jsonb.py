"""JSON that comes from outside and must go into a jsonb column of Postgres."""

import json
import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

UNKEEPABLE = re.compile("[\\x00\\ud800-\\udfff]")
ESCAPES = re.compile(rb"\\u|\x00")  # by these alone ASCII can mean something unkeepable
DEPTH_MAX = 64  # arrays and objects within each other; a gateway's message has fewer than ten


def parse(body: bytes) -> Any:
    """Parse JSON into what Postgres can keep as jsonb. Raises ValueError.

    U+FFFD stands in for NUL and for half of a surrogate pair, numbers must be finite, and no more
    than DEPTH_MAX arrays and objects may lie within each other.
    """
    return _parse(body, _finite)


def parse_exactly(body: bytes) -> Any:
    """Parse the same; a number with a point is a Decimal, for a float is not exact."""
    return _parse(body, _exact)


def _parse(body: bytes, number: Callable[[str], Any]) -> Any:
    try:
        value = json.loads(body, parse_constant=_finite, parse_float=number)
        if body.count(b"[") + body.count(b"{") > DEPTH_MAX:
            _check_depth(value)
        return value if body.isascii() and not ESCAPES.search(body) else _keepable(value)
    except RecursionError as failure:
        raise ValueError("nested too deeply") from failure


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [item for part in level for item in _items(part)]
    if any(isinstance(part, dict | list) for part in level):
        raise ValueError("nested too deeply")


def _items(part: Any) -> Iterable[Any]:
    if isinstance(part, dict):
        return part.values()
    return part if isinstance(part, list) else ()


def _keepable(value: Any) -> Any:
    if isinstance(value, str):
        return UNKEEPABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [_keepable(item) for item in value]
    if isinstance(value, dict):
        return {_keepable(key): _keepable(item) for key, item in value.items()}
    return value


def _exact(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as failure:  # not even a Decimal is so large
        raise ValueError(f"{text[:40]} is beyond all numbers") from failure


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number of JSON")
    return number
