"""What a parsed template is made of."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .errors import Span


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a boolean, null, or a field's name."""

    span: Span
    value: str | int | Decimal | bool | None


@dataclass(frozen=True, slots=True)
class Text:
    """A string with its pieces and expressions."""

    span: Span
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Array:
    span: Span
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Object:
    span: Span
    fields: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Variable:
    span: Span
    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """`dotted` says that the key is a name after a dot, which only an object has."""

    span: Span
    base: Node
    key: Node
    dotted: bool


@dataclass(frozen=True, slots=True)
class Optional:
    """Fields that may be missing, and everything before the question mark with them."""

    span: Span
    base: Node
    keys: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """A condition; a failed one is reported at `span`."""

    span: Span
    condition: Node
    value: Node


@dataclass(frozen=True, slots=True)
class Choice:
    span: Span
    branches: tuple[Branch, ...]
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Loop:
    """`index` is missing when the template wrote an underscore."""

    span: Span
    index: str | None
    name: str
    items: Node
    body: Node


@dataclass(frozen=True, slots=True)
class Operation:
    span: Span
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Function:
    span: Span
    name: str
    argument: Node


Node = (
    Literal
    | Text
    | Array
    | Object
    | Variable
    | Field
    | Optional
    | Choice
    | Loop
    | Operation
    | Function
)
