"""What one role may do with one table: its own permission, or the sum of its parents'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.engine.session import ADMIN

from .tracked import Tracked, TrackedTable, dotted

Filter = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SelectPermission:
    """`columns` maps SQL names to the filter a row must pass for the value to show (None: all).

    Only roles that inherit have such filters: a parent grants a column on its own rows only.
    """

    columns: Mapping[str, Filter | None]
    computed: Mapping[str, Filter | None]
    filter: Filter
    limit: int | None = None
    aggregations: bool = False
    roots: frozenset[str] | None = None
    live_roots: frozenset[str] | None = None

    def allows(self, root: str) -> bool:
        return self.roots is None or root in self.roots

    def allows_live(self, root: str) -> bool:
        return self.live_roots is None or root in self.live_roots


@dataclass(frozen=True, slots=True)
class WritePermission:
    """An insert, update or delete permission. `check` None means that nothing is checked."""

    columns: frozenset[str]
    filter: Filter
    check: Filter | None
    presets: Mapping[str, Any]
    backend_only: bool = False


class Permissions:
    """The permissions of every role, parents resolved once, conflicts listed as inconsistent."""

    def __init__(self, tracked: Tracked, inherited: Iterable[dict[str, Any]]) -> None:
        self.tracked = tracked
        self.parents = {item["role_name"]: list(item["role_set"]) for item in inherited}
        self._break_cycles()
        self._find_conflicts()

    def select(self, table: TrackedTable, role: str) -> SelectPermission | None:
        if role == ADMIN:
            everything: dict[str, Filter | None] = dict.fromkeys(table.table.columns)
            return SelectPermission(
                everything, dict.fromkeys(table.computed), {}, aggregations=True
            )
        own = table.permissions["select"].get(role)
        if own is not None:
            return _select_of(own, table)
        found = (self.select(table, parent) for parent in self.parents.get(role, []))
        granted = [permission for permission in found if permission is not None]
        return _union(granted) if granted else None

    def write(self, table: TrackedTable, kind: str, role: str) -> WritePermission | None:
        if kind not in table.table.writes:
            return None
        if role == ADMIN:
            names = frozenset(table.table.columns)
            return WritePermission(names, {}, None, {})
        own = table.permissions[kind].get(role)
        if own is not None:
            return _write_of(own, table)
        found = (self.write(table, kind, parent) for parent in self.parents.get(role, []))
        granted = [permission for permission in found if permission is not None]
        if granted and all(permission == granted[0] for permission in granted):
            return granted[0]
        if granted:
            self._conflict(role, f"{kind} permission on {dotted(table.name)}")
        return None

    def _break_cycles(self) -> None:
        """Refuse the roles that inherit from themselves: they have no permission at all."""
        for role in [role for role in self.parents if role in self._above(role)]:
            names = sorted({role, *self._above(role)} & self.parents.keys())
            listed = ", ".join(f'"{name}"' for name in names)
            reason = f"found cycle(s) in roles: [{listed}]"
            definition = {"role_name": role, "role_set": self.parents[role]}
            self.tracked.refuse("inherited_role", f"inherited role {role}", reason, definition)
        circular = [role for role in self.parents if role in self._above(role)]
        for role in circular:
            self.parents[role] = []

    def _above(self, role: str) -> set[str]:
        """Return every role that the role inherits from, however far."""
        found: set[str] = set()
        waiting = list(self.parents.get(role, []))
        while waiting:
            parent = waiting.pop()
            if parent not in found:
                found.add(parent)
                waiting += self.parents.get(parent, [])
        return found

    def _find_conflicts(self) -> None:
        """List what parents disagree on when the metadata is read, not when a role first asks."""
        for role in self.parents:
            for table in self.tracked.tables.values():
                for kind in ("insert", "update", "delete"):
                    self.write(table, kind, role)

    def _conflict(self, role: str, entity: str) -> None:
        reason = f"Could not inherit permission for the role '{role}' for the entity: '{entity}'"
        known = {item["name"] for item in self.tracked.inconsistent}
        label = f"{role}: {entity}"
        if label not in known:
            self.tracked.refuse("inherited role permission inconsistency", label, reason, None)

    def allowed(self, roles: Iterable[str], role: str) -> bool:
        """Tell whether the role or one of its parents is in the list."""
        granted = set(roles)
        if role == ADMIN or role in granted:
            return True
        return any(self.allowed(granted, parent) for parent in self.parents.get(role, []))

    def roles(self) -> set[str]:
        """Every role the metadata names."""
        names = {ADMIN, *self.parents}
        for table in self.tracked.tables.values():
            for entries in table.permissions.values():
                names.update(entries)
        for function in self.tracked.functions:
            names.update(function.roles)
        return names


def _column_names(listed: Any, table: TrackedTable) -> list[str]:
    if listed == "*":
        return list(table.table.columns)
    return [name for name in listed or [] if name in table.table.columns]


def _select_of(entry: dict[str, Any], table: TrackedTable) -> SelectPermission:
    computed = [
        name
        for name, item in table.computed.items()
        if item.target is not None or name in (entry.get("computed_fields") or [])
    ]
    return SelectPermission(
        columns=dict.fromkeys(_column_names(entry.get("columns"), table)),
        computed=dict.fromkeys(computed),
        filter=entry.get("filter") or {},
        limit=entry.get("limit"),
        aggregations=bool(entry.get("allow_aggregations")),
        roots=_root_list(entry.get("query_root_fields")),
        live_roots=_root_list(entry.get("subscription_root_fields")),
    )


def _root_list(listed: Iterable[str] | None) -> frozenset[str] | None:
    return None if listed is None else frozenset(listed)


def _any_root(lists: list[frozenset[str] | None]) -> frozenset[str] | None:
    known = [item for item in lists if item is not None]
    return frozenset().union(*known) if len(known) == len(lists) else None


def _write_of(entry: dict[str, Any], table: TrackedTable) -> WritePermission:
    presets = entry.get("set") or {}
    names = _column_names(entry.get("columns", "*"), table)
    return WritePermission(
        columns=frozenset(name for name in names if name not in presets),
        filter=entry.get("filter") or {},
        check=entry.get("check"),
        presets=presets,
        backend_only=bool(entry.get("backend_only")),
    )


def _union(granted: list[SelectPermission]) -> SelectPermission:
    if len(granted) == 1:
        return granted[0]
    limits = [permission.limit for permission in granted]
    return SelectPermission(
        columns=_merged(granted, [permission.columns for permission in granted]),
        computed=_merged(granted, [permission.computed for permission in granted]),
        filter=_any_of([permission.filter for permission in granted]),
        limit=None if None in limits else max(limit for limit in limits if limit is not None),
        aggregations=any(permission.aggregations for permission in granted),
        roots=_any_root([permission.roots for permission in granted]),
        live_roots=_any_root([permission.live_roots for permission in granted]),
    )


def _merged(
    granted: list[SelectPermission], parts: list[Mapping[str, Filter | None]]
) -> dict[str, Filter | None]:
    """Show a name on the rows of the parents that grant it; on all rows when all parents do."""
    merged: dict[str, Filter | None] = {}
    for name in dict.fromkeys(key for part in parts for key in part):
        granting = [
            _both(permission.filter, part[name])
            for permission, part in zip(granted, parts, strict=True)
            if name in part
        ]
        everywhere = len(granting) == len(granted) and all(part.get(name) is None for part in parts)
        merged[name] = None if everywhere else _any_of(granting)
    return merged


def _both(outer: Filter, inner: Filter | None) -> Filter:
    return outer if inner is None else {"_and": [outer, inner]}


def _any_of(filters: list[Filter]) -> Filter:
    distinct = [item for at, item in enumerate(filters) if item not in filters[:at]]
    if {} in distinct:
        return {}
    return distinct[0] if len(distinct) == 1 else {"_or": distinct}
