"""A parsed GraphQL document: the operation to run, its fragments and its variables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from graphql import (
    BooleanValueNode,
    DefinitionNode,
    DocumentNode,
    EnumValueNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    ListTypeNode,
    ListValueNode,
    NamedTypeNode,
    NonNullTypeNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    TypeNode,
    ValueNode,
    VariableNode,
    parse,
)

from sandbox.engine.errors import EngineError, invalid
from sandbox.engine.values import EnumName, exact


@dataclass(frozen=True, slots=True)
class Use:
    """A variable where a value stands."""

    name: str


@dataclass(frozen=True, slots=True)
class Declared:
    """A variable's declaration."""

    name: str
    type: TypeNode
    type_text: str
    default: Any
    has_default: bool

    @property
    def non_null(self) -> bool:
        return isinstance(self.type, NonNullTypeNode)


@dataclass(frozen=True, slots=True)
class Document:
    """One operation of a document with all it can reach."""

    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    variables: dict[str, Declared]
    used: frozenset[str]

    @property
    def kind(self) -> str:
        return self.operation.operation.value


def read(text: str, operation_name: str | None) -> Document:
    """Parse a document and choose its operation."""
    try:
        return _read(parse(text, no_location=True), operation_name)
    except (GraphQLError, RecursionError) as error:
        raise invalid("not a valid graphql query", "$.query") from error


def _read(parsed: DocumentNode, operation_name: str | None) -> Document:
    _refuse_malformed(parsed)
    operation = _choose(parsed, operation_name)
    fragments = {
        item.name.value: item
        for item in reversed(parsed.definitions)
        if isinstance(item, FragmentDefinitionNode)
    }
    _refuse_cycles(operation.selection_set, fragments, (), set())
    variables = {}
    for item in operation.variable_definitions or ():
        default = None if item.default_value is None else value_of(item.default_value)
        name = item.variable.name.value
        variables[name] = Declared(
            name, item.type, type_text(item.type), default, item.default_value is not None
        )
    used = frozenset(_uses(operation, fragments))
    for name in sorted(used - set(variables)):
        raise invalid(f'unbound variable "{name}"', "$")
    return Document(operation, fragments, variables, used)


def _refuse_malformed(parsed: DocumentNode) -> None:
    """Refuse what Hasura's own parser refuses and graphql-core's does not."""
    for node in _nodes(parsed):
        for children in (getattr(node, "arguments", None), getattr(node, "fields", None)):
            names = [child.name.value for child in children or ()]
            if len(names) != len(set(names)):
                raise invalid("not a valid graphql query", "$.query")
        if isinstance(node, SelectionSetNode) and not node.selections:
            raise invalid("not a valid graphql query", "$.query")


def _choose(parsed: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [item for item in parsed.definitions if isinstance(item, OperationDefinitionNode)]
    if name is None:
        if len(operations) != 1:
            raise invalid(
                "exactly one operation has to be present in the document "
                "when operationName is not specified",
                "$",
            )
        return operations[0]
    if any(item.name is None for item in operations):
        raise invalid(
            "operationName cannot be used when an anonymous operation exists in the document", "$"
        )
    for item in operations:
        if item.name and item.name.value == name:
            return item
    raise invalid(f'no such operation found in the document: "{name}"', "$")


def _refuse_cycles(
    selection: SelectionSetNode | None,
    fragments: dict[str, FragmentDefinitionNode],
    above: tuple[str, ...],
    done: set[str],
) -> None:
    """Follow every fragment once: documents may name one fragment a million times."""
    for item in selection.selections if selection else ():
        if isinstance(item, FragmentSpreadNode):
            name = item.name.value
            if name in above:
                names = " and ".join(above[above.index(name) :])
                raise invalid(f"the fragment definition(s) {names} form a cycle", "$")
            if name not in fragments:
                raise invalid(f'reference to undefined fragment "{name}"', "$")
            if name not in done:
                _refuse_cycles(fragments[name].selection_set, fragments, (*above, name), done)
                done.add(name)
        elif isinstance(item, (FieldNode, InlineFragmentNode)):
            _refuse_cycles(item.selection_set, fragments, above, done)


@cache
def _children(kind: Any) -> tuple[str, ...]:
    """Name what a kind of node may hold; graphql-core works that out anew each time."""
    return tuple(key for key in kind.keys if key not in ("loc", "variable_definitions"))


def _nodes(root: Any) -> Iterator[Any]:
    """Walk a syntax tree; variables' declarations are left out, they use nothing."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        for key in _children(node.__class__):
            child = getattr(node, key, None)
            if isinstance(child, (list, tuple)):
                waiting += child
            elif hasattr(child, "keys") and hasattr(child, "kind"):
                waiting.append(child)


def _uses(operation: DefinitionNode, fragments: dict[str, FragmentDefinitionNode]) -> Iterator[str]:
    waiting: list[Any] = [operation]
    seen: set[str] = set()
    while waiting:
        for node in _nodes(waiting.pop()):
            if isinstance(node, VariableNode):
                yield node.name.value
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                waiting.append(fragments[node.name.value])


def type_text(node: TypeNode) -> str:
    if isinstance(node, NonNullTypeNode):
        return type_text(node.type) + "!"
    if isinstance(node, ListTypeNode):
        return f"[{type_text(node.type)}]"
    assert isinstance(node, NamedTypeNode)  # noqa: S101 -- GraphQL has no fourth kind of type
    return node.name.value


LONGEST_INTEGER = 1000  # digits


def _integer(text: str) -> int:
    if len(text) > LONGEST_INTEGER:
        raise invalid("not a valid graphql query", "$.query")
    return int(text)


def _fraction(text: str) -> Decimal:
    try:
        return exact(text)
    except ValueError as error:
        raise invalid("not a valid graphql query", "$.query") from error


SCALARS: dict[type[ValueNode], Any] = {
    IntValueNode: lambda node: _integer(node.value),
    FloatValueNode: lambda node: _fraction(node.value),
    StringValueNode: lambda node: node.value,
    BooleanValueNode: lambda node: node.value,
    EnumValueNode: lambda node: EnumName(node.value),
    NullValueNode: lambda _node: None,
    VariableNode: lambda node: Use(node.name.value),
}


def value_of(node: ValueNode) -> Any:
    """Turn a literal into JSON, with EnumName for enum values and Use for variables."""
    if isinstance(node, ListValueNode):
        return [value_of(item) for item in node.values]
    if isinstance(node, ObjectValueNode):
        return {item.name.value: value_of(item.value) for item in node.fields}
    return SCALARS[type(node)](node)


def check_values(document: Document, given: dict[str, Any]) -> dict[str, Any]:
    """Return the variables' values with defaults filled in; absent ones stay absent."""
    unexpected = [name for name in given if name not in document.used]
    if unexpected:
        names = ", ".join(sorted(unexpected))
        raise EngineError("validation-failed", f"unexpected variables in variableValues: {names}")
    found = {}
    for name, declared in document.variables.items():
        if name in given:
            if given[name] is None and declared.non_null:
                text = f'null value found for non-nullable type: "{declared.type_text}"'
                raise invalid(text, "$")
            found[name] = given[name]
        elif declared.has_default:
            found[name] = declared.default
        elif declared.non_null and name in document.used:
            raise invalid(f'expecting a value for non-nullable variable: "{name}"', "$")
    return found
