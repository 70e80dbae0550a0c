"""A role's schema for introspection and printing, built with graphql-core when first asked for."""

from __future__ import annotations

from typing import Any

from graphql import (
    DirectiveLocation,
    DocumentNode,
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLDirective,
    GraphQLEnumType,
    GraphQLEnumValue,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    execute_sync,
    lexicographic_sort_schema,
    print_schema,
    specified_directives,
)

from sandbox.engine.errors import EngineError
from sandbox.engine.values import to_json

from .model import AnyType, Enum, Field, InputField, InputObject, ObjectType, Ref, Scalar
from .role import RoleSchema

BUILTIN = {
    item.name: item for item in (GraphQLInt, GraphQLFloat, GraphQLString, GraphQLBoolean, GraphQLID)
}
CACHED = GraphQLDirective(
    "cached",
    [DirectiveLocation.QUERY],
    {
        "ttl": GraphQLArgument(
            GraphQLNonNull(GraphQLInt), default_value=60, description="measured in seconds"
        ),
        "refresh": GraphQLArgument(
            GraphQLNonNull(GraphQLBoolean),
            default_value=False,
            description="refresh the cache entry",
        ),
    },
    description="whether this query should be cached (Hasura Cloud only)",
)
KEPT_DIRECTIVES = ("include", "skip")


def graphql_schema(schema: RoleSchema) -> GraphQLSchema:
    """Build the whole schema, everything sorted by name."""
    builder = _Builder()
    mutation, subscription = schema.mutation, schema.subscription
    directives = [item for item in specified_directives if item.name in KEPT_DIRECTIVES]
    return lexicographic_sort_schema(
        GraphQLSchema(
            query=builder.object(schema.query),
            mutation=builder.object(mutation) if mutation else None,
            subscription=builder.object(subscription) if subscription else None,
            directives=[*directives, CACHED],
            assume_valid=True,  # a name of a table may begin with "__", which GraphQL reserves
        )
    )


def sdl(schema: RoleSchema) -> str:
    """Return a role's schema as GraphQL text."""
    return print_schema(graphql_schema(schema))


def answer(schema: GraphQLSchema, document: DocumentNode, variables: dict[str, Any]) -> str:
    """Run an introspection field alone; return the JSON of its value.

    It has been checked, so whatever is found wrong now is a fault of the engine.
    """
    result = execute_sync(schema, document, variable_values=variables)
    if result.errors or not result.data:
        raise EngineError("unexpected", "internal error", status=500, internal=str(result.errors))
    return to_json(next(iter(result.data.values())))


class _Builder:
    def __init__(self) -> None:
        self.known: dict[str, Any] = dict(BUILTIN)

    def ref(self, ref: Ref) -> Any:
        inner = GraphQLList(self.ref(ref.of)) if isinstance(ref.of, Ref) else self.named(ref.of)
        return GraphQLNonNull(inner) if ref.non_null else inner

    def named(self, kind: AnyType) -> Any:
        if kind.name not in self.known:
            self.known[kind.name] = self._new(kind)
        return self.known[kind.name]

    def _new(self, kind: AnyType) -> Any:
        if isinstance(kind, ObjectType):
            return self.object(kind)
        if isinstance(kind, Scalar):
            return GraphQLScalarType(kind.name, description=kind.description)
        if isinstance(kind, Enum):
            values = {
                name: GraphQLEnumValue(name, description=text) for name, text in kind.values.items()
            }
            return GraphQLEnumType(kind.name, values, description=kind.description)
        return self._input(kind)

    def _input(self, kind: InputObject) -> GraphQLInputObjectType:
        return GraphQLInputObjectType(
            kind.name,
            lambda: {name: self._input_field(item) for name, item in kind.fields.items()},
            description=kind.description,
        )

    def _input_field(self, item: InputField) -> GraphQLInputField:
        default = {} if item.default is None else {"default_value": item.default}
        return GraphQLInputField(self.ref(item.ref), description=item.description, **default)

    def object(self, kind: ObjectType) -> GraphQLObjectType:
        return GraphQLObjectType(
            kind.name,
            lambda: {name: self._field(item) for name, item in kind.fields.items()},
            description=kind.description,
        )

    def _field(self, item: Field) -> GraphQLField:
        args = {
            name: GraphQLArgument(self.ref(arg.ref), description=arg.description)
            for name, arg in item.args.items()
        }
        return GraphQLField(self.ref(item.ref), args, description=item.description)
