"""Input types of inserts, updates and upserts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.engine.tracking.tracked import TrackedColumn
from sandbox.engine.types import PgType

from .access import Access
from .model import Enum, InputField, InputObject, InputType, Null, Ref, Scalar, listed
from .sources import ColumnIn, RelationIn

if TYPE_CHECKING:
    from .role import RoleSchema

Fields = dict[str, InputField]


def insert_input(schema: RoleSchema, access: Access, name: str) -> InputType:
    def fields() -> Fields:
        found = _column_values(schema, access.insertable)
        for relationship in access.table.relationships.values():
            target = schema.accesses.get(relationship.target)
            if target is not None and target.insert is not None:
                pattern = "{}_arr_rel_insert_input"
                if not relationship.is_array:
                    pattern = "{}_obj_rel_insert_input"
                inner = Ref(schema.input(pattern, target))
                found[relationship.name] = InputField(inner, RelationIn(relationship))
        return found

    text = f'input type for inserting data into table "{access.table.table.name[1]}"'
    return InputObject(name, fields, text)


def relation_insert_input(array: str, schema: RoleSchema, access: Access, name: str) -> InputType:
    """Build the input of related rows; `array` says whether they are many."""

    def fields() -> Fields:
        item = schema.input("{}_insert_input", access)
        ref = listed(item, non_null=True) if array == "array" else Ref(item, non_null=True)
        found = {"data": InputField(ref, None, Null.REFUSED)}
        if access.update is not None and access.constraints:
            conflict = schema.input("{}_on_conflict", access)
            found["on_conflict"] = InputField(Ref(conflict), description="upsert condition")
        return found

    kind = "array" if array == "array" else "object"
    label = access.table.table.name[1]
    text = f'input type for inserting {kind} relation for remote table "{label}"'
    return InputObject(name, fields, text)


def set_input(schema: RoleSchema, access: Access, name: str) -> InputType:
    def fields() -> Fields:
        return _column_values(schema, access.updatable)

    text = f'input type for updating data in table "{access.table.table.name[1]}"'
    return InputObject(name, fields, text)


def _column_values(schema: RoleSchema, columns: list[TrackedColumn]) -> Fields:
    return {
        column.graphql: InputField(
            schema.column_ref(column), ColumnIn(column), Null.VALUE, column.comment
        )
        for column in columns
    }


def inc_input(schema: RoleSchema, access: Access, name: str) -> InputType:
    def fields() -> Fields:
        numeric = [column for column in access.updatable if column.type.is_numeric]
        return _column_values(schema, numeric)

    text = f'input type for incrementing numeric columns in table "{access.table.table.name[1]}"'
    return InputObject(name, fields, text)


def jsonb_input(scalar: PgType, schema: RoleSchema, access: Access, name: str) -> InputType:
    """Build an input over the jsonb columns, whose values have the given type."""

    def fields() -> Fields:
        item: Scalar = schema.scalar(scalar)
        ref = listed(item) if name.endswith("_delete_at_path_input") else Ref(item)
        return {
            column.graphql: InputField(ref, ColumnIn(column), Null.VALUE, column.comment)
            for column in access.updatable
            if column.type.name == "jsonb"
        }

    return InputObject(name, fields)


def pk_columns_input(schema: RoleSchema, access: Access, name: str) -> InputType:
    def fields() -> Fields:
        return {
            column.graphql: InputField(
                Ref(schema.column_ref(column).of, non_null=True), ColumnIn(column), Null.REFUSED
            )
            for column in access.primary_key
        }

    text = f"primary key columns input for table: {access.table.table.name[1]}"
    return InputObject(name, fields, text)


def updates(schema: RoleSchema, access: Access, name: str) -> InputType:
    def fields() -> Fields:
        where = schema.input("{}_bool_exp", access)
        found = {"where": InputField(Ref(where, non_null=True), None, Null.REFUSED)}
        return found | schema.update_operators(access)

    return InputObject(name, fields)


def on_conflict(schema: RoleSchema, access: Access, name: str) -> InputType:
    def fields() -> Fields:
        columns = schema.input("{}_update_column", access)
        return {
            "constraint": InputField(
                Ref(schema.input("{}_constraint", access), non_null=True), None, Null.REFUSED
            ),
            "update_columns": InputField(listed(columns, non_null=True), default=[]),
            "where": InputField(Ref(schema.input("{}_bool_exp", access))),
        }

    text = f'on_conflict condition type for table "{access.table.table.name[1]}"'
    return InputObject(name, fields, text)


def constraint(_schema: RoleSchema, access: Access, name: str) -> InputType:
    table = access.table.table
    names: dict[str, str | None] = {}
    for key, columns in access.constraints.items():
        quoted = ", ".join(f'"{column}"' for column in columns)
        names[key] = f"unique or primary key constraint on columns {quoted}"
    return Enum(name, names, f'unique or primary key constraints on table "{table.name[1]}"')


def update_column(_schema: RoleSchema, access: Access, name: str) -> InputType:
    names: dict[str, str | None] = {column.graphql: "column name" for column in access.updatable}
    if not names:
        names = {"_PLACEHOLDER": "placeholder (do not use)"}
    return Enum(name, names, f'update columns of table "{access.table.table.name[1]}"')
