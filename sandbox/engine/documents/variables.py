"""Variables of a request, split into their shape (part of a plan's key) and their leaves.

The shape says which keys, list lengths, enum values, booleans and nulls there are: whatever may
change the SQL. The leaves are the scalars, bound anew for each request. Both functions walk a
value in the same order, so that a leaf's number means the same in the plan and in the request.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from graphql import ListTypeNode, NonNullTypeNode, TypeNode

from sandbox.engine.schema.model import Enum, InputObject, Ref, Scalar
from sandbox.engine.schema.role import RoleSchema
from sandbox.engine.schema.sources import Logical
from sandbox.engine.types import TEXT
from sandbox.engine.values import encode_text

from .parsing import type_text

Binder = Callable[[Any, list[Any]], Hashable]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar of a variable: where the request keeps it, and what it is this time."""

    index: int
    value: Any


def declared_ref(node: TypeNode, schema: RoleSchema) -> Ref:
    """Resolve a declared type; every name the schema does not know is a scalar."""
    if isinstance(node, NonNullTypeNode):
        return Ref(declared_ref(node.type, schema).of, non_null=True)
    if isinstance(node, ListTypeNode):
        return Ref(declared_ref(node.type, schema))
    name = type_text(node)
    known = schema.known(name)
    if isinstance(known, (Enum, InputObject)):
        return Ref(known)
    return Ref(Scalar(name, TEXT, encode_text))


def is_condition(ref: Ref) -> bool:
    """Tell the type of a where, or a list of it."""
    kind = ref.of
    while isinstance(kind, Ref):
        kind = kind.of
    return isinstance(kind, InputObject) and any(
        isinstance(field.source, Logical) for field in kind.fields.values()
    )


def _is_scalar_list(ref: Ref) -> bool:
    return isinstance(ref.of, Ref) and isinstance(ref.of.of, Scalar)


def _is_leaf(value: Any, ref: Ref) -> bool:
    """Tell a value that is bound whole: a scalar, or a list of scalars without nulls."""
    if isinstance(ref.of, Scalar):
        return True
    return _is_scalar_list(ref) and not (isinstance(value, list) and None in value)


def binder(ref: Ref) -> Binder:
    """Return the function that appends a value's leaves and answers its shape."""
    if isinstance(ref.of, Scalar) and ref.of.name != "Boolean":
        return _scalar_shape
    return lambda value, leaves: shape(value, ref, leaves)


def _scalar_shape(value: Any, leaves: list[Any]) -> Hashable:
    leaves.append(value)
    return value is None


def shape(value: Any, ref: Ref, leaves: list[Any]) -> Hashable:
    if value is None or _is_leaf(value, ref):
        leaves.append(value)
        return value if value is None or isinstance(value, bool) else type(value).__name__
    if isinstance(ref.of, Ref):
        if not isinstance(value, list):
            return ("one", shape(value, ref.of, leaves))
        item = ref.of
        return tuple(shape(part, item, leaves) for part in value)
    if isinstance(ref.of, InputObject) and isinstance(value, dict):
        fields = ref.of.fields
        return tuple(
            (key, shape(part, fields[key].ref, leaves) if key in fields else "unknown")
            for key, part in value.items()
        )
    return ("plain", repr(value))


def numbered(value: Any, ref: Ref, numbers: Iterator[int]) -> Any:
    """Return the value with a Leaf in place of each scalar, numbered as `shape` collects them."""
    if value is None:
        next(numbers)
        return None
    if _is_leaf(value, ref):
        return Leaf(next(numbers), value)
    if isinstance(ref.of, Ref):
        if not isinstance(value, list):
            return numbered(value, ref.of, numbers)
        item = ref.of
        return [numbered(part, item, numbers) for part in value]
    if isinstance(ref.of, InputObject) and isinstance(value, dict):
        fields = ref.of.fields
        return {
            key: numbered(part, fields[key].ref, numbers) if key in fields else part
            for key, part in value.items()
        }
    return value
