"""Requests that are nearly right: one thing of a good request is broken."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from .choices import Draw, pick
from .documents import Request

TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\$?[_A-Za-z][_0-9A-Za-z]*|-?[0-9.]+|\.\.\.|[^\s,]')
NAMES = ("nope", "id", "__schema", "__typename", "_eq", "_and", "order_by", "where", "on", "true")
LITERALS: tuple[str, ...] = (
    '""',
    '"x"',
    "1.5",
    "-1",
    "0",
    "99999999999999999999",
    "1e400",
    "null",
    "true",
    "{}",
)
LITERALS += (
    "[]",
    "[[1]]",
    "[null]",
    "NOPE",
    "$nope",
    "{nope: 1}",
    '"\\u0000"',
    "{_eq: null}",
    "asc",
)
VALUES: tuple[Any, ...] = ("", "x", "\0", None, True, Decimal("1.5"), Decimal(-1), {}, [], [[None]])
VALUES += ([None], {"nope": None}, {"_eq": {}}, Decimal(10) ** 30, "NaN", "infinity", "{", "%\\")


def tokens(text: str) -> list[str]:
    return TOKEN.findall(text)


def _put(draw: Draw, parts: list[str], wanted: Callable[[str], bool], new: str) -> list[str]:
    places = [at for at, part in enumerate(parts) if wanted(part)]
    if not places:
        return parts
    at = pick(draw, places)
    return [*parts[:at], *([new] if new else []), *parts[at + 1 :]]


def _is_name(part: str) -> bool:
    return part[0].isalpha() or part[0] == "_"


def _is_literal(part: str) -> bool:
    return part[0] in '"-0123456789$' or part in ("true", "false", "null") or part.startswith("asc")


def _renamed(draw: Draw, request: Request) -> None:
    parts = tokens(request.query)
    other = pick(draw, [part for part in parts if _is_name(part)])
    new = draw(st.sampled_from([*NAMES, other]))
    request.query = " ".join(_put(draw, parts, _is_name, new))


def _retyped(draw: Draw, request: Request) -> None:
    parts = _put(draw, tokens(request.query), _is_literal, pick(draw, LITERALS))
    request.query = " ".join(parts)


def _shortened(draw: Draw, request: Request) -> None:
    request.query = " ".join(_put(draw, tokens(request.query), bool, ""))


def _without_argument(draw: Draw, request: Request) -> None:
    """Drop a name with its colon and value, when the value is a single token."""
    found = re.sub(r"\w+: (?:\$?\w+|\"[^\"\\]*\")(?=[,)}])", "", request.query, count=1)
    request.query = found.replace("()", "")


def _swapped(draw: Draw, request: Request) -> None:
    parts = tokens(request.query)
    at = draw(st.integers(0, len(parts) - 2))
    parts[at], parts[at + 1] = parts[at + 1], parts[at]
    request.query = " ".join(parts)


def _variables(draw: Draw, request: Request) -> None:
    """Change one value somewhere in the variables, or which variables there are."""
    if not request.variables or pick(draw, range(5)) == 0:
        request.variables["nope"] = None
        return
    name = pick(draw, sorted(request.variables))
    if pick(draw, range(4)) == 0:
        del request.variables[name]
        return
    request.variables[name] = _spoilt(draw, request.variables[name])


def _spoilt(draw: Draw, value: Any) -> Any:
    if isinstance(value, dict) and value and pick(draw, range(4)):
        key = pick(draw, sorted(value))
        return value | {key: _spoilt(draw, value[key])}
    if isinstance(value, list) and value and pick(draw, range(4)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _spoilt(draw, value[at]), *value[at + 1 :]]
    return pick(draw, VALUES)


FAULTS: tuple[Callable[[Draw, Request], None], ...] = (
    _renamed,
    _renamed,
    _retyped,
    _retyped,
    _shortened,
    _without_argument,
    _swapped,
)
FAULTS += (_variables, _variables)


def neighbour(draw: Draw, request: Request) -> Request:
    """Return a request like the given one, with one or two faults."""
    found = deepcopy(request)
    for _ in range(pick(draw, (1, 1, 2))):
        pick(draw, FAULTS)(draw, found)
    return found
