"""Calls that track functions as fields of queries and mutations."""

from __future__ import annotations

from typing import Any

from sandbox.engine.metadata import shape
from sandbox.engine.tracking.tracked import dotted, name_of

from .arguments import (
    Args,
    drop,
    find_function,
    find_table,
    given,
    items,
    named,
    read,
    reference,
    refuse,
    source,
    text,
)
from .calls import change, removal
from .draft import Document


@change
def pg_track_function(document: Document, args: Args) -> Any:
    owner, function = source(document, args), reference(args, "function")
    name = name_of(function)
    if find_function(owner, name):
        raise refuse("already-tracked", f'function already tracked: "{dotted(name)}"')
    if find_table(owner, name):
        raise refuse("not-supported", f'table with name "{dotted(name)}" already exists')
    entry = {"function": function, **given(args, "configuration", "comment")}
    items(owner, "functions").append(entry)
    return entry


@removal
def pg_untrack_function(document: Document, args: Args) -> None:
    owner, found = source(document, args), _tracked(document, args)
    owner["functions"] = [item for item in owner["functions"] if item is not found]


@change
def pg_set_function_customization(document: Document, args: Args) -> Any:
    found = _tracked(document, args)
    found["configuration"] = read(args, "configuration", shape.OBJECT, {})
    return found


@change
def pg_create_function_permission(document: Document, args: Args) -> Any:
    found, role = _tracked(document, args), text(args, "role")
    if named(found.get("permissions"), role, "role"):
        name = dotted(name_of(found["function"]))
        reason = f'permission of role "{role}" already exists for function "{name}"'
        raise refuse("already-exists", f'{reason} in source: "{text(args, "source", "default")}"')
    items(found, "permissions").append({"role": role})
    return found


@removal
def pg_drop_function_permission(document: Document, args: Args) -> None:
    found, role = _tracked(document, args), text(args, "role")
    entry = named(found.get("permissions"), role, "role")
    if entry is None:
        name = dotted(name_of(found["function"]))
        reason = f'permission of role "{role}" does not exist for function "{name}"'
        raise refuse("not-exists", f'{reason} in source: "{text(args, "source", "default")}"')
    drop(found, "permissions", entry)


def _tracked(document: Document, args: Args) -> dict[str, Any]:
    owner, name = source(document, args), name_of(reference(args, "function"))
    found = find_function(owner, name)
    if found is None:
        where = f"in source: {owner['name']}"
        raise refuse("not-exists", f'function "{dotted(name)}" does not exist {where}')
    return found
