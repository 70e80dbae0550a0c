"""Calls that define actions, and the types they take and give."""

from __future__ import annotations

from typing import Any

from sandbox.engine.metadata import shape

from . import transforms
from .arguments import Args, drop, given, items, named, read, refuse, text
from .calls import change, removal
from .draft import Document


@change
def create_action(document: Document, args: Args) -> Any:
    name = text(args, "name")
    if named(document.get("actions"), name):
        raise refuse("already-exists", f'action with name "{name}" already exists')
    entry = {"name": name, "definition": _definition(args)} | given(args, "comment")
    items(document, "actions").append(entry)
    return entry


@change
def update_action(document: Document, args: Args) -> Any:
    """Replace the definition and the comment; the permissions stay."""
    found = _action(document, text(args, "name"))
    found["definition"] = _definition(args)
    found.pop("comment", None)
    found |= given(args, "comment")
    return found


@removal
def drop_action(document: Document, args: Args) -> None:
    found = _action(document, text(args, "name"))
    document["actions"] = [item for item in document["actions"] if item is not found]


@change
def create_action_permission(document: Document, args: Args) -> Any:
    name, role = text(args, "action"), text(args, "role")
    found = _action(document, name)
    if named(found.get("permissions"), role, "role"):
        reason = f'permission for role "{role}" is already defined on "{name}"'
        raise refuse("already-exists", reason)
    items(found, "permissions").append({"role": role} | given(args, "comment"))
    return found


@removal
def drop_action_permission(document: Document, args: Args) -> None:
    name, role = text(args, "action"), text(args, "role")
    found = _action(document, name)
    entry = named(found.get("permissions"), role, "role")
    if entry is None:
        raise refuse("not-exists", f'permission for role: "{role}" is not defined on "{name}"')
    drop(found, "permissions", entry)


@change
def set_custom_types(document: Document, args: Args) -> Any:
    """Replace all custom types."""
    kinds = ("input_objects", "objects", "scalars", "enums")
    document["custom_types"] = {
        kind: read(args, kind, shape.many(shape.OBJECT), []) for kind in kinds
    }
    return document["custom_types"]


def _action(document: Document, name: str) -> dict[str, Any]:
    found = named(document.get("actions"), name)
    if found is None:
        raise refuse("not-exists", f'action with name "{name}" does not exist')
    return found


def _definition(args: Args) -> dict[str, Any]:
    """Read a definition, defaults filled in: it is a synchronous mutation without arguments."""
    definition: dict[str, Any] = dict(read(args, "definition", shape.OBJECT))
    transforms.check(definition)
    definition.setdefault("arguments", [])
    if definition.setdefault("type", "mutation") == "mutation":
        definition.setdefault("kind", "synchronous")
    return definition
