"""Object types of a table: its rows, its aggregates, what a mutation of it answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from sandbox.engine.tracking.tracked import ComputedField, Relationship
from sandbox.engine.types import FLOAT, INTEGER, TEXT

from .access import Access
from .inputs import AGGREGATES, aggregated
from .model import Field, InputField, ObjectType, Ref, listed
from .sources import (
    AggregateOperation,
    AggregatePart,
    ColumnOut,
    ComputedOut,
    Count,
    MutationPart,
    RelationOut,
)

if TYPE_CHECKING:
    from .role import RoleSchema

Build = Callable[["RoleSchema", Access, str], ObjectType]
Fields = dict[str, Field]


def row_arguments(schema: RoleSchema, access: Access) -> dict[str, InputField]:
    """Return the arguments of every field that lists rows."""
    integer = schema.limit
    found = {
        "distinct_on": InputField(
            listed(schema.input("{}_select_column", access)),
            description="distinct select on columns",
        ),
        "limit": InputField(Ref(integer), description="limit the number of rows returned"),
        "offset": InputField(
            Ref(schema.offset),
            description="skip the first n rows. Use only with order_by",
        ),
        "order_by": InputField(
            listed(schema.input("{}_order_by", access)),
            description="sort the rows by one or more columns",
        ),
        "where": InputField(
            Ref(schema.input("{}_bool_exp", access)), description="filter the rows returned"
        ),
    }
    if not access.readable:
        del found["distinct_on"]
    return found


def row_type(schema: RoleSchema, access: Access, name: str) -> ObjectType:
    def fields() -> Fields:
        found: Fields = {}
        if access.select is None:
            return found
        for column in access.readable:
            args = {}
            if column.type.name in ("json", "jsonb"):
                args["path"] = InputField(Ref(schema.text), description="JSON select path")
            source = ColumnOut(column, access.select.columns[column.name])
            ref = schema.column_ref(
                column, non_null=column.column.not_null and not source.condition
            )
            found[column.graphql] = Field(column.graphql, ref, source, args, column.comment or None)
        for relationship in access.table.relationships.values():
            _relationship(schema, relationship, found)
        for computed in access.table.computed.values():
            _computed(schema, access, computed, found)
        return found

    default = f'columns and relationships of "{access.table.table.name[1]}"'
    comment = access.table.comment
    return ObjectType(name, fields, default if comment is None else comment or None)


def _relationship(schema: RoleSchema, relationship: Relationship, found: Fields) -> None:
    target = schema.readable(relationship.target)
    if target is None:
        return
    name = relationship.name
    row = schema.object("{}", target)
    if not relationship.is_array:
        ref = Ref(row, relationship.not_null)
        text = relationship.comment or "An object relationship"
        found[name] = Field(name, ref, RelationOut(relationship), {}, text)
        return
    args = row_arguments(schema, target)
    text = relationship.comment or "An array relationship"
    found[name] = Field(name, listed(row, non_null=True), RelationOut(relationship), args, text)
    if target.aggregates:
        ref = Ref(schema.object("{}_aggregate", target), non_null=True)
        source = RelationOut(relationship, aggregate=True)
        label = f"{name}_aggregate"
        found[label] = Field(label, ref, source, args, "An aggregate relationship")


def _computed(schema: RoleSchema, access: Access, computed: ComputedField, found: Fields) -> None:
    if access.select is None or computed.name not in access.select.computed:
        return
    args: dict[str, InputField] = {}
    if computed.visible_arguments():
        name = access.table.type_name(f"{computed.function.name[1]}_{{}}_args")
        hidden = {computed.table_argument, computed.session_argument or ""}
        args["args"] = schema.function_arguments(name, computed.function, hidden)
    default = f'A computed field, executes function "{computed.function.name[1]}"'
    text = default if computed.comment is None else computed.comment or None
    source = ComputedOut(computed, access.select.computed[computed.name])
    if computed.target is None:
        kind = computed.function.type or TEXT
        item = Ref(schema.scalar(kind))
        ref = Ref(Ref(item.of, non_null=True)) if kind.element else item
        found[computed.name] = Field(computed.name, ref, source, args, text)
        return
    target = schema.readable(computed.target)
    if target is None:
        return
    row = schema.object("{}", target)
    if not computed.function.returns_set:
        found[computed.name] = Field(computed.name, Ref(row), source, args, text)
        return
    args |= row_arguments(schema, target)
    found[computed.name] = Field(computed.name, listed(row), source, args, text)


def aggregate(schema: RoleSchema, access: Access, name: str) -> ObjectType:
    def fields() -> Fields:
        inner = Ref(schema.object("{}_aggregate_fields", access))
        nodes = listed(schema.object("{}", access), non_null=True)
        return {
            "aggregate": Field("aggregate", inner, AggregatePart(access, nodes=False)),
            "nodes": Field("nodes", nodes, AggregatePart(access, nodes=True)),
        }

    return ObjectType(name, fields, f'aggregated selection of "{access.table.table.name[1]}"')


def aggregate_fields(schema: RoleSchema, access: Access, name: str) -> ObjectType:
    def fields() -> Fields:
        args = {"distinct": InputField(Ref(schema.boolean))}
        if access.readable:
            args["columns"] = InputField(listed(schema.input("{}_select_column", access)))
        count = Ref(schema.scalar(INTEGER), non_null=True)
        found = {"count": Field("count", count, Count(), args)}
        for function in AGGREGATES:
            if aggregated(access.readable, function):
                inner = Ref(schema.object(f"{{}}_{function}_fields", access))
                found[function] = Field(function, inner, AggregateOperation(function))
        return found

    return ObjectType(name, fields, f'aggregate fields of "{access.table.table.name[1]}"')


def operation_fields(function: str, schema: RoleSchema, access: Access, name: str) -> ObjectType:
    def fields() -> Fields:
        found = {}
        for column in aggregated(access.readable, function):
            kind = column.type if function in ("max", "min", "sum") else FLOAT
            source = ColumnOut(column, None)
            ref = Ref(schema.scalar(kind))
            found[column.graphql] = Field(column.graphql, ref, source, {}, column.comment or None)
        return found

    return ObjectType(name, fields, f"aggregate {function} on columns")


def mutation_response(schema: RoleSchema, access: Access, name: str) -> ObjectType:
    def fields() -> Fields:
        found = {
            "affected_rows": Field(
                "affected_rows",
                Ref(schema.scalar(INTEGER), non_null=True),
                MutationPart(access, returning=False),
                description="number of rows affected by the mutation",
            )
        }
        if access.select is not None:
            found["returning"] = Field(
                "returning",
                listed(schema.object("{}", access), non_null=True),
                MutationPart(access, returning=True),
                description="data from the rows affected by the mutation",
            )
        return found

    text = f'response of any mutation on the table "{access.table.table.name[1]}"'
    return ObjectType(name, fields, text)


OBJECTS: dict[str, Build] = {
    "{}": row_type,
    "{}_aggregate": aggregate,
    "{}_aggregate_fields": aggregate_fields,
    "{}_mutation_response": mutation_response,
    **{f"{{}}_{name}_fields": partial(operation_fields, name) for name in AGGREGATES},
}
