"""Boolean expressions of a client, and the conditions a role's permission adds to them."""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sandbox.engine.compile.sql import ident
from sandbox.engine.documents.coerce import Fields, Given
from sandbox.engine.schema.access import Access
from sandbox.engine.schema.sources import (
    ColumnIn,
    Comparison,
    ComputedIn,
    Logical,
    Predicate,
    RelationIn,
)
from sandbox.engine.tracking.permissions import Filter
from sandbox.engine.tracking.tracked import Relationship
from sandbox.engine.types import BIGINT, BOOLEAN, INTEGER, TEXT, Operand, PgType
from sandbox.engine.values import encode_json

from .compiler import Compiler, all_of, joined, table_sql
from .filters import computed_call, permit

STEPS_OF_A_CONDITION = 4  # to write it, where checking a value is one step


def column_sql(c: Compiler, access: Access, alias: str, name: str, condition: Filter | None) -> str:
    """Name a column, null on rows that do not pass its condition."""
    plain = f"{alias}.{ident(name)}"
    if condition is None:
        return plain
    return f"CASE WHEN {permit(c, condition, access.table, alias)} THEN {plain} END"


def computed_sql(c: Compiler, source: ComputedIn, access: Access, alias: str) -> str:
    """Call a computed field's function, null on rows that do not pass its condition."""
    called = computed_call(c, source.computed, alias)
    if source.condition is None:
        return called
    return f"CASE WHEN {permit(c, source.condition, access.table, alias)} THEN {called} END"


def named_column(c: Compiler, access: Access, alias: str, graphql: str) -> str:
    """Name a column by its GraphQL name, hidden where the role may not see it."""
    name = access.table.columns[graphql].name
    condition = access.select.columns.get(name) if access.select else None
    return column_sql(c, access, alias, name, condition)


def visible(c: Compiler, access: Access, alias: str) -> str:
    """Return the condition of the rows the role may read."""
    return permit(c, access.select.filter if access.select else {}, access.table, alias)


def boolean(c: Compiler, expression: Fields | None, access: Access, alias: str) -> str:
    if expression is None:
        return "TRUE"
    parts = []
    for name, value in expression.items.items():
        if value is not None:
            source = expression.type.fields[name].source
            parts.append(_one(c, source, value, access, alias))
    return all_of(parts)


def _one(c: Compiler, source: Any, value: Any, access: Access, alias: str) -> str:
    c.walk.coercion.spend(STEPS_OF_A_CONDITION)
    if isinstance(source, Logical):
        return _logical(c, source.name, value, access, alias)
    if isinstance(source, (ColumnIn, ComputedIn)) and _says_nothing(value):
        return "TRUE"
    if isinstance(source, ColumnIn):
        left = column_sql(c, access, alias, source.column.name, source.condition)
        return comparisons(c, left, value, source.column.type)
    if isinstance(source, ComputedIn):
        left = computed_sql(c, source, access, alias)
        return comparisons(c, left, value, source.computed.function.type or TEXT)
    assert isinstance(source, RelationIn)  # noqa: S101 -- a where has no fifth kind of field
    if source.aggregate:
        return _aggregate(c, source.relationship, value, alias)
    return _related(c, source.relationship, value, alias)


def _logical(c: Compiler, name: str, value: Any, access: Access, alias: str) -> str:
    if name == "_not":
        return f"NOT ({boolean(c, value, access, alias)})"
    parts = [boolean(c, item, access, alias) for item in value]
    if name == "_and":
        return all_of(parts)
    return " OR ".join(f"({part})" for part in parts) or "FALSE"


def _related(c: Compiler, relationship: Relationship, value: Fields, alias: str) -> str:
    c.walk.coercion.spend(0, subqueries=1)
    c.join()
    target = c.schema.accesses[relationship.target]
    inner = c.alias()
    where = all_of(
        [
            joined(relationship.mapping, alias, inner),
            visible(c, target, inner),
            boolean(c, value, target, inner),
        ]
    )
    return f"EXISTS (SELECT 1 FROM {table_sql(target)} AS {inner} WHERE {where})"


def _aggregate(c: Compiler, relationship: Relationship, value: Fields, alias: str) -> str:
    parts = []
    for name, options in value.items.items():
        source = value.type.fields[name].source
        assert isinstance(source, Predicate)  # noqa: S101 -- the schema puts nothing else here
        parts.append(_predicate(c, relationship, source.function, options, alias))
    return all_of(parts)


def _predicate(
    c: Compiler, relationship: Relationship, function: str, options: Fields, alias: str
) -> str:
    predicate: Fields = options.items["predicate"]
    if _says_nothing(predicate):
        return "TRUE"
    c.walk.coercion.spend(0, subqueries=1)
    c.join()
    target = c.schema.accesses[relationship.target]
    inner = c.alias()
    where = all_of(
        [
            joined(relationship.mapping, alias, inner),
            visible(c, target, inner),
            boolean(c, options.get("filter"), target, inner),
        ]
    )
    chosen = options.get("arguments")
    names = [chosen] if isinstance(chosen, str) else chosen or []
    columns = [named_column(c, target, inner, name) for name in names]
    call = aggregate_call(function, columns, distinct=is_true(options.get("distinct")))
    left = f"(SELECT {call} FROM {table_sql(target)} AS {inner} WHERE {where})"
    kind = INTEGER if function == "count" else BOOLEAN
    return comparisons(c, left, predicate, kind)


def aggregate_call(function: str, columns: list[str], *, distinct: bool) -> str:
    """Write an aggregate over columns; a count of several counts their combinations."""
    listed = f"({', '.join(columns)})" if len(columns) > 1 else "".join(columns)
    if function == "count" and not columns:
        return "count(*)"
    return f"{function}({'DISTINCT ' if distinct else ''}{listed})"


def is_true(value: Any) -> bool:
    return isinstance(value, Given) and value.value is True


def _says_nothing(value: Fields) -> bool:
    """Tell a comparison without an operator.

    Nothing may be bound for its left side: Postgres refuses parameters that no statement uses.
    """
    return all(isinstance(item, Fields) and _says_nothing(item) for item in value.items.values())


def comparisons(c: Compiler, left: str, value: Fields, kind: PgType) -> str:
    """Compare one expression with every operator that was given."""
    parts = []
    for name, operand in value.items.items():
        source = value.type.fields[name].source
        assert isinstance(source, Comparison)  # noqa: S101 -- a comparison holds operators only
        parts.append(_compare(c, left, source, operand, kind))
    return all_of(parts)


def _compare(c: Compiler, left: str, source: Comparison, operand: Any, kind: PgType) -> str:
    operator = source.operator
    if operator.operand is Operand.TRUTH:
        return f"{left} IS NULL" if is_true(operand) else f"{left} IS NOT NULL"
    if operator.operand is Operand.CAST:
        inner = operand.get("String")
        return comparisons(c, f"({left})::text", inner, TEXT) if inner else "TRUE"
    if operator.operand is Operand.MANY:
        return operator.sql.format(left, _many(c, operand, kind))
    if operator.operand is Operand.TEXTS:
        return operator.sql.format(left, c.many(operand, TEXT))
    right = c.value(operand, TEXT if operator.operand is Operand.TEXT else kind)
    return operator.sql.format(left, right)


def _many(c: Compiler, operand: Any, kind: PgType) -> str:
    """Write the list of _in. Two kinds of columns fail in the database, as they do with Hasura."""
    if kind.element:
        return f"NULL::{kind.element.sql}[]"
    if kind.name == "jsonb":
        parts = operand if isinstance(operand, list) else [operand]
        unquoted = [replace(part, scalar=replace(part.scalar, encode=_unquoted)) for part in parts]
        return c.many(unquoted if isinstance(operand, list) else unquoted[0], kind)
    return c.many(operand, kind)


def _unquoted(value: Any, path: str) -> str:
    """Write JSON as an element of a Postgres array literal whose quotes nobody escaped."""
    return encode_json(value, path).replace('"', "")


def number(c: Compiler, value: Any) -> str:
    """Write a limit or an offset: inline when the document holds it, else bound."""
    if value.index is None:
        return str(int(value.value))
    return c.value(value, BIGINT)
