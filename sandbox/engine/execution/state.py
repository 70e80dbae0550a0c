"""All that follows from the metadata and the catalog; a reload replaces it as a whole."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import asyncpg
from graphql import GraphQLSchema

from sandbox.engine import metadata
from sandbox.engine.compile.sql import ident
from sandbox.engine.schema.actions import ActionTypes
from sandbox.engine.schema.introspection import graphql_schema
from sandbox.engine.schema.role import Options, RoleSchema
from sandbox.engine.settings import Settings
from sandbox.engine.tracking import catalog
from sandbox.engine.tracking.join import track
from sandbox.engine.tracking.permissions import Permissions
from sandbox.engine.tracking.tracked import Tracked
from sandbox.engine.types import GRAPHQL_NAME

from .plan import Plans

DESCRIPTIONS_MAX = 50
DESCRIPTIONS_LENGTH_MAX = 32_000_000  # characters


class Descriptions:
    """The latest answers to introspections: a whole schema is costly to describe."""

    def __init__(self) -> None:
        self.kept: OrderedDict[Hashable, str] = OrderedDict()
        self.length = 0

    def get(self, key: Hashable) -> str | None:
        return self.kept.get(key)

    def keep(self, key: Hashable, text: str) -> None:
        self.length += len(text) - len(self.kept.pop(key, ""))
        self.kept[key] = text
        while self.length > DESCRIPTIONS_LENGTH_MAX or len(self.kept) > DESCRIPTIONS_MAX:
            self.length -= len(self.kept.popitem(last=False)[1])


class State:
    """Schemas of roles are built when a role first asks."""

    def __init__(self, document: dict[str, Any], tracked: Tracked, settings: Settings) -> None:
        self.document = document
        self.tracked = tracked
        self.permissions = Permissions(tracked, document.get("inherited_roles") or [])
        self.actions = ActionTypes(
            document.get("actions") or [],
            document.get("custom_types") or {},
            tracked,
            settings.environ,
        )
        hidden = (document.get("graphql_schema_introspection") or {}).get("disabled_for_roles")
        self.options = Options(
            settings.infer_functions,
            settings.stringify,
            frozenset(hidden or ()),
            settings.bounds.rows,
            settings.bounds.joins,
        )
        self.plans = Plans(settings.bounds)
        self.roles = self.permissions.roles() | self.actions.roles()
        self.descriptions = Descriptions()
        self._schemas: dict[tuple[str, bool], RoleSchema] = {}
        self._introspection: dict[RoleSchema, GraphQLSchema] = {}

    def schema(self, role: str, *, backend: bool = False) -> RoleSchema:
        # Roles that nothing names share one empty schema, so that made-up names cost no memory.
        key = (role if role in self.roles else "", backend)
        found = self._schemas.get(key)
        if found is None:
            found = RoleSchema(
                self.tracked,
                self.permissions,
                self.actions,
                role,
                backend=backend,
                options=self.options,
            )
            self._schemas[key] = found
        return found

    def introspection(self, schema: RoleSchema) -> GraphQLSchema:
        found = self._introspection.get(schema)
        if found is None:
            found = graphql_schema(schema)
            self._introspection[schema] = found
        return found


def read(settings: Settings) -> dict[str, Any]:
    return metadata.load(Path(settings.metadata))


async def build(pool: asyncpg.Pool, document: dict[str, Any], settings: Settings) -> State:
    async with pool.acquire() as connection:
        return await build_on(connection, document, settings)


async def build_on(connection: Any, document: dict[str, Any], settings: Settings) -> State:
    """Build from what this connection sees, the changes of its open transaction included."""
    found = await catalog.read(connection)
    tracked = track(document.get("sources") or [], found)
    await _read_enums(connection, tracked)
    return State(document, tracked, settings)


async def _read_enums(connection: Any, tracked: Tracked) -> None:
    """Enum tables: the key column holds the values, the other text column their comments."""
    for table in tracked.tables.values():
        if table.enum_values is None:
            continue
        names = [*table.table.primary_key]
        names += [name for name in table.table.columns if name not in names][:1]
        schema, name = table.name
        listed = ", ".join(f"{ident(column)}::text" for column in names)
        sql = f"SELECT {listed} FROM {ident(schema)}.{ident(name)} ORDER BY 1"  # noqa: S608 -- names of the catalog, quoted
        try:
            rows = await connection.fetch(sql)
        except asyncpg.PostgresError as error:
            reason = f"the values of the enum table cannot be read: {error}"
            tracked.refuse("table", f"table {name}", reason, table.metadata)
            continue
        values = [(row[0], row[1] if len(names) > 1 else None) for row in rows]
        table.enum_values = [pair for pair in values if GRAPHQL_NAME.match(pair[0])]
        bad = ", ".join(f'"{value}"' for value, _ in values if not GRAPHQL_NAME.match(value))
        if bad:
            reason = f"the values {bad} of the enum table are no valid GraphQL names"
            tracked.refuse("table", f"table {name}", reason, table.metadata)
