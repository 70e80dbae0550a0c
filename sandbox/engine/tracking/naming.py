"""A source's `customization`: what its root fields and its types are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Naming:
    """Prefixes and suffixes, and the field of the root type that holds the source's fields."""

    namespace: str | None = None
    before_root: str = ""
    after_root: str = ""
    before_type: str = ""
    after_type: str = ""

    def root(self, name: str) -> str:
        return f"{self.before_root}{name}{self.after_root}"

    def type(self, name: str) -> str:
        return f"{self.before_type}{name}{self.after_type}"


PLAIN = Naming()


def naming_of(source: Mapping[str, Any]) -> Naming:
    """Read the customization of a source of the metadata."""
    customization = source.get("customization") or {}
    roots = customization.get("root_fields") or {}
    types = customization.get("type_names") or {}
    return Naming(
        roots.get("namespace") or None,
        roots.get("prefix") or "",
        roots.get("suffix") or "",
        types.get("prefix") or "",
        types.get("suffix") or "",
    )


def asks_for_camel_case(source: Mapping[str, Any]) -> bool:
    """Tell whether the source wants the experimental naming convention graphql-default."""
    return (source.get("customization") or {}).get("naming_convention") == "graphql-default"
