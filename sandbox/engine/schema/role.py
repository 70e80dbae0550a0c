"""One role's schema: types by name, built when they are first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, cast

from sandbox.engine.session import ADMIN
from sandbox.engine.tracking.catalog import Function, Name
from sandbox.engine.tracking.permissions import Permissions
from sandbox.engine.tracking.tracked import ComputedField, Tracked, TrackedColumn
from sandbox.engine.types import BIGINT, BOOLEAN, INTEGER, JSON, JSONB, TEXT, PgType
from sandbox.engine.values import encode_text

from . import builtin
from .access import Access
from .actions import ActionTypes
from .inputs import INPUTS, comparison_fields
from .model import AnyType, Enum, Field, InputField, InputObject, Null, ObjectType, Ref, Scalar
from .roots import function_fields, mutation_fields, query_fields
from .tables import OBJECTS

ORDERINGS = {
    "asc": "in ascending order, nulls last",
    "asc_nulls_first": "in ascending order, nulls first",
    "asc_nulls_last": "in ascending order, nulls last",
    "desc": "in descending order, nulls first",
    "desc_nulls_first": "in descending order, nulls first",
    "desc_nulls_last": "in descending order, nulls last",
}
UPDATE_OPERATORS = {
    "_set": "sets the columns of the filtered rows to the given values",
    "_inc": "increments the numeric columns with given value of the filtered values",
    "_append": "append existing jsonb value of filtered columns with new jsonb value",
    "_prepend": "prepend existing jsonb value of filtered columns with new jsonb value",
    "_delete_key": "delete key/value pair or string element. key/value pairs are matched based "
    "on their key value",
    "_delete_elem": "delete the array element with specified index (negative integers count "
    "from the end). throws an error if top level container is not an array",
    "_delete_at_path": "delete the field or element with specified path (for JSON arrays, "
    "negative integers count from the end)",
}


@dataclass(frozen=True, slots=True)
class Options:
    """Settings that change what a schema holds."""

    infer_functions: bool = True
    stringify: bool = False


class RoleSchema:
    """The schema of a role; `backend` adds the fields that only trusted backends may use."""

    def __init__(  # noqa: PLR0913 -- these are the schema's parts, each used by name
        self,
        tracked: Tracked,
        permissions: Permissions,
        actions: ActionTypes,
        role: str,
        *,
        backend: bool,
        options: Options,
    ) -> None:
        self.tracked = tracked
        self.permissions = permissions
        self.actions = actions
        self.role = role
        self.backend = backend or role == ADMIN
        self.options = options
        self.types: dict[str, AnyType] = {}
        self.scalars: dict[str, Scalar] = {}
        self.text = Scalar("String", TEXT, encode_text)
        self.boolean = Scalar("Boolean", BOOLEAN, builtin.boolean)
        self.limit = Scalar("Int", INTEGER, builtin.limit)
        self.offset = Scalar("Int", BIGINT, builtin.offset)
        self.ordering = Enum("order_by", dict(ORDERINGS), "column ordering options")
        self.accesses = {name: self._access(name) for name in tracked.tables}

    def _access(self, name: Name) -> Access:
        table = self.tracked.tables[name]
        writes = {kind: self._write(name, kind) for kind in ("insert", "update", "delete")}
        return Access(table, self.permissions.select(table, self.role), **writes)

    def _write(self, name: Name, kind: str) -> Any:
        permission = self.permissions.write(self.tracked.tables[name], kind, self.role)
        if permission is not None and permission.backend_only and not self.backend:
            return None
        return permission

    def readable(self, name: Name) -> Access | None:
        """Return the table's access if the role may select from it."""
        access = self.accesses.get(name)
        return access if access and access.select else None

    @cached_property
    def query(self) -> ObjectType:
        return ObjectType("query_root", self._query_fields)

    def _query_fields(self) -> dict[str, Field]:
        found: dict[str, Field] = {}
        for access in self.accesses.values():
            found |= query_fields(self, access)
        found |= self._functions(mutations=False)
        found |= self.actions.fields(self, "query")
        if not found:
            name = "no_queries_available"
            text = "There are no queries available to the current role."
            found[name] = Field(name, Ref(self.text, non_null=True), None, {}, text)
        return found

    @cached_property
    def mutation(self) -> ObjectType | None:
        """Return the mutations; none at all when the role may change nothing."""
        found: dict[str, Field] = {}
        for access in self.accesses.values():
            found |= mutation_fields(self, access)
        found |= self._functions(mutations=True)
        found |= self.actions.fields(self, "mutation")
        return ObjectType("mutation_root", lambda: found) if found else None

    def _functions(self, *, mutations: bool) -> dict[str, Field]:
        found: dict[str, Field] = {}
        for function in self.tracked.functions:
            access = self.readable(function.table)
            if access is None or function.is_mutation is not mutations:
                continue
            granted = self.permissions.allowed(function.roles, self.role)
            if granted or (self.options.infer_functions and not mutations):
                found |= function_fields(self, access, function)
        return found

    def remember(self, name: str, kind: Any) -> Any:
        return self.types.setdefault(name, kind)

    @cached_property
    def factories(self) -> dict[str, Any]:
        """How to build each type of each table, by the type's name."""
        found: dict[str, Any] = {}
        for access in self.accesses.values():
            if not access.any:
                continue
            for pattern, build in (INPUTS | OBJECTS).items():
                found[pattern.format(access.table.base)] = partial(build, self, access)
            for column in access.readable:
                found.setdefault(*self._comparison_factory(column))
        return found

    def _comparison_factory(self, column: TrackedColumn) -> tuple[str, Any]:
        return self._comparison_name(column), lambda _name: self.comparison(column)

    def known(self, name: str) -> AnyType | None:
        """Return the type a document names, if the role has it and it is not a plain scalar."""
        if name == "order_by":
            return self.ordering
        if name in self.types:
            return self.types[name]
        if name in self.factories:
            return self.types.setdefault(name, self.factories[name](name))
        return self.actions.input_type(self, name)

    def input(self, pattern: str, access: Access) -> Any:
        name = pattern.format(access.table.base)
        if name not in self.types:
            self.types[name] = INPUTS[pattern](self, access, name)
        return self.types[name]

    def object(self, pattern: str, access: Access) -> ObjectType:
        name = pattern.format(access.table.base)
        if name not in self.types:
            self.types[name] = OBJECTS[pattern](self, access, name)
        return cast("ObjectType", self.types[name])

    def scalar(self, kind: PgType) -> Scalar:
        """Return the scalar of a type; of an array, the scalar of its elements."""
        item = kind.element or kind
        if item.sql not in self.scalars:
            self.scalars[item.sql] = Scalar(item.graphql, item, item.encoder)
        return self.scalars[item.sql]

    def enum_of(self, name: Name) -> Enum:
        table = self.tracked.tables[name]
        label = f"{table.base}_enum"
        values: dict[str, str | None] = dict(table.enum_values or [])
        return cast("Enum", self.remember(label, Enum(label, values, None, TEXT)))

    def column_ref(self, column: TrackedColumn, *, non_null: bool = False) -> Ref:
        item = self.enum_of(column.enum) if column.enum else self.scalar(column.type)
        if column.type.element and not column.enum:
            return Ref(Ref(item, non_null=True), non_null)
        return Ref(item, non_null)

    def _comparison_name(self, column: TrackedColumn) -> str:
        if column.enum:
            return f"{self.tracked.tables[column.enum].base}_enum_comparison_exp"
        suffix = "_array_comparison_exp" if column.type.element else "_comparison_exp"
        return self.scalar(column.type).name + suffix

    def comparison(self, column: TrackedColumn) -> InputObject:
        if not column.enum:
            return self.scalar_comparison(column.type)
        item = self.enum_of(column.enum)
        name = self._comparison_name(column)
        build = partial(comparison_fields, self, column.type, item, enum=True)
        return self._comparison(name, item.name, build)

    def scalar_comparison(self, kind: PgType) -> InputObject:
        item = self.scalar(kind)
        suffix = "_array_comparison_exp" if kind.element else "_comparison_exp"
        build = partial(comparison_fields, self, kind, item, enum=False)
        return self._comparison(item.name + suffix, item.name, build)

    def _comparison(self, name: str, label: str, build: Any) -> InputObject:
        text = (
            f'Boolean expression to compare columns of type "{label}". '
            "All fields are combined with logical 'AND'."
        )
        return cast("InputObject", self.remember(name, InputObject(name, build, text)))

    @cached_property
    def jsonb_cast(self) -> InputObject:
        def fields() -> dict[str, InputField]:
            return {"String": InputField(Ref(self.scalar_comparison(TEXT)), TEXT)}

        return cast(
            "InputObject", self.remember("jsonb_cast_exp", InputObject("jsonb_cast_exp", fields))
        )

    def plain_computed(self, access: Access) -> list[ComputedField]:
        """Return the computed fields that stand for a value without any argument."""
        granted = access.select.computed if access.select else {}
        return [
            computed
            for name, computed in access.table.computed.items()
            if name in granted
            and computed.target is None
            and not computed.visible_arguments()
            and computed.function.type not in (JSON, JSONB)
        ]

    def function_arguments(self, name: str, function: Function, hidden: set[str]) -> InputField:
        """Return the `args` argument: required unless every visible argument has a default."""

        def fields() -> dict[str, InputField]:
            return {
                item.name: InputField(
                    Ref(Ref(self.scalar(item.type), non_null=True))
                    if item.type.element
                    else Ref(self.scalar(item.type)),
                    item,
                    Null.VALUE,
                )
                for item in visible
            }

        visible = [item for item in function.arguments if item.name not in hidden]
        optional = all(item.has_default for item in visible)
        kind = self.remember(name, InputObject(name, fields))
        text = f'input parameters for function "{function.name[1]}"'
        null = Null.ABSENT if optional else Null.REFUSED
        return InputField(Ref(kind, non_null=not optional), None, null, text)

    def update_operators(self, access: Access) -> dict[str, InputField]:
        found = {}
        for name, text in UPDATE_OPERATORS.items():
            kind = self.input(f"{{}}{name}_input", access)
            if kind.fields:
                found[name] = InputField(Ref(kind), None, description=text)
        return found
