"""Kriti's functions. Each takes one value."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any
from urllib.parse import quote

from .errors import FunctionFailed
from .values import name_of

Function = Callable[[Any], Any]

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
EXPONENT_MAX = 1000
DIGITS_MAX = 1000


def _expected(value: Any, kind: str, context: str | None = None) -> FunctionFailed:
    text = f"parsing {context or kind} failed, expected {kind}, but encountered {name_of(value)}"
    return FunctionFailed(text)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _expected(value, "String")
    return value


def _array(value: Any, context: str = "Array") -> list[Any]:
    if not isinstance(value, list):
        raise _expected(value, "Array", context)
    return value


def _empty(value: Any) -> bool:
    if isinstance(value, bool):
        raise FunctionFailed("Cannot define emptiness for a boolean")
    if isinstance(value, str):
        return not value.strip()
    return not value


def _size(value: Any) -> Any:
    if isinstance(value, (dict, list, str)):
        return len(value)
    return int(value or 0) if isinstance(value, bool) or value is None else value


def _inverse(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (list, str)):
        return value[::-1]
    return _reciprocal(Decimal(value)) if isinstance(value, (int, Decimal)) else value


def _reciprocal(number: Decimal) -> Any:
    """Divide exactly. Kriti never ends where the fraction does not; here it is refused."""
    if not number or abs(number.adjusted()) > EXPONENT_MAX:
        raise FunctionFailed("Cannot take the reciprocal of this number")
    part = Fraction(1) / Fraction(number)
    for scale in range(DIGITS_MAX):
        if 10**scale % part.denominator == 0:
            return Decimal(f"{part.numerator * 10**scale // part.denominator}e-{scale}")
    raise FunctionFailed("The reciprocal of this number has no end")


def _head(value: Any) -> Any:
    if not isinstance(value, (list, str)):
        raise FunctionFailed("Expected an array or string")
    if not value:
        raise FunctionFailed("Empty array" if isinstance(value, list) else "Empty string")
    return value[0]


def _tail(value: Any) -> Any:
    _head(value)
    return value[1:]


def _title(value: Any) -> str:
    """Raise the first letter of each word; an apostrophe does not end a word."""
    return WORD.sub(lambda word: word[0][0].title() + word[0][1:].lower(), _text(value))


def _to_pairs(value: Any) -> list[Any]:
    if not isinstance(value, dict):
        raise _expected(value, "Object")
    return [[key, value[key]] for key in sorted(value)]


def _from_pairs(value: Any) -> dict[str, Any]:
    pairs = [_array(item, "Array of Pair") for item in _array(value, "Nested Arrays")]
    for pair in pairs:
        if len(pair) != 2:
            text = "Expected an array of shape [ [k1,v1], [k2,v2] ... ] - With String keys."
            raise FunctionFailed(text)
        if not isinstance(pair[0], str):
            raise _expected(pair[0], "String", "Key")
    return dict(pairs)


def _remove_nulls(value: Any) -> list[Any]:
    return [item for item in _array(value) if item is not None]


def _concat(value: Any) -> Any:
    """Join arrays, strings or objects; of objects the last has its way."""
    items = _array(value)
    if all(isinstance(item, list) for item in items):
        return [part for item in items for part in item]
    if all(isinstance(item, str) for item in items):
        return "".join(items)
    found: dict[str, Any] = {}
    for item in items:
        if not isinstance(item, dict):
            raise _expected(item, "Object", "Nested Object")
        found |= item
    return found


def _not(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _expected(value, "Boolean", "Bool")
    return not value


FUNCTIONS: dict[str, Function] = {
    "concat": _concat,
    "empty": _empty,
    "escapeUri": lambda value: quote(_text(value), safe=""),
    "fromPairs": _from_pairs,
    "head": _head,
    "inverse": _inverse,
    "not": _not,
    "removeNulls": _remove_nulls,
    "size": _size,
    "tail": _tail,
    "toCaseFold": lambda value: _text(value).casefold(),
    "toLower": lambda value: _text(value).lower(),
    "toPairs": _to_pairs,
    "toTitle": _title,
    "toUpper": lambda value: _text(value).upper(),
}
