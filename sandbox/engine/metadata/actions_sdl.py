"""Merge actions.graphql with actions.yaml into the form the server keeps, as the Hasura CLI does.

The SDL says what an action takes and gives and which fields types have; the YAML says everything
else. What one of them names, the other must name too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphql import GraphQLSyntaxError, parse, print_ast
from graphql.language import ast

from .yaml_files import MetadataError

ROOTS = {"Query": "query", "Mutation": "mutation"}
KINDS: dict[type[ast.Node], str] = {
    ast.EnumTypeDefinitionNode: "enums",
    ast.InputObjectTypeDefinitionNode: "input_objects",
    ast.ObjectTypeDefinitionNode: "objects",
    ast.ScalarTypeDefinitionNode: "scalars",
}


class Sdl:
    """The actions and types that actions.graphql defines, in the server's form."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.actions: dict[str, dict[str, Any]] = {}
        self.types: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KINDS.values()}
        for node in _definitions(file):
            self._add(node)

    def refuse(self, reason: str, node: ast.Node | None = None) -> MetadataError:
        line = f":{node.loc.start_token.line}" if node is not None and node.loc else ""
        return MetadataError(f"{self.file}{line}: {reason}")

    def _add(self, node: ast.Node) -> None:
        name = getattr(node, "name", None)
        if isinstance(node, (ast.ObjectTypeDefinitionNode, ast.ObjectTypeExtensionNode)) and (
            node.name.value in ROOTS
        ):
            for field in node.fields or ():
                self._add_action(ROOTS[node.name.value], field)
            return
        kind = KINDS.get(type(node))
        if kind is None or name is None:
            raise self.refuse(
                "only Query, Mutation, type, input, enum and scalar belong here", node
            )
        if any(name.value in types for types in self.types.values()):
            raise self.refuse(f"type {name.value} is defined twice", node)
        self.types[kind][name.value] = _type(node)

    def _add_action(self, operation: str, field: ast.FieldDefinitionNode) -> None:
        if field.name.value in self.actions:
            raise self.refuse(f"action {field.name.value} is defined twice", field)
        self.actions[field.name.value] = {
            "type": operation,
            "arguments": [_input(argument) for argument in field.arguments or ()],
            "output_type": print_ast(field.type),
            **_described(field),
        }


def merge(actions: dict[str, Any], file: Path, sdl: Sdl) -> tuple[list[Any], dict[str, Any]]:
    """Join both files. Returns the document's `actions` and its `custom_types`."""
    joined = [_action(action, file, sdl) for action in actions.get("actions") or []]
    if forgotten := sdl.actions.keys() - {action["name"] for action in joined}:
        raise sdl.refuse(f"action {min(forgotten)} is not in {file.name}")
    types = {}
    for kind, defined in sdl.types.items():
        extras = {
            item["name"]: item for item in (actions.get("custom_types") or {}).get(kind) or []
        }
        if unknown := extras.keys() - defined.keys():
            raise MetadataError(f"{file}: type {min(unknown)} is not in {sdl.file.name}")
        types[kind] = [{**extras.get(name, {}), **item} for name, item in defined.items()]
    return joined, types


def _action(action: dict[str, Any], file: Path, sdl: Sdl) -> dict[str, Any]:
    name = action.get("name")
    if name not in sdl.actions:
        raise MetadataError(f"{file}: action {name} is not in {sdl.file.name}")
    signature = dict(sdl.actions[name])
    description = signature.pop("description", None)
    definition = {**(action.get("definition") or {}), **signature}
    if "handler" not in definition:
        raise MetadataError(f"{file}: action {name} has no handler")
    if signature["type"] == "query":
        definition.pop("kind", None)  # only a mutation may be asynchronous, and the server omits it
    comment = {} if description is None else {"comment": description}
    return {**comment, **action, "definition": definition}


def _definitions(file: Path) -> Sequence[ast.DefinitionNode]:
    try:
        text = file.read_text(encoding="utf-8")
        # The CLI accepts a file without any definition, graphql-core does not.
        blank = not any(line.split("#")[0].strip() for line in text.splitlines())
        return () if blank else parse(text).definitions
    except FileNotFoundError:
        return ()
    except GraphQLSyntaxError as error:
        line = error.locations[0].line if error.locations else 1
        raise MetadataError(f"{file}:{line}: {error.message}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise MetadataError(f"{file}: {error}") from error


def _type(node: ast.Node) -> dict[str, Any]:
    name = {"name": getattr(node, "name").value, **_described(node)}  # noqa: B009  # every node of KINDS has one
    if isinstance(node, ast.EnumTypeDefinitionNode):
        return name | {"values": [_value(value) for value in node.values or ()]}
    if isinstance(node, ast.InputObjectTypeDefinitionNode):
        return name | {"fields": [_input(field) for field in node.fields or ()]}
    if isinstance(node, ast.ObjectTypeDefinitionNode):
        return name | {"fields": [_input(field) for field in node.fields or ()]}
    return name


def _input(node: ast.InputValueDefinitionNode | ast.FieldDefinitionNode) -> dict[str, Any]:
    return {"name": node.name.value, "type": print_ast(node.type), **_described(node)}


def _value(node: ast.EnumValueDefinitionNode) -> dict[str, Any]:
    deprecated = any(directive.name.value == "deprecated" for directive in node.directives or ())
    flag = {"is_deprecated": True} if deprecated else {}
    return {"value": node.name.value, **_described(node), **flag}


def _described(node: ast.Node) -> dict[str, str]:
    description: ast.StringValueNode | None = getattr(node, "description", None)
    return {} if description is None else {"description": description.value}
