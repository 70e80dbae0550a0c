"""Draws that several strategies share: operands, patterns and conditions over a world."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis import strategies as st

from .conditions import All, Compare, Counted, Not, Pattern, Related, Session, Some, Together
from .values import JSONB, TEXT, Kind, spellings, tagged
from .worlds import Table, World

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[Any]], Any]

COMPARISONS = ("_eq", "_neq", "_gt", "_gte", "_lt", "_lte")
LIKES = ("_like", "_nlike", "_ilike", "_nilike")
JSON_OPERATORS = ("_eq", "_neq", "_contains", "_contained_in")
# What a pattern is made of, and what that means to Python.
LIKE_PARTS = {"%": ".*", "_": ".", "\\%": "%", "\\\\": r"\\"} | {
    letter: re.escape(letter) for letter in "abA0é'\"\n"
}
SIMILAR_PARTS = LIKE_PARTS | {"(a|b)": "(a|b)", "[ab]": "[ab]", "a*": "a*", "b+": "b+", ".": r"\."}
REGEX_PARTS = {"a": "a", "A": "A", "b*": "b*", ".": ".", "[ab]": "[ab]", "(a|é)": "(a|é)"}
REGEX_PARTS |= {"\\\\": r"\\", "%": "%", "'": "'"}


def pick(draw: Draw, items: Sequence[T]) -> T:
    found: T = draw(st.sampled_from(items))
    return found


def flag(draw: Draw) -> bool:
    return bool(draw(st.booleans()))


def subset(draw: Draw, items: Sequence[T], *, least: int = 0, most: int = 4) -> list[T]:
    if len(items) < least or not items:
        return list(items)
    found: list[T] = draw(
        st.lists(st.sampled_from(items), min_size=least, max_size=most, unique=True)
    )
    return found


def value(draw: Draw, world: World, table: Table, column: str) -> Any:
    """Draw a value for comparison: often one that a row has."""
    kind = table.columns[column].kind
    present = [row[column] for row in world.rows[table.name] if row[column] is not None]
    return draw(st.sampled_from(present) | kind.values if present else kind.values)


def spelled(draw: Draw, drawn: Any, kind: Kind) -> Any:
    return pick(draw, spellings(drawn, kind))


def _pattern(draw: Draw, operator: str) -> Pattern:
    parts = LIKE_PARTS
    if "similar" in operator:
        parts = SIMILAR_PARTS
    elif "regex" in operator:
        parts = REGEX_PARTS
    drawn = draw(st.lists(st.sampled_from(sorted(parts)), max_size=4))
    text, meaning = "".join(drawn), "".join(parts[part] for part in drawn)
    if "regex" in operator and flag(draw):
        return Pattern(f"^{text}$", f"\\A{meaning}\\Z")
    return Pattern(text, meaning)


def operators(kind: Kind) -> tuple[str, ...]:
    if kind is JSONB:
        keys = ("_has_key", "_has_keys_any", "_has_keys_all")
        return (*JSON_OPERATORS, *keys, "_is_null")
    found = (*COMPARISONS, "_in", "_nin", "_is_null")
    if kind is TEXT:
        more = ("_similar", "_nsimilar", "_regex", "_nregex", "_iregex", "_niregex")
        return (*found, *LIKES, *more)
    return found


def _test(
    draw: Draw, world: World, table: Table, column: str, operator: str
) -> tuple[str, Any, Any]:
    """Draw an operator's operand: what it means, and how a client writes it."""
    kind = table.columns[column].kind
    if operator == "_is_null":
        drawn = flag(draw)
        return operator, drawn, drawn
    if operator in ("_in", "_nin"):
        many = [value(draw, world, table, column) for _ in range(pick(draw, (0, 1, 2, 3)))]
        said = [spelled(draw, item, kind) for item in many]
        single = len(said) == 1 and flag(draw)
        return operator, many, said[0] if single else said
    if operator.startswith("_has_key"):
        keys = st.sampled_from(["a", "b", "key one", "é", ""])
        drawn = draw(keys if operator == "_has_key" else st.lists(keys, max_size=2))
        return operator, drawn, drawn
    if operator in (*COMPARISONS, *JSON_OPERATORS):
        drawn = value(draw, world, table, column)
        return operator, drawn, spelled(draw, drawn, kind)
    pattern = _pattern(draw, operator)
    return operator, pattern, pattern.text


def compare(draw: Draw, world: World, table: Table, columns: Sequence[str]) -> Compare:
    column = pick(draw, columns)
    chosen = subset(draw, operators(table.columns[column].kind), least=0, most=2)
    return Compare(column, tuple(_test(draw, world, table, column, op) for op in chosen))


def where(draw: Draw, world: World, role: str, table: Table, depth: int = 2) -> Any:
    """Draw a client's condition, over what the role may read."""
    select = world.grant(role, table.name).select
    columns = select.columns if select else ()
    relations = [
        item for item in table.relationships.values() if world.grant(role, item.target).select
    ]
    shape = pick(draw, ("compare", "compare", "list", "not", "together", "related", "related"))
    if shape == "related" and relations and depth:
        return _related(draw, world, role, pick(draw, relations), depth)
    if shape == "not" and depth:
        return Not(where(draw, world, role, table, depth - 1))
    if shape == "list" and depth:
        parts = [where(draw, world, role, table, depth - 1) for _ in range(pick(draw, (0, 1, 2)))]
        return (All if flag(draw) else Some)(tuple(parts))
    if not columns:
        return None
    if shape == "together":
        return _together(draw, world, table, columns)
    return compare(draw, world, table, columns)


def _related(draw: Draw, world: World, role: str, item: Any, depth: int) -> Any:
    target = world.tables[item.target]
    inner = where(draw, world, role, target, depth - 1)
    select = world.grant(role, item.target).select
    if item.is_array and select and select.aggregations and flag(draw):
        return Counted(item.name, inner, pick(draw, COMPARISONS), draw(st.integers(0, 3)))
    return Related(item.name, inner)


def _together(draw: Draw, world: World, table: Table, columns: Sequence[str]) -> Together:
    chosen = subset(draw, columns, least=1, most=3)
    return Together(tuple(compare(draw, world, table, [name]) for name in chosen))


def permission(draw: Draw, world: World, table: Table, depth: int = 1) -> Any:
    """Draw a permission's condition: over all columns, with session variables."""
    shape = pick(draw, ("compare", "compare", "session", "list", "not", "related"))
    relations = list(table.relationships.values())
    if shape == "related" and relations and depth:
        item = pick(draw, relations)
        return Related(item.name, permission(draw, world, world.tables[item.target], depth - 1))
    if shape == "not" and depth:
        return Not(permission(draw, world, table, depth - 1))
    if shape == "list" and depth:
        parts = [permission(draw, world, table, depth - 1) for _ in range(pick(draw, (1, 2)))]
        return (All if flag(draw) else Some)(tuple(parts))
    names = [name for name, column in table.columns.items() if column.kind is not JSONB]
    if shape == "session":
        column = pick(draw, names)
        variable = Session(f"x-hasura-{table.columns[column].kind.graphql}")
        return Compare(column, ((pick(draw, COMPARISONS), variable, None),))
    return compare(draw, world, table, names)


def number(draw: Draw, highest: int) -> Decimal:
    return Decimal(draw(st.integers(0, highest)))


def preset(draw: Draw, world: World, table: Table, column: str) -> Any:
    """Draw a preset: a session variable or a constant."""
    kind = table.columns[column].kind
    if kind is not JSONB and flag(draw):
        return Session(f"x-hasura-{kind.graphql}")
    return value(draw, world, table, column)


def is_distinct(rows: list[dict[str, Any]], columns: Sequence[str]) -> bool:
    """Tell whether a unique key over the columns holds; a null is equal to nothing."""
    keys = [tuple(tagged(row[name]) for name in columns) for row in rows]
    full = [key for key in keys if None not in key]
    return len(full) == len(set(full))
