"""Calls that say what a role may do with a table, and which roles inherit from others."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from sandbox.engine.metadata import shape
from sandbox.engine.session import ADMIN
from sandbox.engine.tracking.tracked import PERMISSION_KINDS, dotted, name_of

from .arguments import Args, drop, given, items, named, read, refuse, text, tracked_table
from .calls import change, removal
from .draft import Document


def _create(kind: str, document: Document, args: Args) -> Any:
    table, role = tracked_table(document, args), text(args, "role")
    key = f"{kind}_permissions"
    if role == ADMIN or named(table.get(key), role, "role"):
        name = dotted(name_of(table["table"]))
        reason = f'{kind} permission already defined on table "{name}" with role "{role}"'
        raise refuse("already-exists", reason)
    permission = read(args, "permission", shape.OBJECT)
    items(table, key).append({"role": role, "permission": permission} | given(args, "comment"))
    return permission


def _drop(kind: str, document: Document, args: Args) -> None:
    table, role = tracked_table(document, args), text(args, "role")
    drop(table, f"{kind}_permissions", _defined(table, kind, role))


def _defined(table: dict[str, Any], kind: str, role: str) -> dict[str, Any]:
    found = named(table.get(f"{kind}_permissions"), role, "role")
    if found is None:
        name = dotted(name_of(table["table"]))
        reason = f'{kind} permission on "{name}" for role "{role}" does not exist'
        raise refuse("permission-denied", reason)
    return found


for _kind in PERMISSION_KINDS:
    change(partial(_create, _kind), f"pg_create_{_kind}_permission")
    removal(partial(_drop, _kind), f"pg_drop_{_kind}_permission")


@change
def pg_set_permission_comment(document: Document, args: Args) -> Any:
    kind = text(args, "type")
    if kind not in PERMISSION_KINDS:
        raise refuse("parse-failed", f"type must be one of {', '.join(PERMISSION_KINDS)}")
    found = _defined(tracked_table(document, args), kind, text(args, "role"))
    found["comment"] = text(args, "comment", None)
    return found["permission"]


@change
def add_inherited_role(document: Document, args: Args) -> Any:
    """Define what a role inherits, in place of what it inherited before."""
    name, parents = text(args, "role_name"), read(args, "role_set", shape.many(shape.TEXT))
    known = items(document, "inherited_roles")
    found = named(known, name, "role_name")
    if found is None:
        found = {"role_name": name}
        known.append(found)
    found["role_set"] = parents
    if name in _ancestors(known, name):
        raise refuse("cyclic-dependency", f'found cycle(s) in roles: ["{name}"]')
    return found


@removal
def drop_inherited_role(document: Document, args: Args) -> None:
    name = text(args, "role_name")
    found = named(document.get("inherited_roles"), name, "role_name")
    if found is None:
        raise refuse("not-exists", f"{name} inherited role doesn't exist")
    document["inherited_roles"] = [
        item for item in document["inherited_roles"] if item is not found
    ]


def _ancestors(known: list[Any], name: str) -> Iterator[str]:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        entry = named(known, waiting.pop(), "role_name")
        for parent in entry["role_set"] if entry else []:
            yield parent
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
