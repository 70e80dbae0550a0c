"""Input types of a table: where, order_by, and what inserts and updates take."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from sandbox.engine.tracking.tracked import ComputedField, TrackedColumn
from sandbox.engine.types import (
    BOOLEAN,
    DESCRIPTIONS,
    INTEGER,
    JSONB,
    TEXT,
    Operand,
    PgType,
    operators_of,
)

from .access import Access
from .model import Enum, InputField, InputObject, InputType, Null, Ref, listed
from .sources import ColumnIn, Comparison, ComputedIn, Logical, Predicate, RelationIn
from .streams import stream_cursor_input, stream_cursor_value_input
from .writes import (
    constraint,
    inc_input,
    insert_input,
    jsonb_input,
    on_conflict,
    pk_columns_input,
    relation_insert_input,
    set_input,
    update_column,
    updates,
)

if TYPE_CHECKING:
    from .role import RoleSchema

Fields = dict[str, InputField]
Build = Callable[["RoleSchema", Access, str], InputType]

NUMERIC_AGGREGATES = (
    "avg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
)
AGGREGATES = (*NUMERIC_AGGREGATES, "max", "min")


def aggregated(columns: Iterable[TrackedColumn], function: str) -> list[TrackedColumn]:
    """Return the columns that an aggregate function takes."""
    if function in ("max", "min"):
        return [column for column in columns if column.type.is_comparable and not column.enum]
    return [column for column in columns if column.type.is_numeric]


def bool_exp(schema: RoleSchema, access: Access, name: str) -> InputType:
    def fields() -> Fields:
        itself = schema.input("{}_bool_exp", access)
        found: Fields = {
            "_and": InputField(listed(itself), Logical("_and"), Null.REFUSED),
            "_or": InputField(listed(itself), Logical("_or"), Null.REFUSED),
            "_not": InputField(Ref(itself), Logical("_not"), Null.REFUSED),
        }
        for column in access.readable:
            condition = access.select.columns[column.name] if access.select else None
            source = ColumnIn(column, condition)
            found[column.graphql] = InputField(Ref(schema.comparison(column)), source)
        for computed in schema.plain_computed(access):
            kind = computed.function.type or TEXT
            source_type = schema.scalar_comparison(kind)
            found[computed.name] = InputField(Ref(source_type), _computed_in(access, computed))
        _relations(schema, access, found)
        return found

    text = (
        f'Boolean expression to filter rows from the table "{access.table.table.name[1]}". '
        "All fields are combined with a logical 'AND'."
    )
    return InputObject(name, fields, text)


def _computed_in(access: Access, computed: ComputedField) -> ComputedIn:
    return ComputedIn(computed, access.select.computed[computed.name] if access.select else None)


def _relations(schema: RoleSchema, access: Access, found: Fields) -> None:
    for relationship in access.table.relationships.values():
        target = schema.readable(relationship.target)
        if target is None:
            continue
        inner = schema.input("{}_bool_exp", target)
        found[relationship.name] = InputField(Ref(inner), RelationIn(relationship))
        if relationship.is_array and target.aggregates:
            exp = schema.input("{}_aggregate_bool_exp", target)
            source = RelationIn(relationship, aggregate=True)
            found[f"{relationship.name}_aggregate"] = InputField(Ref(exp), source)


def comparison_fields(schema: RoleSchema, kind: PgType, item: InputType, *, enum: bool) -> Fields:
    """Return the operators of one comparison type; `item` is what a value of it is."""
    value = listed(item) if kind.element else Ref(item)
    refs = {
        Operand.SAME: value,
        Operand.MANY: Ref(Ref(value.of, non_null=True)),
        Operand.TEXT: Ref(schema.scalar(TEXT)),
        Operand.TEXTS: listed(schema.scalar(TEXT)),
        Operand.TRUTH: Ref(schema.boolean),
    }
    found = {}
    for name, operator in operators_of(kind, enum_table=enum).items():
        ref = Ref(schema.jsonb_cast) if operator.operand is Operand.CAST else refs[operator.operand]
        description = DESCRIPTIONS.get(name)
        found[name] = InputField(ref, Comparison(operator), Null.REFUSED, description)
    return found


def order_by(schema: RoleSchema, access: Access, name: str) -> InputType:
    def fields() -> Fields:
        found = {
            column.graphql: InputField(
                Ref(schema.ordering),
                ColumnIn(column, access.select.columns[column.name] if access.select else None),
            )
            for column in access.readable
        }
        for computed in schema.plain_computed(access):
            ordered = _computed_in(access, computed)
            found[computed.name] = InputField(Ref(schema.ordering), ordered)
        for relationship in access.table.relationships.values():
            target = schema.readable(relationship.target)
            if target and not relationship.is_array:
                inner = schema.input("{}_order_by", target)
                found[relationship.name] = InputField(Ref(inner), RelationIn(relationship))
            elif target and target.aggregates:
                inner = schema.input("{}_aggregate_order_by", target)
                source = RelationIn(relationship, aggregate=True)
                found[f"{relationship.name}_aggregate"] = InputField(Ref(inner), source)
        return found

    text = f'Ordering options when selecting data from "{access.table.table.name[1]}".'
    return InputObject(name, fields, text)


def aggregate_order_by(schema: RoleSchema, access: Access, name: str) -> InputType:
    def fields() -> Fields:
        found = {"count": InputField(Ref(schema.ordering))}
        for function in AGGREGATES:
            if aggregated(access.readable, function):
                inner = schema.input(f"{{}}_{function}_order_by", access)
                found[function] = InputField(Ref(inner))
        return found

    text = f'order by aggregate values of table "{access.table.table.name[1]}"'
    return InputObject(name, fields, text)


def operation_order_by(function: str, schema: RoleSchema, access: Access, name: str) -> InputType:
    def fields() -> Fields:
        return {
            column.graphql: InputField(Ref(schema.ordering), ColumnIn(column))
            for column in aggregated(access.readable, function)
        }

    text = f'order by {function}() on columns of table "{access.table.table.name[1]}"'
    return InputObject(name, fields, text)


def aggregate_bool_exp(schema: RoleSchema, access: Access, name: str) -> InputType:
    def fields() -> Fields:
        inner = schema.input("{}_aggregate_bool_exp_count", access)
        found = {"count": InputField(Ref(inner), Predicate("count", access))}
        if any(column.type.name == "bool" for column in access.readable):
            for function in ("bool_and", "bool_or"):
                inner = schema.input(f"{{}}_aggregate_bool_exp_{function}", access)
                found[function] = InputField(Ref(inner), Predicate(function, access))
        return found

    return InputObject(name, fields)


def predicate(function: str, schema: RoleSchema, access: Access, name: str) -> InputType:
    """Build the arguments of count, bool_and or bool_or inside an aggregate's condition."""

    def fields() -> Fields:
        kind = INTEGER if function == "count" else BOOLEAN
        found = {
            "distinct": InputField(Ref(schema.boolean)),
            "filter": InputField(Ref(schema.input("{}_bool_exp", access))),
            "predicate": InputField(Ref(schema.scalar_comparison(kind), non_null=True)),
        }
        if function == "count" and access.readable:
            columns = schema.input("{}_select_column", access)
            found["arguments"] = InputField(listed(columns))
        elif function != "count":
            pattern = f"{{}}_select_column_{{}}_aggregate_bool_exp_{function}_arguments_columns"
            label = access.table.naming.type(pattern.format(*[access.table.base] * 2))
            names = {
                column.graphql: "column name"
                for column in access.readable
                if column.type.name == "bool"
            }
            argument = schema.remember(label, Enum(label, dict(names)))
            found["arguments"] = InputField(Ref(argument, non_null=True))
        return found

    return InputObject(name, fields)


def select_column(_schema: RoleSchema, access: Access, name: str) -> InputType:
    names: dict[str, str | None] = {column.graphql: "column name" for column in access.readable}
    return Enum(name, names, f'select columns of table "{access.table.table.name[1]}"')


INPUTS: dict[str, Build] = {
    "{}_bool_exp": bool_exp,
    "{}_order_by": order_by,
    "{}_select_column": select_column,
    "{}_aggregate_order_by": aggregate_order_by,
    "{}_stream_cursor_input": stream_cursor_input,
    "{}_stream_cursor_value_input": stream_cursor_value_input,
    "{}_aggregate_bool_exp": aggregate_bool_exp,
    "{}_insert_input": insert_input,
    "{}_obj_rel_insert_input": partial(relation_insert_input, "object"),
    "{}_arr_rel_insert_input": partial(relation_insert_input, "array"),
    "{}_set_input": set_input,
    "{}_inc_input": inc_input,
    "{}_pk_columns_input": pk_columns_input,
    "{}_updates": updates,
    "{}_append_input": partial(jsonb_input, JSONB),
    "{}_prepend_input": partial(jsonb_input, JSONB),
    "{}_delete_key_input": partial(jsonb_input, TEXT),
    "{}_delete_elem_input": partial(jsonb_input, INTEGER),
    "{}_delete_at_path_input": partial(jsonb_input, TEXT),
    "{}_on_conflict": on_conflict,
    "{}_constraint": constraint,
    "{}_update_column": update_column,
    **{f"{{}}_{name}_order_by": partial(operation_order_by, name) for name in AGGREGATES},
    **{
        f"{{}}_aggregate_bool_exp_{name}": partial(predicate, name)
        for name in ("count", "bool_and", "bool_or")
    },
}
