"""GraphQL types as this engine needs them: lazy, with the SQL meaning of each field attached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum as Choice
from functools import cached_property
from typing import Any

from sandbox.engine.types import PgType
from sandbox.engine.values import Encoder


class Null(Choice):
    """What an explicit null means for an input field."""

    ABSENT = "as if the field were not there"
    VALUE = "the value NULL"
    REFUSED = "a mistake"


@dataclass(frozen=True)
class Scalar:
    """`pg` is the type a bound value is cast to; `encode` checks and writes it.

    `chooses` says that the value decides how the SQL reads: it is not bound, so it has to be
    checked when the SQL is written.
    """

    name: str
    pg: PgType
    encode: Encoder
    description: str | None = None
    chooses: bool = False


@dataclass(frozen=True)
class Enum:
    """`sql` maps each value to its description."""

    name: str
    values: dict[str, str | None]
    description: str | None = None
    pg: PgType | None = None


@dataclass
class InputObject:
    name: str
    build: Callable[[], dict[str, InputField]]
    description: str | None = None

    @cached_property
    def fields(self) -> dict[str, InputField]:
        return self.build()


@dataclass
class ObjectType:
    name: str
    build: Callable[[], dict[str, Field]]
    description: str | None = None

    @cached_property
    def fields(self) -> dict[str, Field]:
        return self.build()


InputType = Scalar | Enum | InputObject
AnyType = InputType | ObjectType


@dataclass(frozen=True)
class Ref:
    """A use of a type: the type itself or a list of another use, nullable or not."""

    of: AnyType | Ref
    non_null: bool = False

    @property
    def is_list(self) -> bool:
        return isinstance(self.of, Ref)

    @property
    def named(self) -> AnyType:
        return self.of.named if isinstance(self.of, Ref) else self.of

    def __str__(self) -> str:
        inner = f"[{self.of}]" if isinstance(self.of, Ref) else self.of.name
        return inner + ("!" if self.non_null else "")


def listed(item: AnyType, *, non_null: bool = False) -> Ref:
    """Return `[item!]`, the only list Hasura's table types use."""
    return Ref(Ref(item, non_null=True), non_null)


@dataclass(frozen=True)
class InputField:
    ref: Ref
    source: Any = None
    null: Null = Null.ABSENT
    description: str | None = None
    default: Any = None


@dataclass(frozen=True)
class Namespace:
    """The source of a root field that only holds the root fields of a customized source."""


@dataclass(frozen=True)
class Field:
    name: str
    ref: Ref
    source: Any
    args: dict[str, InputField] = field(default_factory=dict)
    description: str | None = None
