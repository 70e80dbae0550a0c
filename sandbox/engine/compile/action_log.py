"""Asynchronous actions: the statement that writes a call down, and the one that tells its outcome.

The outcome is one statement like any other query, so it may be watched like any other.
"""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from typing import Any

from sandbox.engine.compile.sql import Constant, SessionJson, ident, literal
from sandbox.engine.compile.steps import Queued, Sql
from sandbox.engine.documents.walk import Selected
from sandbox.engine.schema.action_log import UUID, LogField, LogRoot, QueuedRoot
from sandbox.engine.schema.actions import ActionRelation
from sandbox.engine.schema.model import ObjectType, Ref
from sandbox.engine.session import ADMIN

from .action import related_rows
from .action_call import ForwardedHeaders, Input
from .compiler import Compiler, all_of, typename
from .select import LONGEST_NAME, json_object

TABLE = "hdb_catalog.hdb_action_log"


def queued(c: Compiler, item: Selected, root: QueuedRoot) -> Queued:
    """Keep only the headers that the handler will be sent: the log is no place for others."""
    definition, bind = root.action.definition, c.statement.bind
    headers = ForwardedHeaders() if definition.get("forward_client_headers") else Constant("{}")
    values = [
        bind(Constant(root.action.name)),
        f"({bind(SessionJson())})::jsonb",
        f"({bind(headers)})::jsonb",
        f"({bind(Input(item.arguments))})::jsonb",
    ]
    columns = "action_name, session_variables, request_headers, input_payload, status"
    sql = (
        f"INSERT INTO {TABLE} ({columns}) VALUES ({', '.join(values)}, 'created') "
        "RETURNING to_json(id)::text"
    )
    return Queued(item.key, Sql(item.key, sql, tuple(c.statement.binds), mutation=True))


def log(c: Compiler, item: Selected, root: LogRoot) -> Sql:
    """Show a call to whoever made it, with the same session variables, and to the admin."""
    row = c.alias()
    conditions = [
        f"{row}.id = {c.value(item.arguments['id'], UUID)}",
        f"{row}.action_name = {c.statement.bind(Constant(root.action.name))}",
    ]
    if c.schema.role != ADMIN:
        session = c.statement.bind(SessionJson())
        conditions.append(f"{row}.session_variables = ({session})::jsonb")
    kind: Any = item.field.ref.named if item.field else None
    pairs = [(part.key, _part(c, part, kind, row)) for part in c.fields(item, kind)]
    sql = f"SELECT {_object(c, pairs)} FROM {TABLE} AS {row} WHERE {all_of(conditions)}"
    return Sql(item.key, sql, tuple(c.statement.binds))


def _part(c: Compiler, part: Selected, kind: ObjectType, row: str) -> str:
    if part.field is None:
        return typename(kind)
    source = part.field.source
    assert isinstance(source, LogField)  # noqa: S101 -- a log has no other fields
    if source.name == "output":
        return _output(c, part, f"{row}.response_payload", part.field.ref)
    return f"{row}.{ident(source.name)}"


def _output(c: Compiler, item: Selected, value: str, ref: Ref) -> str:
    """Cut a stored answer, which has been checked against its type, to what was selected."""
    if isinstance(ref.of, Ref):
        part = c.alias()
        inner = _output(c, item, f'{part}."value"', ref.of)
        return (
            f"CASE jsonb_typeof({value}) WHEN 'array' THEN ("
            f"SELECT coalesce(json_agg({inner} ORDER BY {part}.\"at\"), '[]'::json) "
            f'FROM jsonb_array_elements({value}) WITH ORDINALITY AS {part}("value", "at")) END'
        )
    if not isinstance(ref.of, ObjectType):
        return f"({value})::json"
    kind = ref.of
    pairs = [(part.key, _field(c, part, kind, value)) for part in c.fields(item, kind)]
    return f"CASE jsonb_typeof({value}) WHEN 'object' THEN {_object(c, pairs)} END"


def _field(c: Compiler, part: Selected, kind: ObjectType, value: str) -> str:
    if part.field is None:
        return typename(kind)
    if isinstance(part.field.source, ActionRelation):
        return related_rows(c, part, part.field.source, lambda key: f"{value} ->> {literal(key)}")
    return _output(c, part, f"({value} -> {literal(part.name)})", part.field.ref)


def _object(c: Compiler, pairs: list[tuple[str, str]]) -> str:
    if any(len(key.encode()) > LONGEST_NAME for key, _ in pairs):
        return json_object(pairs)
    listed = ", ".join(f"{value} AS {ident(key)}" for key, value in pairs)
    row = c.alias()
    return f"(SELECT row_to_json({row}) FROM (SELECT {listed}) AS {row})"
