"""The types of __schema and __type as Hasura has them: what may be asked of a schema."""

from __future__ import annotations

from functools import partial

from sandbox.engine.types import BOOLEAN, TEXT

from . import builtin
from .model import Field, InputField, Null, ObjectType, Ref, Scalar
from .sources import Introspected

_TEXT = Ref(Scalar("String", TEXT, builtin.text))
_TRUTH = Ref(Scalar("Boolean", BOOLEAN, builtin.boolean, chooses=True))
_NAME = {"name": InputField(Ref(_TEXT.of, non_null=True), null=Null.REFUSED)}
_DEPRECATED = {"includeDeprecated": InputField(_TRUTH)}

# The fields of each type and the type of each; None is a value without fields.
_FIELDS: dict[str, dict[str, str | None]] = {
    "__Schema": {
        "description": None,
        "directives": "__Directive",
        "mutationType": "__Type",
        "queryType": "__Type",
        "subscriptionType": "__Type",
        "types": "__Type",
    },
    "__Type": {
        "description": None,
        "enumValues": "__EnumValue",
        "fields": "__Field",
        "inputFields": "__InputValue",
        "interfaces": "__Type",
        "kind": None,
        "name": None,
        "ofType": "__Type",
        "possibleTypes": "__Type",
    },
    "__Field": {
        "args": "__InputValue",
        "deprecationReason": None,
        "description": None,
        "isDeprecated": None,
        "name": None,
        "type": "__Type",
    },
    "__InputValue": {"defaultValue": None, "description": None, "name": None, "type": "__Type"},
    "__EnumValue": {
        "deprecationReason": None,
        "description": None,
        "isDeprecated": None,
        "name": None,
    },
    "__Directive": {
        "args": "__InputValue",
        "description": None,
        "isRepeatable": None,
        "locations": None,
        "name": None,
    },
}
_ARGUMENTS = {("__Type", "enumValues"): _DEPRECATED, ("__Type", "fields"): _DEPRECATED}


def _build(name: str) -> dict[str, Field]:
    return {
        key: Field(key, _ref(of), Introspected(), _ARGUMENTS.get((name, key), {}))
        for key, of in _FIELDS[name].items()
    }


def _ref(name: str | None) -> Ref:
    return _TEXT if name is None else Ref(_TYPES[name])


_TYPES = {name: ObjectType(name, partial(_build, name)) for name in _FIELDS}

ROOTS = {
    "__schema": Field("__schema", _ref("__Schema"), Introspected()),
    "__type": Field("__type", _ref("__Type"), Introspected(), _NAME),
}
