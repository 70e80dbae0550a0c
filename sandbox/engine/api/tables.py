"""Calls that track tables and say how they look."""

from __future__ import annotations

from functools import partial
from typing import Any

from sandbox.engine.metadata import shape
from sandbox.engine.tracking.tracked import dotted, name_of

from .arguments import (
    Args,
    drop,
    find_function,
    find_table,
    flag,
    given,
    items,
    read,
    reference,
    refuse,
    source,
    tracked_table,
)
from .calls import SUCCESS, Edit, change, command, removal
from .draft import Document, Draft

TABLES = shape.many(shape.OBJECT)


@change
def pg_track_table(document: Document, args: Args) -> Any:
    owner, table = source(document, args), reference(args)
    name = name_of(table)
    if find_table(owner, name):
        raise refuse("already-tracked", f'view/table already tracked: "{dotted(name)}"')
    if find_function(owner, name):
        raise refuse("not-supported", f'function with name "{dotted(name)}" already exists')
    entry = {"table": table, **given(args, "is_enum", "configuration")}
    items(owner, "tables").append(entry)
    return entry


@removal
def pg_untrack_table(document: Document, args: Args) -> None:
    owner, name = source(document, args), name_of(reference(args))
    found = find_table(owner, name)
    if found is None:
        raise refuse("already-untracked", f'view/table already untracked: "{dotted(name)}"')
    owner["tables"] = [item for item in owner["tables"] if item is not found]


@command
async def pg_track_tables(draft: Draft, args: Args) -> Any:
    for item in read(args, "tables", TABLES):
        await draft.add(partial(_with, pg_track_table, item))
    return SUCCESS


@command
async def pg_untrack_tables(draft: Draft, args: Args) -> Any:
    for item in read(args, "tables", TABLES):
        cascade = flag(item, "cascade")
        await draft.remove(partial(_with, pg_untrack_table, item), cascade=cascade)
    return SUCCESS


def _with(edit: Edit, args: Args, document: Document) -> Any:
    return edit(document, args)


@change
def pg_set_table_customization(document: Document, args: Args) -> Any:
    """Replace the table's whole configuration; without one it is back at the defaults."""
    table = tracked_table(document, args)
    table["configuration"] = read(args, "configuration", shape.OBJECT, {})
    return table


@change
def pg_set_table_is_enum(document: Document, args: Args) -> Any:
    table = tracked_table(document, args)
    table["is_enum"] = read(args, "is_enum", shape.kind(bool))
    return table


def add_named(table: dict[str, Any], key: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Put a relationship or a computed field on a table, where every name is used once."""
    taken = (
        item["name"]
        for held in ("object_relationships", "array_relationships", "computed_fields")
        for item in table.get(held) or []
    )
    if entry["name"] in taken:
        name = dotted(name_of(table["table"]))
        text = f'field with name "{entry["name"]}" already exists in table "{name}"'
        raise refuse("already-exists", text)
    items(table, key).append(entry)
    return entry


def drop_named(table: dict[str, Any], keys: tuple[str, ...], name: str) -> None:
    """Take a relationship or a computed field from a table."""
    for key in keys:
        for item in table.get(key) or []:
            if item["name"] == name:
                drop(table, key, item)
                return
    where = dotted(name_of(table["table"]))
    raise refuse("not-exists", f'"{name}" does not exist in table "{where}"')
