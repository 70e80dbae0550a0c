"""Input values checked against their types: the tree that the compiler reads.

A tree holds choices (keys, enum values, list lengths) as they are, since they change the SQL, and
scalars as Given, since they are only bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.engine.errors import invalid
from sandbox.engine.schema.model import Enum, InputField, InputObject, Null, Ref, Scalar
from sandbox.engine.values import EnumName, described

from .parsing import Declared, Use
from .variables import Leaf

ABSENT = object()
# What a plan may cost, where checking one value is a step: about a second. Requests with too many
# values are refused before; this ends what makes more of them than can be counted by looking.
STEPS_MAX = 200_000
SUBQUERIES_MAX = 300  # of all that Postgres plans for one request


@dataclass(frozen=True, slots=True)
class Given:
    """A scalar, or with `many` a list of them. `index` is its leaf in the variables, if any."""

    scalar: Scalar
    value: Any
    index: int | None
    path: str
    many: bool = False


@dataclass(frozen=True, slots=True)
class Fields:
    """An input object: the values that were given, by field name."""

    type: InputObject
    items: dict[str, Any]
    path: str

    def get(self, name: str) -> Any:
        return self.items.get(name)


@dataclass(frozen=True, slots=True)
class Variables:
    """The declared variables and this request's values, numbered; absent ones are not in it."""

    declared: dict[str, Declared]
    refs: dict[str, Ref]
    values: dict[str, Any]


class Coercion:
    """Checks raw values: literals of the document, and variables where they are used."""

    def __init__(self, variables: Variables) -> None:
        self.variables = variables
        # A variable inside a jsonb literal is part of the constant, so the plan fits this request.
        self.cacheable = True
        self.steps = STEPS_MAX
        self._subqueries = SUBQUERIES_MAX

    def spend(self, steps: int, subqueries: int = 0) -> None:
        """Count the work of a plan: a variable that is used again costs all of its size again."""
        self.steps -= steps
        self._subqueries -= subqueries
        if self.steps < 0 or self._subqueries < 0:
            raise invalid("the request asks for too much", "$")

    def arguments(
        self, fields: dict[str, InputField], raw: dict[str, Any], path: str
    ) -> dict[str, Any]:
        """Check a set of named values; nulls that mean absence are left out."""
        found = {}
        for name, field in fields.items():
            value = self._field(field, raw.get(name, ABSENT), f"{path}.{name}")
            if value is not ABSENT:
                found[name] = value
            elif field.ref.non_null:
                raise invalid(f"missing required field '{name}'", f"{path}.{name}")
        return found

    def _field(self, field: InputField, raw: Any, path: str) -> Any:
        literal = True
        if isinstance(raw, Use):
            raw, literal = self._resolve(raw, field.ref, path), False
            if raw is ABSENT and field.null is Null.REFUSED:
                raw = None
        if raw is ABSENT:
            return ABSENT
        if raw is None and not field.ref.non_null and field.null is not Null.REFUSED:
            return ABSENT if field.null is Null.ABSENT else None
        return self.value(field.ref, raw, path, literal=literal)

    def _resolve(self, use: Use, ref: Ref, path: str) -> Any:
        declared = self.variables.declared[use.name]
        if not _fits(self.variables.refs[use.name], ref, has_default=declared.has_default):
            raise invalid(
                f"variable '{use.name}' is declared as '{declared.type_text}', "
                f"but used where '{ref}' is expected",
                path,
            )
        return self.variables.values.get(use.name, ABSENT)

    def value(self, ref: Ref, raw: Any, path: str, *, literal: bool) -> Any:
        """Check one value against its type."""
        self.spend(1)
        if isinstance(raw, Use):
            raw, literal = self._resolve(raw, ref, path), False
            raw = None if raw is ABSENT else raw
        if isinstance(ref.of, Ref):
            return self._list(ref.of, raw, path, literal=literal)
        if isinstance(ref.of, Scalar):
            return self._scalar(ref.of, raw, path)
        if isinstance(ref.of, Enum):
            return _enum(ref.of, raw, path, literal=literal)
        assert isinstance(ref.of, InputObject)  # noqa: S101 -- object types are never inputs
        return self._object(ref.of, raw, path, literal=literal)

    def _list(self, item: Ref, raw: Any, path: str, *, literal: bool) -> Any:
        if raw is None:
            raise invalid("expected a list, but found null", path)
        if isinstance(raw, Leaf) and isinstance(item.of, Scalar):
            return Given(item.of, raw.value, raw.index, path, many=True)
        if not isinstance(raw, list):
            if isinstance(raw, str) and isinstance(item.of, Scalar):
                return Given(item.of, raw, None, path, many=True)
            return [self.value(item, raw, path, literal=literal)]
        return [
            None
            if part is None and not item.non_null
            else self.value(item, part, f"{path}[{at}]", literal=literal)
            for at, part in enumerate(raw)
        ]

    def _scalar(self, scalar: Scalar, raw: Any, path: str) -> Given:
        if isinstance(raw, Leaf):
            if raw.value is None:
                raise invalid(f"unexpected null value for type '{scalar.name}'", path)
            if scalar.chooses:  # the shape of the variables has it, so it is checked once a plan
                scalar.encode(raw.value, path)
            return Given(scalar, raw.value, raw.index, path)
        if raw is None:
            raise invalid(f"unexpected null value for type '{scalar.name}'", path)
        value = self._plain(raw)
        scalar.encode(value, path)
        return Given(scalar, value, None, path)

    def _plain(self, raw: Any) -> Any:
        """Put variables' values into a JSON literal."""
        if isinstance(raw, Use):
            self.cacheable = False
            return _unnumbered(self.variables.values.get(raw.name))
        if isinstance(raw, list):
            return [self._plain(item) for item in raw]
        if isinstance(raw, dict):
            return {key: self._plain(item) for key, item in raw.items()}
        return raw

    def _object(self, kind: InputObject, raw: Any, path: str, *, literal: bool) -> Fields:
        found = raw.value if isinstance(raw, Leaf) else raw
        if not isinstance(found, dict):
            text = f"expected an object for type '{kind.name}', but found {described(found)}"
            raise invalid(text, path)
        for name in found:
            if name not in kind.fields:
                text = f"field '{name}' not found in type: '{kind.name}'"
                raise invalid(text, f"{path}.{name}")
        items: dict[str, Any] = {}
        for name, part in found.items():
            value = self._either(kind.fields[name], part, f"{path}.{name}", literal=literal)
            if value is not ABSENT:
                items[name] = value
        _complete(kind, items, path)
        return Fields(kind, items, path)

    def _either(self, field: InputField, raw: Any, path: str, *, literal: bool) -> Any:
        if literal:
            return self._field(field, raw, path)
        empty = raw is None or (isinstance(raw, Leaf) and raw.value is None)
        if empty and not field.ref.non_null and field.null is not Null.REFUSED:
            return ABSENT if field.null is Null.ABSENT else None
        return self.value(field.ref, None if empty else raw, path, literal=False)


def _complete(kind: InputObject, items: dict[str, Any], path: str) -> None:
    """Fill in the defaults of required fields, refuse those that have none."""
    for name, field in kind.fields.items():
        if field.ref.non_null and name not in items:
            if field.default is None:
                raise invalid(f"missing required field '{name}'", f"{path}.{name}")
            items[name] = field.default


def _unnumbered(value: Any) -> Any:
    if isinstance(value, Leaf):
        return value.value
    if isinstance(value, list):
        return [_unnumbered(item) for item in value]
    if isinstance(value, dict):
        return {key: _unnumbered(item) for key, item in value.items()}
    return value


def _enum(kind: Enum, raw: Any, path: str, *, literal: bool) -> str:
    found = raw.value if isinstance(raw, Leaf) else raw
    if not isinstance(found, EnumName if literal else str):
        text = f"expected an enum value for type '{kind.name}', but found {described(found)}"
        raise invalid(text, path)
    if found not in kind.values or found == "_PLACEHOLDER":
        if found == "_PLACEHOLDER":
            raise invalid("erroneous column name", path.rsplit(".", 1)[0])
        names = ", ".join(f"'{name}'" for name in kind.values)
        text = f"expected one of the values [{names}] for type '{kind.name}', but found '{found}'"
        raise invalid(text, path)
    return str(found)


def _fits(declared: Ref, place: Ref, *, has_default: bool) -> bool:
    """Tell whether a variable of one type may stand where another is expected."""
    if place.non_null and not declared.non_null and not has_default:
        return False
    if isinstance(place.of, Ref) and isinstance(declared.of, Ref):
        return _fits(declared.of, place.of, has_default=False)
    if isinstance(place.of, Ref) or isinstance(declared.of, Ref):
        return False
    return place.of.name == declared.of.name
