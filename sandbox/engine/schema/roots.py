"""Root fields: what a role may ask of its tables and its functions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sandbox.engine.tracking.naming import Naming
from sandbox.engine.tracking.tracked import Root, TrackedFunction

from .access import Access
from .model import Field, InputField, Namespace, Null, ObjectType, Ref, listed
from .sources import DeleteRoot, FunctionRoot, InsertRoot, SelectRoot, UpdateRoot
from .streams import stream_field
from .tables import row_arguments

if TYPE_CHECKING:
    from .role import RoleSchema

Fields = dict[str, Field]


def described(root: Root, default: str) -> str | None:
    return default if root.comment is None else root.comment or None


def key_arguments(schema: RoleSchema, access: Access) -> dict[str, InputField]:
    return {
        column.graphql: InputField(
            Ref(schema.column_ref(column).of, non_null=True),
            column,
            Null.REFUSED,
            column.comment or None,
        )
        for column in access.primary_key
    }


def query_fields(schema: RoleSchema, access: Access) -> Fields:
    if access.select is None:
        return {}
    found = _select_fields(schema, access)
    return _named(access, {key: item for key, item in found.items() if access.select.allows(key)})


def subscription_fields(schema: RoleSchema, access: Access) -> Fields:
    if access.select is None:
        return {}
    found = _select_fields(schema, access)
    if access.readable:
        found["select_stream"] = stream_field(schema, access)
    allowed = access.select.allows_live
    return _named(access, {key: item for key, item in found.items() if allowed(key)})


def _select_fields(schema: RoleSchema, access: Access) -> Fields:
    roots, found = access.table.roots, {}
    label = access.table.table.name[1]
    row = schema.object("{}", access)
    text = described(roots["select"], f'fetch data from the table: "{label}"')
    args = row_arguments(schema, access)
    found["select"] = Field("", listed(row, non_null=True), SelectRoot(access, "list"), args, text)
    if access.primary_key:
        default = f'fetch data from the table: "{label}" using primary key columns'
        text = described(roots["select_by_pk"], default)
        args = key_arguments(schema, access)
        found["select_by_pk"] = Field("", Ref(row), SelectRoot(access, "by_pk"), args, text)
    if access.aggregates:
        default = f'fetch aggregated fields from the table: "{label}"'
        text = described(roots["select_aggregate"], default)
        ref = Ref(schema.object("{}_aggregate", access), non_null=True)
        args, source = row_arguments(schema, access), SelectRoot(access, "aggregate")
        found["select_aggregate"] = Field("", ref, source, args, text)
    return found


def _named(access: Access, found: Fields) -> Fields:
    """Give the fields the names the metadata chose."""
    return {
        access.table.roots[key].name: Field(
            access.table.roots[key].name, item.ref, item.source, item.args, item.description
        )
        for key, item in found.items()
        if not access.table.roots[key].taken
    }


def mutation_fields(schema: RoleSchema, access: Access) -> Fields:
    found: Fields = {}
    _inserts(schema, access, found)
    _updates(schema, access, found)
    _deletes(schema, access, found)
    return _named(access, found)


def _inserts(schema: RoleSchema, access: Access, found: Fields) -> None:
    if access.insert is None:
        return
    roots, label = access.table.roots, access.table.table.name[1]
    item = schema.input("{}_insert_input", access)
    shared = {}
    if access.update is not None and access.constraints:
        conflict = schema.input("{}_on_conflict", access)
        shared["on_conflict"] = InputField(Ref(conflict), description="upsert condition")
    args = {
        "objects": InputField(
            listed(item, non_null=True), None, Null.REFUSED, "the rows to be inserted"
        )
    }
    response = Ref(schema.object("{}_mutation_response", access))
    text = described(roots["insert"], f'insert data into the table: "{label}"')
    source = InsertRoot(access, one=False)
    found["insert"] = Field("", response, source, args | shared, text)
    if access.select is not None:
        text = described(roots["insert_one"], f'insert a single row into the table: "{label}"')
        args = {
            "object": InputField(
                Ref(item, non_null=True), None, Null.REFUSED, "the row to be inserted"
            )
        }
        row, source = Ref(schema.object("{}", access)), InsertRoot(access, one=True)
        found["insert_one"] = Field("", row, source, args | shared, text)


def _updates(schema: RoleSchema, access: Access, found: Fields) -> None:
    if access.update is None or not (access.updatable or access.update.presets):
        return
    roots, label = access.table.roots, access.table.table.name[1]
    response = Ref(schema.object("{}_mutation_response", access))
    operators = schema.update_operators(access)
    where = InputField(
        Ref(schema.input("{}_bool_exp", access), non_null=True),
        None,
        Null.REFUSED,
        "filter the rows which have to be updated",
    )
    text = described(roots["update"], f'update data of the table: "{label}"')
    args = {"where": where} | operators
    found["update"] = Field("", response, UpdateRoot(access, "where"), args, text)
    if access.primary_key:
        keys = schema.input("{}_pk_columns_input", access)
        args = {"pk_columns": InputField(Ref(keys, non_null=True), None, Null.REFUSED)} | operators
        text = described(roots["update_by_pk"], f'update single row of the table: "{label}"')
        row = Ref(schema.object("{}", access))
        found["update_by_pk"] = Field("", row, UpdateRoot(access, "by_pk"), args, text)
    each = schema.input("{}_updates", access)
    args = {
        "updates": InputField(
            listed(each, non_null=True), None, Null.REFUSED, "updates to execute, in order"
        )
    }
    text = described(roots["update_many"], f'update multiples rows of table: "{label}"')
    source, many = UpdateRoot(access, "many"), Ref(response)
    found["update_many"] = Field("", many, source, args, text)


def _deletes(schema: RoleSchema, access: Access, found: Fields) -> None:
    if access.delete is None:
        return
    roots, label = access.table.roots, access.table.table.name[1]
    where = InputField(
        Ref(schema.input("{}_bool_exp", access), non_null=True),
        None,
        Null.REFUSED,
        "filter the rows which have to be deleted",
    )
    response = Ref(schema.object("{}_mutation_response", access))
    text = described(roots["delete"], f'delete data from the table: "{label}"')
    found["delete"] = Field("", response, DeleteRoot(access, by_pk=False), {"where": where}, text)
    if access.primary_key:
        text = described(roots["delete_by_pk"], f'delete single row from the table: "{label}"')
        args, row = key_arguments(schema, access), Ref(schema.object("{}", access))
        found["delete_by_pk"] = Field("", row, DeleteRoot(access, by_pk=True), args, text)


def function_fields(schema: RoleSchema, access: Access, function: TrackedFunction) -> Fields:
    row = schema.object("{}", access)
    is_set = function.function.returns_set
    args: dict[str, InputField] = {}
    hidden = {function.session_argument or ""}
    if any(item.name not in hidden for item in function.function.arguments):
        name = function.naming.type(f"{function.base}_args")
        args["args"] = schema.function_arguments(name, function.function, hidden)
    rows = row_arguments(schema, access)
    text = f'execute function "{function.function.name[1]}" which returns "{function.table[1]}"'
    name, ref = function.root.name, listed(row, non_null=True) if is_set else Ref(row)
    comment = function.root.comment if function.root.comment is not None else function.comment
    source = FunctionRoot(access, function, aggregate=False)
    found = {name: Field(name, ref, source, args | rows, text if comment is None else comment)}
    if function.root.taken:
        found = {}
    if is_set and access.aggregates and not function.aggregate_root.taken:
        name = function.aggregate_root.name
        text = (
            f'execute function "{function.function.name[1]}" and query aggregates on result '
            f'of table type "{function.table[1]}"'
        )
        ref = Ref(schema.object("{}_aggregate", access), non_null=True)
        source = FunctionRoot(access, function, aggregate=True)
        text_or_comment = described(function.aggregate_root, text)
        found[name] = Field(name, ref, source, args | rows, text_or_comment)
    return found


def in_namespaces(by_naming: dict[Naming, Fields], suffix: str) -> Fields:
    """Return the fields of the root type, those of a source with a namespace below its field."""
    found: Fields = {}
    for naming, fields in by_naming.items():
        if naming.namespace and fields:
            kind = ObjectType(naming.type(naming.namespace + suffix), partial(dict, fields))
            space = Field(naming.namespace, Ref(kind, non_null=True), Namespace())
            found[naming.namespace] = space
        else:
            found |= fields
    return found
