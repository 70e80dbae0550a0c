"""Templates of a transform: the names they know, and the errors they answer with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self, TypeVar

from sandbox.engine.kriti import KritiError, evaluate, parse
from sandbox.engine.kriti.errors import FunctionFailed
from sandbox.engine.kriti.nodes import Node
from sandbox.engine.kriti.values import encode

Read = TypeVar("Read")


class TransformError(Exception):
    """A transform that is wrong, or fails for one request; `bundle` says how, for the admin."""

    def __init__(self, bundle: list[dict[str, Any]]) -> None:
        super().__init__("; ".join(str(item["message"]) for item in bundle))
        self.bundle = bundle


def failed(message: str, **value: Any) -> TransformError:
    return TransformError([{"error_code": "TransformationError", "message": message, **value}])


def raise_all(errors: Iterable[TransformError]) -> None:
    """Raise what was found as one error, or nothing."""
    bundle = [item for error in errors for item in error.bundle]
    if bundle:
        raise TransformError(bundle)


def written(value: Any) -> str:
    try:
        return encode(value)
    except RecursionError:
        raise failed("The value is nested too deeply") from None


class Reading:
    """Reads the parts of a definition, and fails at the end with all that is wrong."""

    def __init__(self) -> None:
        self._errors: list[TransformError] = []

    def take(self, rule: Callable[[Any], Read], given: Any) -> Read | None:
        """Return what the rule makes of a part; None for one that is not given."""
        if given is None:
            return None
        try:
            return rule(given)
        except TransformError as error:
            self._errors.append(error)
            return None

    def finish(self) -> None:
        raise_all(self._errors)


@dataclass(frozen=True, slots=True)
class Scope:
    """What templates of one exchange may use: variables, and the session by a function."""

    variables: Mapping[str, Any]
    session: Mapping[str, str] | None

    def session_variable(self, name: Any) -> Any:
        if name is None:
            return None
        if not isinstance(name, str):
            raise FunctionFailed("Session variable name should be a string")
        found = (self.session or {}).get(name.lower())
        if found is None:
            raise FunctionFailed(f'Session variable "{name}" not found')
        return found


@dataclass(frozen=True, slots=True)
class Template:
    node: Node

    @classmethod
    def parse(cls, source: Any) -> Self:
        if not isinstance(source, str):
            raise failed("a template has to be a string")
        try:
            return cls(parse(source))
        except KritiError as error:
            raise TransformError([error.serialized()]) from error

    def value(self, scope: Scope) -> Any:
        functions = {"getSessionVariable": scope.session_variable}
        try:
            return evaluate(self.node, scope.variables, functions)
        except KritiError as error:
            raise TransformError([error.serialized()]) from error


@dataclass(frozen=True, slots=True)
class Words:
    """A template that is written without the quotes around it, and gives text."""

    template: Template

    @classmethod
    def parse(cls, source: Any) -> Self:
        if not isinstance(source, str):
            raise failed("a template has to be a string")
        return cls(Template.parse(f'"{source}"'))

    def text(self, scope: Scope) -> str:
        found = self.template.value(scope)
        if isinstance(found, str):
            return found
        if isinstance(found, (bool, int, Decimal)):
            return encode(found)
        text = "Template must produce a String, Number, or Boolean value"
        raise failed(text, value=found)
