"""Where a document names tables, besides where it tracks them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEYS = frozenset({"table", "remote_table", "_table"})
Name = tuple[str, str]


def rename_tables(value: Any, renamed: Mapping[Name, Name]) -> None:
    """Give tables their new names, in place: where they are tracked, and wherever else."""
    if isinstance(value, list):
        for item in value:
            rename_tables(item, renamed)
    elif isinstance(value, dict):
        for key, item in value.items():
            name = _name(item) if key in KEYS else None
            if name is not None and name in renamed:
                schema, table = renamed[name]
                value[key] = {"name": table, "schema": schema}
            else:
                rename_tables(item, renamed)


def _name(reference: Any) -> Name | None:
    if isinstance(reference, str):
        return ("public", reference)
    if isinstance(reference, dict) and isinstance(reference.get("name"), str):
        return (reference.get("schema", "public"), reference["name"])
    return None
