"""What is wrong with an action: it is listed as inconsistent, and not served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLError,
    ListTypeNode,
    NamedTypeNode,
    NonNullTypeNode,
    TypeNode,
    parse_type,
)

from sandbox.engine.metadata import MetadataError, expand, headers
from sandbox.engine.tracking.tracked import Tracked, dotted, name_of
from sandbox.engine.transforms import TransformError, Transforms
from sandbox.engine.types import GRAPHQL_NAMES

from . import builtin

RESERVED = "HASURA_GRAPHQL_"  # how the names of the engine's own variables start

Types = Mapping[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class CustomTypes:
    """The metadata's own types by name."""

    objects: Types
    inputs: Types
    enums: Types
    scalars: Types

    @classmethod
    def read(cls, custom: Mapping[str, Any]) -> CustomTypes:
        kinds = ("objects", "input_objects", "enums", "scalars")
        return cls(*({item["name"]: item for item in custom.get(kind) or []} for kind in kinds))


@dataclass(frozen=True, slots=True)
class Checks:
    """Looks at actions, in the world that they would be served in."""

    custom: CustomTypes
    tracked: Tracked
    environ: Mapping[str, str]

    def fault(self, definition: dict[str, Any]) -> str | None:
        """Return the first thing that is wrong with a definition."""
        return next(self._faults(definition), None)

    def _faults(self, definition: dict[str, Any]) -> Iterator[str]:
        try:
            output = _named(parse_type(definition.get("output_type") or ""))
        except GraphQLError:
            yield "the type of the action's answer is missing or is not a GraphQL type"
            return
        if output in self.custom.inputs:
            yield f"the input type {output} cannot be the type of an answer"
        yield from self._output(output, set())
        yield from self._inputs(definition.get("arguments") or [], "argument", set())
        yield from self._call(definition)

    def _call(self, definition: dict[str, Any]) -> Iterator[str]:
        for header in definition.get("headers") or []:
            name = str(header.get("value_from_env") or "")
            if name.startswith(RESERVED):
                text = f'environment variables starting with "{RESERVED}" are not allowed '
                yield f"{text}in value_from_env: {name}"
        try:
            expand(definition["handler"], self.environ)
            headers(definition.get("headers"), self.environ)
            Transforms.read(definition)
        except MetadataError as error:
            yield str(error)
        except TransformError as error:
            yield f"request transform validation failed: {error}"

    def _inputs(self, entries: list[dict[str, Any]], what: str, seen: set[str]) -> Iterator[str]:
        for entry in entries:
            name, place = _named(parse_type(entry["type"])), f"the {what} {entry['name']}"
            if name in self.custom.objects:
                yield f"the object type {name} cannot be the type of {place}"
            elif name not in self.custom.inputs:
                yield from self._leaf(name, place)
            elif name not in seen:
                seen.add(name)
                fields = self.custom.inputs[name].get("fields") or []
                yield from self._inputs(fields, f"field of {name},", seen)

    def _output(self, name: str, seen: set[str], place: str = "the answer") -> Iterator[str]:
        if name not in self.custom.objects:
            yield from self._leaf(name, place)
            return
        if name in seen:
            return
        seen.add(name)
        item = self.custom.objects[name]
        fields = {
            entry["name"]: _named(parse_type(entry["type"])) for entry in item.get("fields") or []
        }
        for field, below in fields.items():
            yield from self._output(below, seen, f"the field {field} of {name}")
        for entry in item.get("relationships") or []:
            yield from self._relationship(name, fields, entry)

    def _relationship(
        self, owner: str, fields: Mapping[str, str], entry: dict[str, Any]
    ) -> Iterator[str]:
        place = f"the relationship {entry['name']} of {owner}"
        table = self.tracked.tables.get(name_of(entry["remote_table"]))
        if table is None:
            name = dotted(name_of(entry["remote_table"]))
            yield f'{place}: table "{name}" is not tracked'
            return
        for own, column in entry["field_mapping"].items():
            if own not in fields or fields[own] in self.custom.objects:
                yield f'{place}: the type has no field "{own}" that holds one value'
            if column not in table.table.columns:
                yield f'{place}: column "{column}" does not exist in table "{dotted(table.name)}"'

    def _leaf(self, name: str, place: str) -> Iterator[str]:
        known = (builtin.BY_NAME, self.custom.enums, self.custom.scalars, self.custom.inputs)
        if any(name in names for names in known) or name in self._of_database():
            return
        yield f"{place} has the type {name}, which is not defined"

    def _of_database(self) -> frozenset[str]:
        return frozenset(GRAPHQL_NAMES.get(name, name) for name in self.tracked.types)


def _named(node: TypeNode) -> str:
    while isinstance(node, (ListTypeNode, NonNullTypeNode)):
        node = node.type
    assert isinstance(node, NamedTypeNode)  # noqa: S101  # GraphQL has no fourth kind of type
    return str(node.name.value)
