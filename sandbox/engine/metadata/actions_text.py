"""Take actions apart into actions.graphql and actions.yaml, as the Hasura CLI does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from graphql import GraphQLError, parse_type, print_ast
from graphql.language import ast
from graphql.language.block_string import is_printable_as_block_string

from .order import ordered
from .yaml_files import MetadataError

ROOTS = {"query": "Query", "mutation": "Mutation"}
KINDS = ("enums", "input_objects", "objects", "scalars")  # as actions.yaml lists them
SPELLED = ("input_objects", "objects", "scalars", "enums")  # as actions.graphql does
IN_SDL = frozenset({"type", "arguments", "output_type"})
DEFINITION = (
    "kind", "handler", "forward_client_headers", "headers", "timeout", "request_transform",
    "response_transform",
)  # fmt: skip


def sdl(actions: Iterable[dict[str, Any]], types: dict[str, Any]) -> str:
    """Return actions.graphql: each action in a type of its own, then the types they use."""
    try:
        blocks = [print_ast(_root(action)) for action in actions]
        blocks += [print_ast(node) for node in _types(types)]
    except GraphQLError as error:
        raise MetadataError(f"actions cannot be written as GraphQL: {error.message}") from error
    return "\n\n".join(blocks) + "\n" if blocks else ""


def rest(actions: Iterable[dict[str, Any]], types: dict[str, Any]) -> dict[str, Any]:
    """Return actions.yaml: all that the SDL does not say."""
    return {
        "actions": [_rest_of(action) for action in actions],
        "custom_types": {kind: [_named(item) for item in types.get(kind) or []] for kind in KINDS},
    }


def _rest_of(action: dict[str, Any]) -> dict[str, Any]:
    definition = {key: value for key, value in action["definition"].items() if key not in IN_SDL}
    if action["definition"].get("type") == "query":
        definition["kind"] = ""  # a query has no kind, and the CLI writes the key nevertheless
    kept = action | {"definition": ordered(definition, DEFINITION)}
    return ordered(kept, ("name", "definition", "permissions", "comment"), empty=("permissions",))


def _named(item: dict[str, Any]) -> dict[str, Any]:
    told = ("description", "fields", "values")
    kept = {key: value for key, value in item.items() if key not in told}
    return ordered(kept, ("name", "relationships"), empty=("relationships",))


def _root(action: dict[str, Any]) -> ast.ObjectTypeDefinitionNode:
    definition = action["definition"]
    field = ast.FieldDefinitionNode(
        name=_name(action["name"]),
        arguments=tuple(_input(item) for item in definition.get("arguments") or []),
        type=parse_type(definition.get("output_type") or ""),
        directives=(),
    )
    root = ROOTS[definition.get("type") or "mutation"]
    return ast.ObjectTypeDefinitionNode(
        name=_name(root), fields=(field,), interfaces=(), directives=()
    )


def _types(types: dict[str, Any]) -> Iterator[ast.Node]:
    for kind in SPELLED:
        for item in types.get(kind) or []:
            yield _type(kind, item)


def _type(kind: str, item: dict[str, Any]) -> ast.Node:
    common: dict[str, Any] = {"name": _name(item["name"]), "directives": ()} | _described(item)
    fields = item.get("fields") or []
    if kind == "input_objects":
        return ast.InputObjectTypeDefinitionNode(**common, fields=tuple(map(_input, fields)))
    if kind == "objects":
        found = tuple(map(_field, fields))
        return ast.ObjectTypeDefinitionNode(**common, fields=found, interfaces=())
    if kind == "enums":
        values = tuple(map(_value, item.get("values") or []))
        return ast.EnumTypeDefinitionNode(**common, values=values)
    return ast.ScalarTypeDefinitionNode(**common)


def _name(text: str) -> ast.NameNode:
    return ast.NameNode(value=text)


def _described(item: dict[str, Any]) -> dict[str, Any]:
    text = item.get("description")
    if not text:
        return {}
    block = is_printable_as_block_string(text)
    return {"description": ast.StringValueNode(value=text, block=block)}


def _input(item: dict[str, Any]) -> ast.InputValueDefinitionNode:
    return ast.InputValueDefinitionNode(
        name=_name(item["name"]), type=parse_type(item["type"]), directives=(), **_described(item)
    )


def _field(item: dict[str, Any]) -> ast.FieldDefinitionNode:
    return ast.FieldDefinitionNode(
        name=_name(item["name"]),
        arguments=(),
        type=parse_type(item["type"]),
        directives=(),
        **_described(item),
    )


def _value(item: dict[str, Any]) -> ast.EnumValueDefinitionNode:
    deprecated = ast.ConstDirectiveNode(name=_name("deprecated"), arguments=())
    return ast.EnumValueDefinitionNode(
        name=_name(item["value"]),
        directives=(deprecated,) if item.get("is_deprecated") else (),
        **_described(item),
    )
