"""One role's schema: types by name, built when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, cast

from sandbox.engine.session import ADMIN
from sandbox.engine.tracking.catalog import Function, Name
from sandbox.engine.tracking.naming import Naming
from sandbox.engine.tracking.permissions import Permissions, SelectPermission
from sandbox.engine.tracking.tracked import ComputedField, Tracked, TrackedColumn, TrackedTable
from sandbox.engine.types import BIGINT, BOOLEAN, GRAPHQL_NAME, INTEGER, JSON, JSONB, TEXT, PgType

from . import builtin
from .access import Access
from .actions import ActionTypes
from .descriptions import NO_QUERIES, ORDERINGS, UPDATE_OPERATORS
from .inputs import INPUTS, comparison_fields
from .model import (
    AnyType,
    Enum,
    Field,
    InputField,
    InputObject,
    Null,
    ObjectType,
    Ref,
    Scalar,
)
from .roots import (
    function_fields,
    in_namespaces,
    mutation_fields,
    query_fields,
    subscription_fields,
)
from .tables import OBJECTS

FieldsOf = Callable[["RoleSchema", Access], dict[str, Field]]


@dataclass(frozen=True, slots=True)
class Options:
    """Settings that change what a schema holds, and what may be asked of it."""

    infer_functions: bool = True
    stringify: bool = False
    unintrospected: frozenset[str] = frozenset()
    row_limit: int = 0  # none
    joins: int = 50


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
        self.of_tables: dict[tuple[str, Name], AnyType] = {}
        self.scalars: dict[str, Scalar] = {}
        self.text = Scalar("String", TEXT, builtin.text)
        self.boolean = Scalar("Boolean", BOOLEAN, builtin.boolean, chooses=True)
        self.limit = Scalar("Int", INTEGER, builtin.limit)
        self.offset = Scalar("Int", BIGINT, builtin.offset)
        self.ordering = Enum("order_by", dict(ORDERINGS), "column ordering options")
        self.accesses = {name: self._access(name) for name in tracked.tables}

    def _access(self, name: Name) -> Access:
        table = self.tracked.tables[name]
        writes = {kind: self._write(name, kind) for kind in ("insert", "update", "delete")}
        return Access(table, self._select(table), **writes)

    def _select(self, table: TrackedTable) -> SelectPermission | None:
        """Return what may be read; the engine's row limit holds as if the metadata named it."""
        found, most = self.permissions.select(table, self.role), self.options.row_limit
        if found is None or not most or self.role == ADMIN:
            return found
        return replace(found, limit=min(most, most if found.limit is None else found.limit))

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
        found = self._spaced(query_fields, "_query")
        found |= self.actions.fields(self, "query")
        if not found:
            name = "no_queries_available"
            found[name] = Field(name, Ref(self.text, non_null=True), None, {}, NO_QUERIES)
        return found

    @cached_property
    def subscription(self) -> ObjectType | None:
        """Return what may be watched; nothing at all when the role may read nothing."""
        found = self._spaced(subscription_fields, "_subscription")
        found |= self.actions.fields(self, "subscription")
        return ObjectType("subscription_root", lambda: found) if found else None

    @cached_property
    def mutation(self) -> ObjectType | None:
        """Return the mutations; none at all when the role may change nothing."""
        found = self._spaced(mutation_fields, "_mutation_frontend")
        found |= self.actions.fields(self, "mutation")
        return ObjectType("mutation_root", lambda: found) if found else None

    def _spaced(self, fields_of: FieldsOf, suffix: str) -> dict[str, Field]:
        """Return the fields of all tables and functions, those of a namespace below its field."""
        by_naming: dict[Naming, dict[str, Field]] = {}
        for access in self.accesses.values():
            by_naming.setdefault(access.table.naming, {}).update(fields_of(self, access))
        mutations = fields_of is mutation_fields
        for naming in {function.naming: None for function in self.tracked.functions}:
            fields = self._functions(naming, mutations=mutations)
            by_naming.setdefault(naming, {}).update(fields)
        return in_namespaces(by_naming, suffix)

    def _functions(self, naming: Naming, *, mutations: bool) -> dict[str, Field]:
        found: dict[str, Field] = {}
        for function in (item for item in self.tracked.functions if item.naming == naming):
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
            for pattern in INPUTS:
                found[access.table.type_name(pattern)] = partial(self.input, pattern, access)
            for pattern in OBJECTS:
                found[access.table.type_name(pattern)] = partial(self.object, pattern, access)
            for column in access.readable:
                found.setdefault(self._comparison_name(column), partial(self.comparison, column))
        return found

    def known(self, name: str) -> AnyType | None:
        """Return the type a document names, if the role has it and it is not a plain scalar."""
        if name == "order_by":
            return self.ordering
        if name in self.types:
            return self.types[name]
        if name in self.factories:
            return cast("AnyType", self.factories[name]())
        return self.actions.input_type(self, name)

    def input(self, pattern: str, access: Access) -> Any:
        return self._of_table(pattern, access, INPUTS)

    def object(self, pattern: str, access: Access) -> ObjectType:
        return cast("ObjectType", self._of_table(pattern, access, OBJECTS))

    def _of_table(self, pattern: str, access: Access, builders: Mapping[str, Any]) -> AnyType:
        """Build a type once. Tables whose types share a name never share the type itself."""
        key = (pattern, access.table.name)
        if key not in self.of_tables:
            name = access.table.type_name(pattern)
            self.of_tables[key] = builders[pattern](self, access, name)
            self.types.setdefault(name, self.of_tables[key])
        return self.of_tables[key]

    def scalar(self, kind: PgType) -> Scalar:
        """Return the scalar of a type; of an array, the scalar of its elements."""
        item = kind.element or kind
        if item.sql not in self.scalars:
            self.scalars[item.sql] = Scalar(item.graphql, item, item.encoder)
        return self.scalars[item.sql]

    def enum_of(self, name: Name) -> Enum:
        table = self.tracked.tables[name]
        label = table.type_name("{}_enum")
        values: dict[str, str | None] = dict(table.enum_values or [])
        return cast("Enum", self.remember(label, Enum(label, values, None, TEXT)))

    def column_ref(self, column: TrackedColumn, *, non_null: bool = False) -> Ref:
        item = self.enum_of(column.enum) if column.enum else self.scalar(column.type)
        if column.type.element and not column.enum:
            return Ref(Ref(item, non_null=True), non_null)
        return Ref(item, non_null)

    def _comparison_name(self, column: TrackedColumn) -> str:
        if column.enum:
            enum_name = self.tracked.tables[column.enum].type_name("{}_enum")
            return f"{enum_name}_comparison_exp"
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

        visible = [
            item
            for item in function.arguments
            if item.name not in hidden and GRAPHQL_NAME.match(item.name)
        ]
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
