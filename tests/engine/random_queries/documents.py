"""Requests as data, and the GraphQL text and variables they are sent as."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from .values import json_text

NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


class Choice(str):
    """An enum value: bare in a literal, a string in variables."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Typed:
    """A value of a known type, which may be sent as a variable."""

    type: str
    value: Any


@dataclass(slots=True)
class Field:
    """A field of a selection. `evaluate` is the evaluation's own description of it."""

    name: str
    alias: str | None = None
    arguments: dict[str, Typed] = field(default_factory=dict)
    below: Selection | None = None
    meaning: Any = None
    included: bool = True

    @property
    def key(self) -> str:
        return self.alias or self.name


@dataclass(slots=True)
class Selection:
    """Fields of one type; `wrap` says by which kind of fragment some of them are written."""

    type: str
    fields: list[Field]
    wrap: str = "plain"


@dataclass(slots=True)
class Request:
    query: str
    variables: dict[str, Any]


class Writer:
    """Writes one document; `flips` decides in turn which values become variables."""

    def __init__(self, flips: list[bool]) -> None:
        self.flips = flips
        self.asked = 0
        self.variables: dict[str, tuple[str, Any]] = {}
        self.fragments: list[str] = []

    def request(self, kind: str, selection: Selection) -> Request:
        body = self._selection(selection)
        declared = ", ".join(f"${name}: {type_}" for name, (type_, _) in self.variables.items())
        head = f"{kind} Q({declared})" if declared else kind
        text = "\n".join([f"{head} {body}", *self.fragments])
        return Request(text, {name: value for name, (_, value) in self.variables.items()})

    def _flip(self) -> bool:
        self.asked += 1
        return bool(self.flips) and self.flips[self.asked % len(self.flips)]

    def _selection(self, selection: Selection) -> str:
        fields = [self._field(item) for item in selection.fields]
        if selection.wrap == "plain":
            return "{ " + " ".join(fields) + " }"
        first, rest = fields[: len(fields) // 2], fields[len(fields) // 2 :]
        inner = "{ " + " ".join(rest) + " }"
        if selection.wrap == "named":
            name = f"F{len(self.fragments)}"
            self.fragments.append(f"fragment {name} on {selection.type} {inner}")
            inner = f"...{name}"
        else:
            about = f" on {selection.type}" if selection.wrap == "inline" else ""
            inner = f"...{about} {inner}"
        return "{ " + " ".join([*first, inner]) + " }"

    def _field(self, item: Field) -> str:
        head = f"{item.alias}: {item.name}" if item.alias else item.name
        listed = ", ".join(f"{name}: {self.value(value)}" for name, value in item.arguments.items())
        arguments = f"({listed})" if listed else ""
        below = " " + self._selection(item.below) if item.below else ""
        return head + arguments + self._directive(item) + below

    def _directive(self, item: Field) -> str:
        if item.included and not self._flip():
            return ""
        if self._flip():
            return f" @skip(if: {self.value(Typed('Boolean!', not item.included))})"
        return f" @include(if: {self.value(Typed('Boolean!', item.included))})"

    def value(self, value: Any) -> str:
        """Write a value: as a variable when it may be and the coin says so, or when it must."""
        if isinstance(value, Typed):
            if self._flip() or not _is_literal(value.value):
                name = f"v{len(self.variables)}"
                self.variables[name] = (value.type, as_json(value.value))
                return f"${name}"
            return self.value(value.value)
        if isinstance(value, list):
            return "[" + ", ".join(map(self.value, value)) + "]"
        if isinstance(value, dict):
            return (
                "{" + ", ".join(f"{key}: {self.value(item)}" for key, item in value.items()) + "}"
            )
        if isinstance(value, Choice):
            return str(value)
        return json_text(value)


def _is_literal(value: Any) -> bool:
    """Tell whether GraphQL can write the value: keys of its objects must be names."""
    if isinstance(value, Typed):
        return True
    if isinstance(value, list):
        return all(map(_is_literal, value))
    if isinstance(value, dict):
        return all(NAME.fullmatch(key) and _is_literal(item) for key, item in value.items())
    return True


def as_json(value: Any) -> Any:
    """Return the value as variables have it."""
    if isinstance(value, Typed):
        return as_json(value.value)
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return str(value) if isinstance(value, Choice) else value


def body(request: Request) -> bytes:
    """Return the JSON to send, numbers spelled out."""
    variables = json_text(request.variables)
    return f'{{"query": {json.dumps(request.query)}, "variables": {variables}}}'.encode()
