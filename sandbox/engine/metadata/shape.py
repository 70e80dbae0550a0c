"""Checks of what JSON and YAML hold: each says what does not fit, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from graphql import GraphQLError, parse_type

from sandbox.engine.types import GRAPHQL_NAME

AMOUNT_MAX = 10**10  # seconds, or tries: Postgres can add as many to a time
NAMES = {dict: "Object", list: "Array", str: "String", bool: "Boolean", type(None): "Null"}


class Fault(NamedTuple):
    """What does not fit, and where: a place as error messages write it."""

    place: str
    reason: str


Check = Callable[[Any, str], Iterator[Fault]]


class ShapeError(Exception):
    """A document that cannot be read: `path` says where, the message what."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def check(value: Any, shape: Check, path: str = "$") -> None:
    """Raise ShapeError for the first part that does not fit."""
    for fault in shape(value, path):
        raise ShapeError(fault.reason, fault.place)


def _other_kind(value: Any, path: str) -> Fault:
    kind = "Number" if type(value) in (int, float) else NAMES.get(type(value), "value")
    return Fault(path, f"parsing failed, a value of another kind is expected than {kind}")


def _unreadable(value: Any, path: str, wanted: str) -> Fault:
    """Blame a text for what it says, and anything else for not being a text."""
    if isinstance(value, str):
        return Fault(path, f'parsing failed, "{value}" is not {wanted}')
    return _other_kind(value, path)


def kind(*kinds: type) -> Check:
    def run(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, kinds):
            yield _other_kind(value, path)

    return run


def amount(*kinds: type) -> Check:
    """Check a number that counts or measures something: no truth value, and not below zero."""

    def run(value: Any, path: str) -> Iterator[Fault]:
        if type(value) not in kinds:
            yield _other_kind(value, path)
        elif not 0 <= value < AMOUNT_MAX:
            yield Fault(path, f"parsing failed, {value} is not between 0 and {AMOUNT_MAX}")

    return run


def optional(inner: Check) -> Check:
    def run(value: Any, path: str) -> Iterator[Fault]:
        if value is not None:
            yield from inner(value, path)

    return run


def many(inner: Check) -> Check:
    def run(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, list):
            yield _other_kind(value, path)
            return
        for at, item in enumerate(value):
            yield from inner(item, f"{path}[{at}]")

    return run


def record(*, needs: Mapping[str, Check] | None = None, **allows: Check) -> Check:
    """Check an object: the keys it needs, and those it may have (or have as null)."""

    def run(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield _other_kind(value, path)
            return
        for key, inner in (needs or {}).items():
            place = f"{path}.{key}"
            if key in value:
                yield from inner(value[key], place)
            else:
                yield Fault(place, f'key "{key}" not found')
        for key, inner in allows.items():
            if value.get(key) is not None:
                yield from inner(value[key], f"{path}.{key}")

    return run


def each(inner: Check) -> Check:
    """Check an object whose keys are free, and whose values are all of one kind."""

    def run(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield _other_kind(value, path)
            return
        for key, item in value.items():
            yield from inner(item, f"{path}.{key}")

    return run


def either(*choices: Check) -> Check:
    def run(value: Any, path: str) -> Iterator[Fault]:
        if all(next(choice(value, path), None) is not None for choice in choices):
            yield _other_kind(value, path)

    return run


def graphql_name(value: Any, path: str) -> Iterator[Fault]:
    if not isinstance(value, str) or not GRAPHQL_NAME.match(value):
        yield _unreadable(value, path, "a GraphQL name")


def enum_value(value: Any, path: str) -> Iterator[Fault]:
    """Check a name of the kind that GraphQL's own constants take no part in."""
    if value in ("true", "false", "null"):
        yield _unreadable(value, path, "a value of an enum")
    else:
        yield from graphql_name(value, path)


def graphql_type(value: Any, path: str) -> Iterator[Fault]:
    """Check a type as the SDL writes it, such as `[Int!]`."""
    try:
        parse_type(value if isinstance(value, str) else "")
    except GraphQLError:
        yield _unreadable(value, path, "a GraphQL type")


def expression(value: Any, path: str) -> Iterator[Fault]:
    """Check that a boolean expression can be walked; what is wrong in it is an inconsistency."""
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        place = f"{path}.{key}"
        if key in ("_and", "_or", "$and", "$or"):
            yield from many(expression)(inner, place)
        elif key in ("_not", "$not"):
            yield from expression(inner, place)
        elif key in ("_exists", "$exists"):
            yield from EXISTS(inner, place)
        elif isinstance(inner, dict) and key[:1] not in ("_", "$"):
            yield from expression(inner, place)


TEXT = kind(str)
OBJECT = kind(dict)
NAME = either(TEXT, record(needs={"name": TEXT}, schema=TEXT))
EXISTS = record(needs={"_table": NAME}, _where=expression)
COLUMNS = either(TEXT, many(TEXT))
ROLES = many(record(needs={"role": TEXT}))
HEADERS = many(record(needs={"name": TEXT}))
