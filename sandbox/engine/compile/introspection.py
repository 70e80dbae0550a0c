"""Questions about the schema itself: checked like all others, answered by graphql-core."""

from __future__ import annotations

from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    print_ast,
)

from sandbox.engine.compile.sql import Slot
from sandbox.engine.compile.steps import Introspection
from sandbox.engine.documents.walk import Selected, Walk
from sandbox.engine.errors import EngineError
from sandbox.engine.schema.model import ObjectType

from .compiler import Compiler


def introspection(c: Compiler, item: Selected, _source: Any) -> Introspection:
    """Return the step. Its document has this field only, and the variables that it uses."""
    if c.schema.role in c.schema.options.unintrospected:
        text = f'introspection is disabled for role: "{c.schema.role}"'
        raise EngineError("not-supported", text)
    checks: list[Slot] = []
    names: set[str] = set()
    field = _checked(c.walk, item, checks, names)
    declared = c.walk.document.operation.variable_definitions or ()
    operation = OperationDefinitionNode(
        operation=OperationType.QUERY,
        variable_definitions=tuple(part for part in declared if part.variable.name.value in names),
        directives=(),
        selection_set=SelectionSetNode(selections=(field,)),
    )
    document = DocumentNode(definitions=(operation,))
    return Introspection(item.key, document, print_ast(document), frozenset(names), tuple(checks))


def _checked(walk: Walk, item: Selected, checks: list[Slot], names: set[str]) -> FieldNode:
    """Write a field anew, its fragments and directives resolved; refuses what is not there.

    Adds the variables that it uses, and what checks their values at each request.
    """
    node = item.node
    checks += [
        Slot(given.index, given.scalar.encode, given.path)
        for given in item.arguments.values()
        if given.index is not None
    ]
    names |= {
        argument.value.name.value
        for argument in node.arguments or ()
        if isinstance(argument.value, VariableNode)
    }
    selection = None
    if item.field is not None and isinstance(item.field.ref.of, ObjectType):
        below = walk.fields(item.below, item.field.ref.of, item.path)
        parts = tuple(_checked(walk, part, checks, names) for part in below)
        selection = SelectionSetNode(selections=parts)
    return FieldNode(
        alias=node.alias,
        name=node.name,
        arguments=node.arguments,
        directives=(),
        selection_set=selection,
    )
