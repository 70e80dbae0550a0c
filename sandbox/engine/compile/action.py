"""Actions: what to send, which keys of the answer are shown, and the rows that belong to it."""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.engine.compile.sql import Later, cast, ident
from sandbox.engine.compile.steps import Action, OutputField, Sql
from sandbox.engine.documents.walk import Selected
from sandbox.engine.schema.actions import ActionRelation, ActionRoot
from sandbox.engine.schema.model import ObjectType

from .compiler import Compiler, table_sql
from .select import Source, related


def action(c: Compiler, item: Selected, root: ActionRoot) -> Action:
    return Action(item.key, root, item.arguments, _output(c, item, root.output.named))


def _output(c: Compiler, item: Selected, kind: Any) -> tuple[OutputField, ...]:
    if not isinstance(kind, ObjectType):
        return ()
    found = []
    for part in c.fields(item, kind):
        if part.field is None:
            found.append(OutputField(part.key, part.name, text=f'"{kind.name}"'))
        elif isinstance(part.field.source, ActionRelation):
            step = _relation(c, part, part.field.source)
            found.append(OutputField(part.key, part.name, sql=step))
        else:
            below = _output(c, part, part.field.ref.named)
            found.append(OutputField(part.key, part.name, below))
    return tuple(found)


def _relation(c: Compiler, item: Selected, source: ActionRelation) -> Sql:
    """Return the statement that reads the related rows; the answer's keys come later."""
    inner = Compiler(c.walk)
    sql = related_rows(inner, item, source, lambda own: inner.statement.bind(Later(own)))
    return Sql(item.key, f"SELECT {sql}", tuple(inner.statement.binds))


def related_rows(
    c: Compiler, item: Selected, source: ActionRelation, key_sql: Callable[[str], str]
) -> str:
    """Write the rows that belong to an answer, as JSON; `key_sql` writes a key of the answer."""
    relationship = source.relationship
    target = c.schema.accesses[relationship.target]
    alias = c.alias()
    columns = target.table.table.columns
    keys = [
        f"{cast(key_sql(own), columns[other].type)} AS {ident(own)}"
        for own, other in relationship.mapping
    ]
    outer = c.alias()
    rows = Source(target, table_sql(target), alias, relationship.mapping, outer)
    value = related(c, rows, item, is_array=relationship.is_array)
    return f"(SELECT ({value}) FROM (SELECT {', '.join(keys)}) AS {outer})"
