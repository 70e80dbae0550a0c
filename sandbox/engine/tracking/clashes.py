"""Root fields that two objects claim: Hasura refuses to build a schema that has any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .tracked import Tracked, TrackedTable, dotted

QUERIES = ("select", "select_by_pk", "select_aggregate")
WRITES = {
    "insert": ("insert", "insert_one"),
    "update": ("update", "update_by_pk", "update_many"),
    "delete": ("delete", "delete_by_pk"),
}


def clashes(tracked: Tracked, actions: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Say of each root field that is defined more than once, in Hasura's words, by whom."""
    # Hasura meets the fields of queries in the subscriptions first.
    owners: dict[str, dict[str, list[str]]] = {"subscription_root": {}, "mutation_root": {}}
    for root, field, owner in (*_claims(tracked), *_of_actions(actions)):
        owners[root].setdefault(field, []).append(owner)
    for root, fields in owners.items():
        for field, found in fields.items():
            if len(found) > 1:
                yield (
                    f"Encountered conflicting definitions in the selection set for '{root}' for "
                    f"field '{field}' defined in [{', '.join(found)}]. "
                    "Fields must not be defined more than once across all sources."
                )


def _claims(tracked: Tracked) -> Iterator[tuple[str, str, str]]:
    for table in tracked.tables.values():
        owner = f"table {dotted(table.name)} in source default"
        for key in _keys(table):
            root = "subscription_root" if key in QUERIES else "mutation_root"
            yield root, table.roots[key].name, owner
    for function in tracked.functions:
        owner = f"function {dotted(function.function.name)} in source default"
        root = "mutation_root" if function.is_mutation else "subscription_root"
        names = [function.root.name]
        if function.function.returns_set:
            names.append(function.aggregate_root.name)
        for name in names:
            yield root, name, owner


def _keys(table: TrackedTable) -> Iterator[str]:
    keys = (*QUERIES, *(key for kind in sorted(table.table.writes) for key in WRITES[kind]))
    for key in keys:
        if table.table.primary_key or not key.endswith("_by_pk"):
            yield key


def _of_actions(actions: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for action in actions:
        is_query = action["definition"].get("type") == "query"
        root = "subscription_root" if is_query else "mutation_root"
        yield root, action["name"], f"action {action['name']}"
