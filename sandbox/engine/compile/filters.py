"""Permission filters and checks: boolean expressions of the metadata, over SQL column names."""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from typing import Any

from sandbox.engine.compile.sql import (
    SessionJson,
    SessionVariable,
    cast,
    constant_sql,
    ident,
    literal,
)
from sandbox.engine.errors import EngineError
from sandbox.engine.tracking.tracked import ComputedField, TrackedTable, name_of
from sandbox.engine.types import OPERATORS, TEXT, Operand, PgType

from .compiler import Compiler, all_of, joined

COLUMN_COMPARISONS = {
    "_ceq": "=",
    "_cne": "<>",
    "_cneq": "<>",
    "_cgt": ">",
    "_cgte": ">=",
    "_clt": "<",
    "_clte": "<=",
}


class Scope:
    """A table under an alias; `root` is the scope of the table that the permission is on."""

    def __init__(self, table: TrackedTable, alias: str, root: Scope | None = None) -> None:
        self.table = table
        self.alias = alias
        self.root = root or self


def permit(c: Compiler, expression: Any, table: TrackedTable, alias: str) -> str:
    """Return the SQL condition of a permission's filter for rows of the table."""
    return _boolean(c, expression or {}, Scope(table, alias))


def _boolean(c: Compiler, expression: dict[str, Any], scope: Scope) -> str:
    return all_of([_one(c, key, value, scope) for key, value in expression.items()])


def _one(c: Compiler, key: str, value: Any, scope: Scope) -> str:
    name = "_" + key[1:] if key.startswith("$") else key
    if name in ("_and", "_or"):
        parts = [_boolean(c, item, scope) for item in value]
        if name == "_and":
            return all_of(parts)
        return " OR ".join(f"({part})" for part in parts) or "FALSE"
    if name == "_not":
        return f"NOT ({_boolean(c, value, scope)})"
    if name == "_exists":
        return _exists(c, value, scope)
    return _named(c, key, value, scope)


def _exists(c: Compiler, value: dict[str, Any], scope: Scope) -> str:
    other = c.schema.tracked.tables.get(name_of(value["_table"]))
    if other is None:
        return "FALSE"
    c.join()
    alias = c.alias()
    inner = _boolean(c, value.get("_where") or {}, Scope(other, alias, scope.root))
    schema, name = other.name
    return f"EXISTS (SELECT 1 FROM {ident(schema)}.{ident(name)} AS {alias} WHERE {inner})"


def _named(c: Compiler, key: str, value: Any, scope: Scope) -> str:
    column = scope.table.table.columns.get(key)
    if column is not None:
        return _comparisons(c, f"{scope.alias}.{ident(key)}", column.type, value, scope)
    if key in scope.table.relationships:
        return _related(c, key, value, scope)
    if key in scope.table.computed:
        computed = scope.table.computed[key]
        kind = computed.function.type or TEXT
        return _comparisons(c, computed_call(c, computed, scope.alias), kind, value, scope)
    raise EngineError("unexpected", f'"{key}" in a permission is not a column or a relationship')


def _related(c: Compiler, key: str, value: dict[str, Any], scope: Scope) -> str:
    relationship = scope.table.relationships[key]
    other = c.schema.tracked.tables[relationship.target]
    c.join()
    alias = c.alias()
    inner = _boolean(c, value, Scope(other, alias, scope.root))
    where = all_of([joined(relationship.mapping, scope.alias, alias), inner])
    schema, name = other.name
    return f"EXISTS (SELECT 1 FROM {ident(schema)}.{ident(name)} AS {alias} WHERE {where})"


def computed_call(c: Compiler, computed: ComputedField, alias: str) -> str:
    """Call a computed field's function on a row, with no argument of the client's."""
    schema, name = computed.function.name
    parts = []
    for argument in computed.function.arguments:
        if argument.name == computed.table_argument:
            parts.append(f"{ident(argument.name)} => {row_of(computed, alias)}")
        elif argument.name == computed.session_argument:
            parts.append(f"{ident(argument.name)} => {session_json(c, argument.type)}")
    return f"{ident(schema)}.{ident(name)}({', '.join(parts)})"


def row_of(computed: ComputedField, alias: str) -> str:
    """Name the whole row, typed as the function expects it."""
    kind = next(
        item.type for item in computed.function.arguments if item.name == computed.table_argument
    )
    return f"ROW({alias}.*)::{kind.sql}"


def session_json(c: Compiler, kind: PgType) -> str:
    return cast(c.statement.bind(SessionJson()), kind)


def _comparisons(c: Compiler, left: str, kind: PgType, value: Any, scope: Scope) -> str:
    """Compare a column; a bare value means equality."""
    if not isinstance(value, dict):
        return _compare(c, left, kind, "_eq", value)
    parts = []
    for key, operand in value.items():
        name = "_" + key[1:] if key.startswith("$") else key
        name = "_neq" if name == "_ne" else name
        if name in COLUMN_COMPARISONS:
            parts.append(f"{left} {COLUMN_COMPARISONS[name]} {_column(operand, scope)}")
        else:
            parts.append(_compare(c, left, kind, name, operand))
    return all_of(parts)


def _column(operand: Any, scope: Scope) -> str:
    """Name another column: of the same table, or of the root table as ["$", name]."""
    if isinstance(operand, list):
        if operand and operand[0] == "$":
            return f"{scope.root.alias}.{ident(operand[1])}"
        return f"{scope.alias}.{ident(operand[0])}"
    return f"{scope.alias}.{ident(operand)}"


def is_session_variable(value: Any) -> bool:
    return isinstance(value, str) and value.lower().startswith("x-hasura-")


def preset(c: Compiler, value: Any, kind: PgType) -> str:
    """Write a constant or a session variable of the metadata as a value of the type."""
    if is_session_variable(value):
        return cast(c.statement.bind(SessionVariable(value.lower())), kind)
    return constant_sql(value, kind)


def _compare(c: Compiler, left: str, kind: PgType, name: str, value: Any) -> str:
    operator = OPERATORS.get(name)
    if operator is None:
        raise EngineError("unexpected", f'"{name}" in a permission is not an operator')
    if operator.operand is Operand.TRUTH:
        return f"{left} IS NULL" if _truth(name, value) else f"{left} IS NOT NULL"
    if operator.operand is Operand.CAST:
        text = value.get("String") or {}
        return all_of([_compare(c, f"({left})::text", TEXT, key, of) for key, of in text.items()])
    if value is None and name in ("_eq", "_neq"):
        return f"{left} IS {'NOT ' if name == '_neq' else ''}NULL"
    if operator.operand in (Operand.MANY, Operand.TEXTS):
        item = kind if operator.operand is Operand.MANY else TEXT
        return operator.sql.format(left, _many(c, value, item))
    return operator.sql.format(
        left, preset(c, value, TEXT if operator.operand is Operand.TEXT else kind)
    )


def _truth(name: str, value: Any) -> bool:
    """Read a constant that chooses the SQL: anything else would let pass the opposite rows."""
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise EngineError("unexpected", f'"{name}" in a permission is neither true nor false')
    return bool(value == "true")


def _many(c: Compiler, value: Any, kind: PgType) -> str:
    """Write a list of constants and session variables, or one variable that holds an array."""
    if is_session_variable(value):
        return f"({c.statement.bind(SessionVariable(value.lower()))})::{kind.sql}[]"
    if isinstance(value, str):
        return f"({literal(value)})::{kind.sql}[]"
    items = ", ".join(preset(c, item, kind) for item in value)
    return f"ARRAY[{items}]::{kind.sql}[]"
