"""Joins the metadata with the catalog: tables first, then what refers to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sandbox.engine.types import GRAPHQL_NAME

from . import functions
from .catalog import Catalog, Name, Table
from .consistency import check_permissions, check_roots
from .naming import Naming, asks_for_camel_case, naming_of
from .tracked import (
    PERMISSION_KINDS,
    ROOT_PATTERNS,
    ComputedField,
    Relationship,
    Tracked,
    TrackedColumn,
    TrackedFunction,
    TrackedTable,
    base_name,
    dotted,
    name_of,
    root_of,
)

KINDS = frozenset({"postgres", "pg", "citus"})


def track(sources: Iterable[dict[str, Any]], catalog: Catalog) -> Tracked:
    """Join the metadata of the first Postgres source with the catalog; others are listed."""
    tracked = Tracked(types=catalog.types)
    served = None
    for source in sources:
        reason = _unserved(source, served)
        if reason is not None:
            tracked.refuse(
                "source", f"source {source['name']}", reason, source.get("configuration")
            )
            continue
        served = source["name"]
        naming = _naming(tracked, source)
        for item in source.get("tables") or []:
            _track_table(tracked, item, catalog, naming)
        for table in list(tracked.tables.values()):
            _track_relationships(tracked, table)
            _track_computed(tracked, table, catalog)
        for item in source.get("functions") or []:
            _track_function(tracked, item, catalog, naming)
    _point_at_enums(tracked)
    check_permissions(tracked)
    check_roots(tracked)
    return tracked


def _unserved(source: dict[str, Any], served: str | None) -> str | None:
    """Return the reason why nothing of a source is served: there is one database, a Postgres."""
    kind = source.get("kind") or "postgres"
    if kind not in KINDS:
        return f"a source of kind {kind} is not supported: this engine serves Postgres"
    if served is not None:
        return f"one source is served, which is {served}: this engine asks one database"
    return None


def _naming(tracked: Tracked, source: dict[str, Any]) -> Naming:
    if asks_for_camel_case(source):
        reason = "the naming convention graphql-default is not supported: names are hasura-default"
        tracked.refuse("source", f"source {source.get('name')}", reason, source["customization"])
    return naming_of(source)


def _track_table(tracked: Tracked, item: dict[str, Any], catalog: Catalog, naming: Naming) -> None:
    name = name_of(item["table"])
    table = catalog.tables.get(name)
    if table is None:
        reason = f'Inconsistent object: no such table/view exists in source: "{dotted(name)}"'
        tracked.refuse("table", f"table {dotted(name)} in source default", reason, item)
        return
    configuration = item.get("configuration") or {}
    base = configuration.get("custom_name") or base_name(name)
    if not GRAPHQL_NAME.match(base):
        reason = f'"{base}" is not a GraphQL name: give the table a custom_name'
        tracked.refuse("table", f"table {dotted(name)} in source default", reason, item)
        return
    if any(other.type_name("{}") == naming.type(base) for other in tracked.tables.values()):
        reason = f'Found conflicting definitions for GraphQL type "{naming.type(base)}"'
        tracked.refuse("table", f"table {dotted(name)} in source default", reason, item)
        return
    custom = configuration.get("custom_root_fields") or {}
    roots = {
        key: root_of(custom.get(key), text.format(base), naming)
        for key, text in ROOT_PATTERNS.items()
    }
    comment = configuration.get("comment", table.comment)
    columns = _columns(table, configuration)
    tracked.tables[name] = TrackedTable(table, base, roots, columns, comment, item, naming=naming)
    for kind in PERMISSION_KINDS:
        entries = item.get(f"{kind}_permissions") or []
        tracked.tables[name].permissions[kind] = {
            entry["role"]: entry.get("permission") or {} for entry in entries
        }


def _columns(table: Table, configuration: dict[str, Any]) -> dict[str, TrackedColumn]:
    renamed = configuration.get("custom_column_names") or {}
    configured = configuration.get("column_config") or {}
    columns = {}
    for name, column in table.columns.items():
        config = configured.get(name) or {}
        graphql = config.get("custom_name") or renamed.get(name) or name
        if not GRAPHQL_NAME.match(graphql) or not GRAPHQL_NAME.match(column.type.graphql):
            continue  # Hasura leaves such a column out until it is renamed
        columns[graphql] = TrackedColumn(graphql, column, config.get("comment", column.comment))
    return columns


def _track_relationships(tracked: Tracked, table: TrackedTable) -> None:
    for kind in ("object", "array"):
        for item in table.metadata.get(f"{kind}_relationships") or []:
            found = (
                _misnamed(item)
                or _taken(table, item)
                or _relationship(tracked, table, item, is_array=kind == "array")
            )
            if isinstance(found, str):
                label = f"{kind}_relation {item['name']} in table {dotted(table.name)}"
                tracked.refuse(f"{kind}_relation", label, found, item)
            else:
                table.relationships[found.name] = found


def _taken(table: TrackedTable, item: dict[str, Any]) -> str | None:
    """Say it of a field that the table has already."""
    name = item["name"]
    taken = name in table.columns or name in table.relationships or name in table.computed
    return f'field with name "{name}" exists in table "{dotted(table.name)}"' if taken else None


def _misnamed(item: dict[str, Any]) -> str | None:
    """Say it of a field whose name GraphQL cannot say."""
    name = item["name"]
    return None if GRAPHQL_NAME.match(name) else f'"{name}" is not a GraphQL name'


def _relationship(
    tracked: Tracked, table: TrackedTable, item: dict[str, Any], *, is_array: bool
) -> Relationship | str:
    """Return the relationship, or the reason why there is none."""
    using = item["using"]
    manual = using.get("manual_configuration")
    if manual:
        mapping = tuple((manual.get("column_mapping") or {}).items())
        target, not_null = name_of(manual["remote_table"]), False
    else:
        found = _by_key(tracked, table, using["foreign_key_constraint_on"], is_array=is_array)
        if found is None:
            return f"no foreign constraint exists for relationship {item['name']}"
        target, mapping, not_null = found
    remote = tracked.tables.get(target)
    if remote is None:
        return f'table "{dotted(target)}" is not tracked'
    for local, other in mapping:
        if local not in table.table.columns or other not in remote.table.columns:
            return f'column "{local}" or "{other}" does not exist'
    return Relationship(
        item["name"],
        is_array,
        target,
        mapping,
        not_null and not is_array,
        item.get("comment"),
        is_child=is_array or _comes_after(using),
    )


def _comes_after(using: dict[str, Any]) -> bool:
    """Tell whether the key of an object relationship is the other table's, or is said to be."""
    manual = using.get("manual_configuration")
    if manual:
        return bool(manual.get("insertion_order") == "after_parent")
    return isinstance(using["foreign_key_constraint_on"], dict)


def _by_key(
    tracked: Tracked, table: TrackedTable, key: Any, *, is_array: bool
) -> tuple[Name, tuple[tuple[str, str], ...], bool] | None:
    """Find the foreign key: on this table (columns only) or on the one that is named."""
    if isinstance(key, dict):
        owner = tracked.tables.get(name_of(key["table"]))
        columns = tuple(key.get("columns") or [key["column"]])
        for found in owner.table.foreign_keys if owner else []:
            if set(found.columns) == set(columns) and found.target == table.name:
                pairs = tuple(zip(found.target_columns, found.columns, strict=True))
                return name_of(key["table"]), pairs, False
        return None
    columns = tuple(key) if isinstance(key, list) else (key,)
    for found in table.table.foreign_keys:
        if set(found.columns) == set(columns) and not is_array:
            not_null = all(table.table.columns[name].not_null for name in columns)
            return (
                found.target,
                tuple(zip(found.columns, found.target_columns, strict=True)),
                not_null,
            )
    return None


def _track_computed(tracked: Tracked, table: TrackedTable, catalog: Catalog) -> None:
    for item in table.metadata.get("computed_fields") or []:
        definition = item["definition"]
        function = functions.only_function(catalog, name_of(definition["function"]))
        label = f"computed_field {item['name']} in table {dotted(table.name)}"
        reason = (
            function if isinstance(function, str) else functions.incomputable(function, tracked)
        )
        if not isinstance(function, str):
            reason = reason or functions.misfit(function, table, definition)
        reason = reason or _misnamed(item) or _taken(table, item)
        if isinstance(function, str) or reason:
            text = f'the computed field "{item["name"]}" cannot be added to table '
            text += f'"{dotted(table.name)}" because {reason}'
            tracked.refuse("computed_field", label, text, item)
            continue
        table.computed[item["name"]] = ComputedField(
            item["name"],
            function,
            definition.get("table_argument") or function.arguments[0].name,
            definition.get("session_argument"),
            function.table,
            item.get("comment", function.comment),
        )


def _track_function(
    tracked: Tracked, item: dict[str, Any], catalog: Catalog, naming: Naming
) -> None:
    name = name_of(item["function"])
    function = functions.only_function(catalog, name)
    configuration = item.get("configuration") or {}
    reason = (
        function
        if isinstance(function, str)
        else functions.unservable(function, tracked, configuration)
    )
    if isinstance(function, str) or function.table is None or reason:
        tracked.refuse("function", f"function {dotted(name)} in source default", str(reason), item)
        return
    base = configuration.get("custom_name") or base_name(name)
    custom = configuration.get("custom_root_fields") or {}
    exposed = configuration.get("exposed_as") or "mutation"
    tracked.functions.append(
        TrackedFunction(
            function=function,
            table=function.table,
            root=root_of(custom.get("function"), base, naming),
            aggregate_root=root_of(custom.get("function_aggregate"), f"{base}_aggregate", naming),
            base=base,
            is_mutation=function.volatile and exposed == "mutation",
            session_argument=configuration.get("session_argument"),
            roles=frozenset(entry["role"] for entry in item.get("permissions") or []),
            comment=item.get("comment", function.comment),
            naming=naming,
        )
    )


def _point_at_enums(tracked: Tracked) -> None:
    """Give a column whose foreign key points at an enum table that table's GraphQL enum."""
    for table in tracked.tables.values():
        if table.metadata.get("is_enum"):
            table.enum_values = []
        for key in table.table.foreign_keys:
            target = tracked.tables.get(key.target)
            if len(key.columns) != 1 or target is None or not target.metadata.get("is_enum"):
                continue
            for graphql, column in table.columns.items():
                if column.name == key.columns[0]:
                    table.columns[graphql] = TrackedColumn(
                        graphql, column.column, column.comment, key.target
                    )
