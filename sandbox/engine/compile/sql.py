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

PARAMETERS_MAX = 32_767  # that asyncpg sends with one statement
PLAIN_MAX = 30_000  # values that are parameters of their own
PACKED_MAX = 1000  # values in one array: Postgres counts to the one it wants


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
class Packed:
    """Values that share one parameter, a text array."""

    items: list[Bind] = field(default_factory=list)

    def __call__(self, leaves: Sequence[Any], session: Session) -> Any:
        return [bind(leaves, session) for bind in self.items]


@dataclass(slots=True)
class Statement:
    """One SQL statement being written: its parameters and its aliases.

    Parameters of their own are what Postgres reads fastest, but there are only so many of them.
    """

    binds: list[Bind] = field(default_factory=list)
    aliases: int = 0
    known: dict[Bind, str] = field(default_factory=dict)

    def bind(self, bind: Bind) -> str:
        """Return the parameter for this value, the same one for the same value."""
        try:
            found = self.known.get(bind)
        except TypeError:  # a value without a hash is not looked for: that would be slow
            return self._added(bind)
        if found is None:
            found = self.known[bind] = self._added(bind)
        return found

    def bind_many(self, bind: Bind) -> str:
        return f"{self._parameter(bind)}::text[]"

    def _added(self, bind: Bind) -> str:
        if len(self.binds) < PLAIN_MAX:
            return f"{self._parameter(bind)}::text"
        last = self.binds[-1]
        if not isinstance(last, Packed) or len(last.items) == PACKED_MAX:
            last = Packed()
            self._parameter(last)
        last.items.append(bind)
        return f"(${len(self.binds)}::text[])[{len(last.items)}]"

    def _parameter(self, bind: Bind) -> str:
        if len(self.binds) == PARAMETERS_MAX:
            raise EngineError("validation-failed", "the request has too many values")
        self.binds.append(bind)
        return f"${len(self.binds)}"

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
