"""Inserts, and upserts by ON CONFLICT."""

from __future__ import annotations

from dataclasses import replace

from sandbox.engine.compile.steps import Nested, Sql, Text
from sandbox.engine.documents.coerce import Fields
from sandbox.engine.documents.walk import Selected
from sandbox.engine.schema.sources import InsertRoot

from .compiler import Compiler
from .insert_rows import conflict_sql, insert_sql
from .mutation import Change, finish, nothing
from .nested import has_relations, nested


def insert(c: Compiler, item: Selected, root: InsertRoot) -> Sql | Nested | Text:
    argument = "object" if root.one else "objects"
    objects: list[Fields] = [item.arguments["object"]] if root.one else item.arguments["objects"]
    if not objects:
        return nothing(c, item)
    if has_relations(objects):
        return nested(c, item, root, objects)
    change = insert_sql(c, root.access, objects, {})
    conflict: Fields | None = item.arguments.get("on_conflict")
    clause, check = conflict_sql(c, root.access, conflict)
    change += clause
    step = finish(c, item, Change(root.access, change, check, root.one))
    path = f"$.selectionSet.{item.name}.args.{argument}"
    return replace(step, path=path)
