"""Selections of a document, checked against the role's schema while they are walked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphql import (
    DirectiveNode,
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    print_ast,
)

from sandbox.engine.errors import invalid
from sandbox.engine.schema import builtin, introspected
from sandbox.engine.schema.model import Field, InputField, Null, ObjectType, Ref, Scalar
from sandbox.engine.schema.role import RoleSchema
from sandbox.engine.types import BOOLEAN

from .coerce import Coercion
from .parsing import Document, value_of

TYPENAME = "__typename"
_TRUTH = Scalar("Boolean", BOOLEAN, builtin.boolean, chooses=True)
CONDITION = {"if": InputField(Ref(_TRUTH, non_null=True), null=Null.REFUSED)}


@dataclass(slots=True)
class Selected:
    """A field of the answer. `field` is None for __typename, `parent` names what has it."""

    key: str
    name: str
    field: Field | None
    arguments: dict[str, Any]
    path: str
    below: list[SelectionSetNode]
    node: FieldNode
    parent: str

    def argument(self, name: str) -> Any:
        return self.arguments.get(name)


class Walk:
    """One operation, walked with one role's schema and the variables of one request."""

    def __init__(self, document: Document, schema: RoleSchema, coercion: Coercion) -> None:
        self.document = document
        self.schema = schema
        self.coercion = coercion

    def fields(
        self, selections: list[SelectionSetNode], kind: ObjectType, path: str
    ) -> list[Selected]:
        """Return the selected fields in the order of the answer, repeated ones merged."""
        found: dict[str, Selected] = {}
        seen: set[str] = set()
        for selection in selections:
            for node in self._flat(selection, kind, path, seen):
                key = node.alias.value if node.alias else node.name.value
                if key in found:
                    self._merge(found[key], node, path)
                else:
                    found[key] = self._selected(key, node, kind, path)
        for item in found.values():
            self._check_below(item)
        return list(found.values())

    def _flat(
        self, selection: SelectionSetNode, kind: ObjectType, path: str, seen: set[str]
    ) -> list[FieldNode]:
        """Return the included fields; a fragment that is spread again adds nothing."""
        found: list[FieldNode] = []
        for node in selection.selections:
            if not self._included(node, path):
                continue
            if isinstance(node, FieldNode):
                found.append(node)
                continue
            inner = self._fragment(node, kind, seen)
            if inner is not None:
                found += self._flat(inner, kind, path, seen)
        return found

    def _fragment(
        self, node: SelectionNode, kind: ObjectType, seen: set[str]
    ) -> SelectionSetNode | None:
        """Return what a fragment selects, or None when it is about another type."""
        if isinstance(node, FragmentSpreadNode):
            fragment = self.document.fragments[node.name.value]
            fits = fragment.type_condition.name.value == kind.name
            fits = fits and node.name.value not in seen
            seen.add(node.name.value)
            return fragment.selection_set if fits else None
        if isinstance(node, InlineFragmentNode):
            condition = node.type_condition
            if condition is None or condition.name.value == kind.name:
                return node.selection_set
        return None

    def _included(self, node: SelectionNode, path: str) -> bool:
        for directive in node.directives or ():
            name = directive.name.value
            if name not in ("skip", "include"):
                text = f"directive '{name}' is not defined in the schema"
                raise invalid(text, f"{path}.selectionSet")
            if self._condition(directive, path) is (name == "skip"):
                return False
        return True

    def _condition(self, directive: DirectiveNode, path: str) -> bool:
        raw = {item.name.value: value_of(item.value) for item in directive.arguments or ()}
        given = self.coercion.arguments(CONDITION, raw, f"{path}.selectionSet.args")["if"]
        return bool(given.value)

    def _selected(self, key: str, node: FieldNode, kind: ObjectType, path: str) -> Selected:
        name = node.name.value
        place = f"{path}.selectionSet.{name}"
        below = [node.selection_set] if node.selection_set else []
        if name == TYPENAME:
            _check_plain(node, place)
            return Selected(key, name, None, {}, place, [], node, kind.name)
        field = kind.fields.get(name)
        if name in introspected.ROOTS and kind in (self.schema.query, self.schema.mutation):
            field = introspected.ROOTS[name]
        if field is None:
            raise invalid(f"field '{name}' not found in type: '{kind.name}'", place)
        raw = {item.name.value: value_of(item.value) for item in node.arguments or ()}
        for argument in raw:
            if argument not in field.args:
                raise invalid(f"'{name}' has no argument named '{argument}'", place)
        arguments = self.coercion.arguments(field.args, raw, f"{place}.args")
        return Selected(key, name, field, arguments, place, below, node, kind.name)

    def _merge(self, first: Selected, node: FieldNode, path: str) -> None:
        name = node.name.value
        if name != first.name:
            text = (
                f"selection of both '{first.name}' and '{name}' specify the same response "
                f"name, '{first.key}'"
            )
            raise invalid(text, f"{path}.selectionSet")
        if _arguments_text(node) != _arguments_text(first.node):
            text = f"inconsistent arguments between multiple selections of field '{name}'"
            raise invalid(text, f"{path}.selectionSet")
        if node.selection_set:
            if first.field is None:
                _check_plain(node, first.path)
            first.below.append(node.selection_set)

    def _check_below(self, item: Selected) -> None:
        if item.field is None:
            return
        is_object = isinstance(item.field.ref.named, ObjectType)
        if is_object and not item.below:
            text = f"missing selection set for '{item.name}'"
            raise invalid(text, f"{item.path}.selectionSet")
        if item.below and not is_object:
            raise invalid("unexpected subselection set for non-object field", item.path)


def _check_plain(node: FieldNode, path: str) -> None:
    """Refuse arguments and a selection where a field has neither."""
    if node.arguments:
        argument = node.arguments[0].name.value
        raise invalid(f"'{node.name.value}' has no argument named '{argument}'", path)
    if node.selection_set:
        raise invalid("unexpected subselection set for non-object field", path)


def _arguments_text(node: FieldNode) -> list[str]:
    return sorted(print_ast(argument) for argument in node.arguments or ())
