"""Actions and custom types in the schema, as the metadata's server form spells them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from graphql import ListTypeNode, NamedTypeNode, NonNullTypeNode, TypeNode, parse_type

from sandbox.engine.tracking.tracked import Relationship, Tracked, name_of
from sandbox.engine.transforms import Transforms
from sandbox.engine.types import TEXT
from sandbox.engine.values import to_json

from . import builtin
from .action_faults import Checks, CustomTypes
from .action_log import UUID, QueuedRoot, log_field
from .model import AnyType, Enum, Field, InputField, InputObject, Null, ObjectType, Ref, Scalar
from .tables import row_arguments

if TYPE_CHECKING:
    from .role import RoleSchema


@dataclass(frozen=True, slots=True)
class ActionRoot:
    """An action's field. `output` is what its handler has to answer."""

    name: str
    definition: dict[str, Any]
    output: Ref
    transforms: Transforms = field(default_factory=Transforms)


@dataclass(frozen=True, slots=True)
class ActionField:
    """A key of the handler's answer."""

    name: str
    ref: Ref


@dataclass(frozen=True, slots=True)
class ActionRelation:
    """Rows of a table that belong to an answer; the mapping's left side names answer keys."""

    relationship: Relationship


def _anything(value: Any, _path: str) -> str:
    return to_json(value)


class ActionTypes:
    """The custom types by name, and the actions that use them."""

    def __init__(
        self,
        actions: list[dict[str, Any]],
        custom: dict[str, Any],
        tracked: Tracked,
        environ: Mapping[str, str],
    ) -> None:
        self.custom = CustomTypes.read(custom)
        self.tracked = tracked
        checks = Checks(self.custom, tracked, environ)
        self.actions = [action for action in actions if self._is_served(action, checks)]

    def _is_served(self, action: dict[str, Any], checks: Checks) -> bool:
        reason = checks.fault(action["definition"])
        if reason:
            self.tracked.refuse("action", f"action {action['name']}", reason, action)
        return reason is None

    @property
    def asynchronous(self) -> frozenset[str]:
        """Name the actions whose calls are kept in the log."""
        return frozenset(item["name"] for item in self.actions if _is_asynchronous(item))

    def roles(self) -> set[str]:
        entries = (entry for action in self.actions for entry in action.get("permissions") or [])
        return {entry["role"] for entry in entries}

    def fields(self, schema: RoleSchema, kind: str) -> dict[str, Field]:
        """Return the root fields of the actions that the role may call."""
        found = {}
        for action in self.actions:
            roles = [entry["role"] for entry in action.get("permissions") or []]
            if not schema.permissions.allowed(roles, schema.role):
                continue
            field = self._field(schema, action, kind)
            if field is not None:
                found[field.name] = field
        return found

    def _field(self, schema: RoleSchema, action: dict[str, Any], kind: str) -> Field | None:
        name, definition = action["name"], action["definition"]
        is_asynchronous, comment = _is_asynchronous(action), action.get("comment") or None
        is_other = kind != (definition.get("type") or "mutation")
        if is_other and not is_asynchronous:
            return None
        root = self.root(schema, action)
        if is_other:
            return log_field(schema, root, comment)
        args = self._inputs(schema, definition.get("arguments") or [])
        if is_asynchronous:
            ref = Ref(schema.scalar(UUID), non_null=True)
            return Field(name, ref, QueuedRoot(root), args, comment)
        return Field(name, root.output, root, args, comment)

    def root(self, schema: RoleSchema, action: dict[str, Any]) -> ActionRoot:
        output = self._output(schema, parse_type(action["definition"]["output_type"]))
        definition = action["definition"]
        return ActionRoot(action["name"], definition, output, Transforms.read(definition))

    def _inputs(
        self, schema: RoleSchema, entries: Iterable[dict[str, Any]]
    ) -> dict[str, InputField]:
        found = {}
        for entry in entries:
            ref = self._ref(entry["type"], partial(self.named_input, schema))
            null = Null.REFUSED if ref.non_null else Null.VALUE
            found[entry["name"]] = InputField(ref, entry["name"], null, entry.get("description"))
        return found

    def _ref(self, text: str, resolve: Any) -> Ref:
        return _resolved(parse_type(text), resolve)

    def input_type(self, schema: RoleSchema, name: str) -> AnyType | None:
        """Return a custom input object or enum; None for every scalar."""
        if name in self.custom.inputs or name in self.custom.enums:
            return self.named_input(schema, name)
        return None

    def named_input(self, schema: RoleSchema, name: str) -> AnyType:
        if name in self.custom.inputs:
            item = self.custom.inputs[name]
            build = partial(self._inputs, schema, item.get("fields") or [])
            kind = InputObject(name, build, item.get("description"))
            return _as_type(schema.remember(name, kind))
        return self._leaf(schema, name)

    def _leaf(self, schema: RoleSchema, name: str) -> AnyType:
        if name in self.custom.enums:
            item = self.custom.enums[name]
            values = {value["value"]: value.get("description") for value in item["values"]}
            kind: AnyType = Enum(name, values, item.get("description"))
            return _as_type(schema.remember(name, kind))
        custom = self.custom.scalars.get(name, {})
        kind = Scalar(name, TEXT, builtin.BY_NAME.get(name, _anything), custom.get("description"))
        return _as_type(schema.remember(f"action scalar {name}", kind))

    def _output(self, schema: RoleSchema, node: TypeNode) -> Ref:
        return _resolved(node, partial(self._named_output, schema))

    def _named_output(self, schema: RoleSchema, name: str) -> AnyType:
        if name not in self.custom.objects:
            return self._leaf(schema, name)
        item = self.custom.objects[name]
        build = partial(self._object_fields, schema, item)
        return _as_type(schema.remember(name, ObjectType(name, build, item.get("description"))))

    def _object_fields(self, schema: RoleSchema, item: dict[str, Any]) -> dict[str, Field]:
        found = {}
        for entry in item.get("fields") or []:
            ref = self._output(schema, parse_type(entry["type"]))
            source = ActionField(entry["name"], ref)
            found[entry["name"]] = Field(
                entry["name"], ref, source, {}, entry.get("description") or None
            )
        for entry in item.get("relationships") or []:
            field = _relation_field(schema, entry)
            if field is not None:
                found[field.name] = field
        return found


def _is_asynchronous(action: dict[str, Any]) -> bool:
    """Tell whether a call is answered later; a query is always answered at once."""
    definition = action["definition"]
    is_mutation = (definition.get("type") or "mutation") == "mutation"
    return is_mutation and definition.get("kind") == "asynchronous"


def _relation_field(schema: RoleSchema, entry: dict[str, Any]) -> Field | None:
    target = schema.readable(name_of(entry["remote_table"]))
    if target is None:
        return None
    name, is_array = entry["name"], entry.get("type") == "array"
    relationship = Relationship(
        name, is_array, target.table.name, tuple(entry["field_mapping"].items()), not_null=False
    )
    row = Ref(schema.object("{}", target))
    source = ActionRelation(relationship)
    if not is_array:
        return Field(name, row, source, {}, "An object relationship")
    ref = Ref(Ref(row.of, non_null=True), non_null=True)
    return Field(name, ref, source, row_arguments(schema, target), "An array relationship")


def _as_type(kind: AnyType) -> AnyType:
    return kind


def _resolved(node: TypeNode, resolve: Any) -> Ref:
    if isinstance(node, NonNullTypeNode):
        return Ref(_resolved(node.type, resolve).of, non_null=True)
    if isinstance(node, ListTypeNode):
        return Ref(_resolved(node.type, resolve))
    assert isinstance(node, NamedTypeNode)  # noqa: S101 -- GraphQL has no fourth kind of type
    return Ref(resolve(node.name.value))
