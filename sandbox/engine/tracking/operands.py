"""What stands on the right of a comparison in a permission, looked at before anybody asks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sandbox.engine.errors import EngineError
from sandbox.engine.types import OPERATORS, TEXT, Operand, PgType, operators_of

from .tracked import TrackedTable, dotted

WHOLE_TYPES = frozenset({"int2", "int4", "int8"})
WHOLE = re.compile(r"\s*[+-]?[0-9]+\s*")
COLUMN_OPERATORS = frozenset({"_ceq", "_cne", "_cneq", "_cgt", "_cgte", "_clt", "_clte"})


def faults(root: TrackedTable, table: TrackedTable, kind: PgType, value: Any) -> Iterator[str]:
    """Say what is wrong with the comparisons of a column; a bare value means equality.

    `root` is the table that the permission is on, whose columns `["$", name]` means.
    """
    if kind.name == "json":
        yield "a column of type json cannot be compared: it would have to be jsonb"
    elif not isinstance(value, dict):
        yield from _constant(value, kind)
    else:
        for key, operand in value.items():
            name = "_neq" if key[1:] == "ne" else "_" + key[1:]
            if name in COLUMN_OPERATORS:
                yield from _column(root, table, operand)
            elif name not in OPERATORS:
                yield f'"{key}" is not an operator'
            elif name not in operators_of(kind):
                yield f'the operator "{key}" is not for values of type {kind.graphql}'
            else:
                yield from _operand(root, table, kind, (name, operand))


def _operand(
    root: TrackedTable, table: TrackedTable, kind: PgType, given: tuple[str, Any]
) -> Iterator[str]:
    name, value = given
    wanted = OPERATORS[name].operand
    if wanted is Operand.TRUTH:
        if not (isinstance(value, bool) or value in ("true", "false")):
            yield f'"{name}" takes true or false, not {value!r}'
    elif wanted is Operand.CAST:
        if not isinstance(value, dict) or value.keys() - {"String"}:
            yield f'"_cast" takes comparisons of a "String", not {value!r}'
        else:
            yield from faults(root, table, TEXT, value.get("String") or {})
    elif wanted in (Operand.MANY, Operand.TEXTS):
        yield from _list(name, value, kind if wanted is Operand.MANY else TEXT)
    else:
        yield from _constant(value, TEXT if wanted is Operand.TEXT else kind)


def _list(name: str, value: Any, kind: PgType) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _constant(each, kind)
    elif not isinstance(value, str):  # a session variable, or an array as Postgres writes it
        yield f'"{name}" takes a list, not {value!r}'


def _column(root: TrackedTable, table: TrackedTable, operand: Any) -> Iterator[str]:
    match operand:
        case ["$", str(name)]:
            owner = root
        case str(name) | [str(name)]:
            owner = table
        case _:
            yield f"a column's name is expected, not {operand!r}"
            return
    if name not in owner.table.columns:
        yield f'column "{name}" does not exist in table "{dotted(owner.name)}"'


def _constant(value: Any, kind: PgType) -> Iterator[str]:
    if value is None or (isinstance(value, str) and value.lower().startswith("x-hasura-")):
        return
    if kind.name in WHOLE_TYPES and isinstance(value, str) and not WHOLE.fullmatch(value):
        yield f"{value!r} is no value of type {kind.graphql}"
        return
    try:
        kind.encoder(value, "$")
    except EngineError as error:
        yield f"{value!r} is no value of type {kind.graphql}: {error.message}"
