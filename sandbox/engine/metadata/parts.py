"""The parts of a document: each that can be inconsistent, and so can be taken out by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

LISTS = {
    "object_relationships": "relationship {table}.{name}",
    "array_relationships": "relationship {table}.{name}",
    "computed_fields": "computed-field {table}.{name}",
    "event_triggers": "event-trigger {table}.{name}",
}
PERMISSION_KINDS = ("insert", "select", "update", "delete")
ELSEWHERE = {
    "actions": ("action", "name"),
    "cron_triggers": ("cron-trigger", "name"),
    "inherited_roles": ("inherited-role", "role_name"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """`label` is what Hasura calls it when something depends on it."""

    label: str
    holder: list[Any]
    item: dict[str, Any]

    def is_meant_by(self, fault: dict[str, Any]) -> bool:
        """Tell whether a listed fault is about this very object; roles are told by their names."""
        definition = fault["definition"]
        if fault["type"] == "inherited_role":
            return bool(definition["role_name"] == self.item.get("role_name"))
        return definition is self.item or definition is self.item.get("permission", self.item)


def parts(document: dict[str, Any]) -> Iterator[Part]:
    for source in document.get("sources") or []:
        place = f' in source "{source["name"]}"'
        tables = source.get("tables") or []
        for table in tables:
            yield Part(f"table {_dotted(table['table'])}{place}", tables, table)
            yield from _of_table(table, place)
        functions = source.get("functions") or []
        for item in functions:
            yield Part(f"function {_dotted(item['function'])}{place}", functions, item)
    for key, (word, name) in ELSEWHERE.items():
        items = document.get(key) or []
        for item in items:
            yield Part(f"{word} {item[name]}", items, item)


def _of_table(table: dict[str, Any], place: str) -> Iterator[Part]:
    name = _dotted(table["table"])
    for key, pattern in LISTS.items():
        items = table.get(key) or []
        for item in items:
            yield Part(pattern.format(table=name, name=item["name"]) + place, items, item)
    for kind in PERMISSION_KINDS:
        items = table.get(f"{kind}_permissions") or []
        for item in items:
            yield Part(f"permission {name}.{item['role']}.{kind}{place}", items, item)


def find(document: dict[str, Any], faults: Iterable[dict[str, Any]]) -> list[Part]:
    """Return the parts that the faults are about, in the order of the document."""
    listed = list(faults)
    return [part for part in parts(document) if any(map(part.is_meant_by, listed))]


def take_out(found: Iterable[Part]) -> None:
    for part in found:
        part.holder[:] = [item for item in part.holder if item is not part.item]


def _dotted(reference: Any) -> str:
    if isinstance(reference, str):
        return reference
    schema = reference.get("schema", "public")
    name = str(reference["name"])
    return name if schema == "public" else f"{schema}.{name}"
