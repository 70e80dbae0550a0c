"""Order, distinct rows and pages."""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from typing import Any

from sandbox.engine.documents.coerce import Fields
from sandbox.engine.errors import invalid
from sandbox.engine.schema.access import Access
from sandbox.engine.schema.sources import ColumnIn, ComputedIn, RelationIn
from sandbox.engine.tracking.tracked import Relationship

from .compiler import Compiler, all_of, joined, table_sql
from .where import column_sql, computed_sql, named_column, number, visible

DIRECTIONS = {
    "asc": "ASC NULLS LAST",
    "asc_nulls_first": "ASC NULLS FIRST",
    "asc_nulls_last": "ASC NULLS LAST",
    "desc": "DESC NULLS FIRST",
    "desc_nulls_first": "DESC NULLS FIRST",
    "desc_nulls_last": "DESC NULLS LAST",
}

Order = tuple[str, str]


def orders(c: Compiler, value: list[Fields] | None, access: Access, alias: str) -> list[Order]:
    """Return the expressions to order by, each with its direction."""
    found: list[Order] = []
    for item in value or []:
        found += _of_object(c, item, access, alias)
    return found


def _of_object(c: Compiler, value: Fields, access: Access, alias: str) -> list[Order]:
    found: list[Order] = []
    for name, item in value.items.items():
        if item is None:
            continue
        source = value.type.fields[name].source
        if isinstance(source, ColumnIn):
            left = column_sql(c, access, alias, source.column.name, source.condition)
            found.append((left, DIRECTIONS[item]))
        elif isinstance(source, ComputedIn):
            found.append((computed_sql(c, source, access, alias), DIRECTIONS[item]))
        elif source.aggregate:
            found += _of_aggregate(c, source.relationship, item, alias)
        else:
            found += _of_relation(c, source, item, alias)
    return found


def _of_relation(c: Compiler, source: RelationIn, value: Fields, alias: str) -> list[Order]:
    target = c.schema.accesses[source.relationship.target]
    inner = c.alias()
    lefts = _of_object(c, value, target, inner)
    if not lefts:
        return []  # before more is bound: Postgres refuses parameters that nothing uses
    where = _where(c, source.relationship, target, alias, inner)
    return [
        (f"(SELECT {left} FROM {table_sql(target)} AS {inner} WHERE {where} LIMIT 1)", direction)
        for left, direction in lefts
    ]


def _where(c: Compiler, relationship: Relationship, target: Access, alias: str, inner: str) -> str:
    return all_of([joined(relationship.mapping, alias, inner), visible(c, target, inner)])


def _of_aggregate(
    c: Compiler, relationship: Relationship, value: Fields, alias: str
) -> list[Order]:
    target = c.schema.accesses[relationship.target]
    found: list[Order] = []
    for function, item in value.items.items():
        columns = [(None, item)] if function == "count" else list(item.items.items())
        for name, direction in columns:
            inner = c.alias()
            where = _where(c, relationship, target, alias, inner)
            column = "*" if name is None else named_column(c, target, inner, name)
            call = (
                f"(SELECT {function}({column}) FROM {table_sql(target)} AS {inner} WHERE {where})"
            )
            found.append((call, DIRECTIONS[direction]))
    return found


def tail(
    c: Compiler, arguments: dict[str, Any], access: Access, alias: str, *, capped: bool
) -> tuple[str, str]:
    """Return DISTINCT ON, and everything after WHERE. `capped` applies the role's row limit."""
    ordering = orders(c, arguments.get("order_by"), access, alias)
    distinct = [
        column_sql(c, access, alias, column.name, condition)
        for column, condition in (
            _distinct(access, name) for name in arguments.get("distinct_on") or []
        )
    ]
    if distinct and ordering:
        leading = [left for left, _ in ordering[: len(distinct)]]
        if set(leading) != set(distinct):
            raise invalid('"distinct_on" columns must match initial "order_by" columns', "args")
    parts = []
    if ordering:
        parts.append("ORDER BY " + ", ".join(f"{left} {way}" for left, way in ordering))
    limit = _limit(c, arguments.get("limit"), access, capped=capped)
    if limit:
        parts.append(f"LIMIT {limit}")
    if arguments.get("offset") is not None:
        parts.append(f"OFFSET {number(c, arguments['offset'])}")
    head = f"DISTINCT ON ({', '.join(distinct)}) " if distinct else ""
    return head, " ".join(parts)


def _distinct(access: Access, name: str) -> Any:
    column = access.table.columns[name]
    return column, access.select.columns[column.name] if access.select else None


def _limit(c: Compiler, value: Any, access: Access, *, capped: bool) -> str | None:
    cap = access.select.limit if capped and access.select else None
    if value is None:
        return None if cap is None else str(cap)
    limit = number(c, value)
    return limit if cap is None else f"least({limit}, {cap})"
