"""Pieces of SQL text: quoted names, quoted constants of the metadata, and numbered parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.engine.errors import EngineError
from sandbox.engine.session import Session
from sandbox.engine.types import PgType
from sandbox.engine.values import Encoder, to_json

# What turns a request's variable leaves and its session into one bound argument.
Bind = Callable[[Sequence[Any], Session], Any]


def ident(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a constant that the metadata or the catalog holds; never for a client's value."""
    quoted = "'" + text.replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


def cast(expression: str, kind: PgType) -> str:
    return f"({expression})::{kind.sql}"


@dataclass(frozen=True, slots=True)
class Constant:
    value: Any

    def __call__(self, _leaves: Sequence[Any], _session: Session) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class Slot:
    """A leaf of the request's variables, encoded when it is bound."""

    index: int
    encode: Encoder
    path: str

    def __call__(self, leaves: Sequence[Any], _session: Session) -> Any:
        value = leaves[self.index]
        return None if value is None else self.encode(value, self.path)


@dataclass(frozen=True, slots=True)
class Slots:
    """A list of the request's variables, bound as one text array."""

    index: int
    encode: Encoder
    path: str

    def __call__(self, leaves: Sequence[Any], _session: Session) -> Any:
        value = leaves[self.index]
        items = value if isinstance(value, list) else [value]
        return [self.encode(item, f"{self.path}[{at}]") for at, item in enumerate(items)]


@dataclass(frozen=True, slots=True)
class SessionVariable:
    name: str

    def __call__(self, _leaves: Sequence[Any], session: Session) -> Any:
        value = session.variables.get(self.name)
        if value is None:
            raise EngineError("not-found", f'missing session variable: "{self.name}"')
        return value


@dataclass(frozen=True, slots=True)
class SessionJson:
    def __call__(self, _leaves: Sequence[Any], session: Session) -> Any:
        return session.as_json


@dataclass(frozen=True, slots=True)
class Later:
    """A value that an earlier step of the same field brings; the executor fills it in."""

    name: str

    def __call__(self, _leaves: Sequence[Any], _session: Session) -> Any:
        raise EngineError("unexpected", f"the value of {self.name} is not there yet", status=500)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a stream stands: what the request gave, until rows have been sent."""

    initial: Bind

    def __call__(self, leaves: Sequence[Any], session: Session) -> Any:
        return self.initial(leaves, session)


@dataclass(slots=True)
class Statement:
    """One SQL statement being written: its parameters and its aliases."""

    binds: list[Bind] = field(default_factory=list)
    aliases: int = 0

    def bind(self, bind: Bind) -> str:
        """Return the parameter for this value, the same one for the same value."""
        if bind not in self.binds:
            self.binds.append(bind)
        return f"${self.binds.index(bind) + 1}::text"

    def bind_many(self, bind: Bind) -> str:
        return self.bind(bind) + "[]"

    def alias(self) -> str:
        self.aliases += 1
        return f'"_{self.aliases}"'


def constant_sql(value: Any, kind: PgType) -> str:
    """Write a constant of the metadata as SQL of the given type."""
    if value is None:
        return "NULL"
    text = value if isinstance(value, str) else None
    if text is None and isinstance(value, bool):
        text = "true" if value else "false"
    if text is None and isinstance(value, list) and kind.element:
        text = kind.encoder(value, "$")
    if text is None:
        text = to_json(value)
    return cast(literal(text), kind)
