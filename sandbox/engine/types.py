"""Postgres types as GraphQL sees them, and the one table of comparison operators."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from . import values

GRAPHQL_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*\Z")

# Postgres names that read differently in GraphQL; every other type keeps its name.
GRAPHQL_NAMES = {
    "int4": "Int",
    "int2": "smallint",
    "int8": "bigint",
    "float4": "Float",
    "bool": "Boolean",
    "text": "String",
    "varchar": "String",
}
STRINGIFIED = frozenset({"int8", "numeric", "float8"})
NUMERIC = frozenset({"int2", "int4", "int8", "float4", "float8", "numeric", "money"})
STRINGS = frozenset({"text", "varchar", "citext", "bpchar", "name"})
LIKE_TYPES = frozenset({"text", "varchar", "citext", "bpchar"})
# What min and max take. Hasura knows these types by name and offers nothing for any other.
COMPARABLE = NUMERIC | LIKE_TYPES | {"date", "timestamp", "timestamptz", "timetz", "uuid", "ltree"}


@dataclass(frozen=True, slots=True)
class PgType:
    """A type a column or an argument has; `sql` is how a cast names it."""

    name: str
    sql: str
    is_enum: bool = False
    element: PgType | None = None

    @property
    def graphql(self) -> str:
        return GRAPHQL_NAMES.get(self.name, self.name)

    @property
    def encoder(self) -> values.Encoder:
        if self.element:
            return values.array_encoder(self.element.encoder)
        return values.ENCODERS.get(self.name, values.encode_other)

    @property
    def is_numeric(self) -> bool:
        return self.name in NUMERIC

    @property
    def is_comparable(self) -> bool:
        return self.element is None and (self.is_enum or self.name in COMPARABLE)


TEXT = PgType("text", "text")
INTEGER = PgType("int4", "integer")
BIGINT = PgType("int8", "bigint")
BOOLEAN = PgType("bool", "boolean")
FLOAT = PgType("float4", "real")
JSON = PgType("json", "json")
JSONB = PgType("jsonb", "jsonb")


class Operand(Enum):
    """What stands on the right of an operator."""

    SAME = "a value of the column's type"
    MANY = "a list of values of the column's type"
    TEXT = "text"
    TEXTS = "a list of texts"
    TRUTH = "a boolean that chooses the SQL"
    CAST = "comparisons of the column cast to another type"


@dataclass(frozen=True, slots=True)
class Operator:
    """One comparison. `sql` has {0} for the column and {1} for the operand.

    `types` names the Postgres types that have it: none means every scalar.
    """

    sql: str
    operand: Operand = Operand.SAME
    types: frozenset[str] | None = None


_JSONB = frozenset({"jsonb"})

OPERATORS: dict[str, Operator] = {
    "_eq": Operator("{0} = {1}"),
    "_neq": Operator("{0} <> {1}"),
    "_gt": Operator("{0} > {1}"),
    "_gte": Operator("{0} >= {1}"),
    "_lt": Operator("{0} < {1}"),
    "_lte": Operator("{0} <= {1}"),
    "_in": Operator("{0} = ANY({1})", Operand.MANY),
    "_nin": Operator("{0} <> ALL({1})", Operand.MANY),
    "_is_null": Operator("({0} IS NULL) = {1}", Operand.TRUTH),
    "_like": Operator("{0} LIKE {1}", Operand.TEXT, LIKE_TYPES),
    "_nlike": Operator("{0} NOT LIKE {1}", Operand.TEXT, LIKE_TYPES),
    "_ilike": Operator("{0} ILIKE {1}", Operand.TEXT, LIKE_TYPES),
    "_nilike": Operator("{0} NOT ILIKE {1}", Operand.TEXT, LIKE_TYPES),
    "_similar": Operator("{0} SIMILAR TO {1}", Operand.TEXT, LIKE_TYPES),
    "_nsimilar": Operator("{0} NOT SIMILAR TO {1}", Operand.TEXT, LIKE_TYPES),
    "_regex": Operator("{0} ~ {1}", Operand.TEXT, LIKE_TYPES),
    "_nregex": Operator("{0} !~ {1}", Operand.TEXT, LIKE_TYPES),
    "_iregex": Operator("{0} ~* {1}", Operand.TEXT, LIKE_TYPES),
    "_niregex": Operator("{0} !~* {1}", Operand.TEXT, LIKE_TYPES),
    "_contains": Operator("{0} @> {1}", Operand.SAME, _JSONB),
    "_contained_in": Operator("{0} <@ {1}", Operand.SAME, _JSONB),
    "_has_key": Operator("{0} ? {1}", Operand.TEXT, _JSONB),
    "_has_keys_any": Operator("{0} ?| {1}", Operand.TEXTS, _JSONB),
    "_has_keys_all": Operator("{0} ?& {1}", Operand.TEXTS, _JSONB),
    "_cast": Operator("{0}", Operand.CAST, _JSONB),
}
DESCRIPTIONS = {
    "_like": "does the column match the given pattern",
    "_nlike": "does the column NOT match the given pattern",
    "_ilike": "does the column match the given case-insensitive pattern",
    "_nilike": "does the column NOT match the given case-insensitive pattern",
    "_similar": "does the column match the given SQL regular expression",
    "_nsimilar": "does the column NOT match the given SQL regular expression",
    "_regex": "does the column match the given POSIX regular expression, case sensitive",
    "_nregex": "does the column NOT match the given POSIX regular expression, case sensitive",
    "_iregex": "does the column match the given POSIX regular expression, case insensitive",
    "_niregex": "does the column NOT match the given POSIX regular expression, case insensitive",
    "_contains": "does the column contain the given json value at the top level",
    "_contained_in": "is the column contained in the given json value",
    "_has_key": "does the string exist as a top-level key in the column",
    "_has_keys_any": "do any of these strings exist as top-level keys in the column",
    "_has_keys_all": "do all of these strings exist as top-level keys in the column",
}
ENUM_TABLE_OPERATORS = ("_eq", "_neq", "_in", "_nin", "_is_null")
ARRAY_ONLY = frozenset({"_contains", "_contained_in"})


def operators_of(kind: PgType, *, enum_table: bool = False) -> dict[str, Operator]:
    """Return the operators a column of this type offers in a GraphQL where."""
    if enum_table:
        return {name: OPERATORS[name] for name in ENUM_TABLE_OPERATORS}
    if kind.element:
        return {
            name: operator
            for name, operator in OPERATORS.items()
            if operator.types is None or name in ARRAY_ONLY
        }
    return {
        name: operator
        for name, operator in OPERATORS.items()
        if operator.types is None or kind.name in operator.types
    }
