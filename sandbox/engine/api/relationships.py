"""Calls that relate tables, and that add computed fields to them."""

from __future__ import annotations

from typing import Any

from sandbox.engine.metadata import shape
from sandbox.engine.tracking.tracked import dotted, name_of

from .arguments import Args, given, named, read, refuse, text, tracked_table
from .calls import change, removal
from .draft import Document
from .tables import add_named, drop_named

BOTH = ("object_relationships", "array_relationships")


@change
def pg_create_object_relationship(document: Document, args: Args) -> Any:
    return _create(document, args, "object_relationships")


@change
def pg_create_array_relationship(document: Document, args: Args) -> Any:
    return _create(document, args, "array_relationships")


def _create(document: Document, args: Args, key: str) -> Any:
    table = tracked_table(document, args)
    using = read(args, "using", shape.OBJECT)
    return add_named(
        table, key, {"name": text(args, "name"), "using": using} | given(args, "comment")
    )


@removal
def pg_drop_relationship(document: Document, args: Args) -> None:
    drop_named(tracked_table(document, args), BOTH, text(args, "relationship"))


@change
def pg_rename_relationship(document: Document, args: Args) -> Any:
    """Rename the relationship itself; permissions that lead through it have to be changed first."""
    table = tracked_table(document, args)
    name, wanted = text(args, "name"), text(args, "new_name")
    found = _relationship(table, name)
    if any(named(table.get(key), wanted) for key in (*BOTH, "computed_fields")):
        where = dotted(name_of(table["table"]))
        reason = f"cannot rename relationship {name} to {wanted} in table {where}"
        raise refuse("already-exists", f"{reason} as a column/relationship exists")
    found["name"] = wanted
    return found


@change
def pg_set_relationship_comment(document: Document, args: Args) -> Any:
    found = _relationship(tracked_table(document, args), text(args, "name"))
    found["comment"] = text(args, "comment", None)
    return found


def _relationship(table: dict[str, Any], name: str) -> dict[str, Any]:
    found = named(table.get(BOTH[0]), name) or named(table.get(BOTH[1]), name)
    if found is None:
        where = dotted(name_of(table["table"]))
        raise refuse("not-exists", f'"{name}" does not exist in table "{where}"')
    return found


@change
def pg_add_computed_field(document: Document, args: Args) -> Any:
    entry = {"name": text(args, "name"), "definition": read(args, "definition", shape.OBJECT)}
    return add_named(
        tracked_table(document, args), "computed_fields", entry | given(args, "comment")
    )


@removal
def pg_drop_computed_field(document: Document, args: Args) -> None:
    drop_named(tracked_table(document, args), ("computed_fields",), text(args, "name"))
