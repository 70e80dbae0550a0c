"""The order of keys that the Hasura CLI keeps."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

TABLE = (
    "table", "is_enum", "configuration", "object_relationships", "array_relationships",
    "computed_fields", "remote_relationships", "insert_permissions", "select_permissions",
    "update_permissions", "delete_permissions", "event_triggers", "apollo_federation_config",
)  # fmt: skip
FUNCTION = ("function", "configuration", "permissions", "comment")
SOURCE = ("name", "kind", "configuration", "customization")
NAME = ("name", "schema")
CRON_TRIGGER = (
    "name", "webhook", "schedule", "include_in_metadata", "payload", "retry_conf", "headers",
    "comment", "request_transform", "response_transform",
)  # fmt: skip


def ordered(
    item: dict[str, Any], keys: Iterable[str], *, empty: Container[str] = ()
) -> dict[str, Any]:
    """Put the known keys first, in their order. Those of `empty` are left out when they are.

    An empty text is not nothing: as a comment it hides that of the database.
    """
    known = [key for key in keys if key in item]
    found = {key: item[key] for key in (*known, *(key for key in item if key not in known))}
    return {key: value for key, value in found.items() if _holds(value) or key not in empty}


def _holds(value: Any) -> bool:
    return isinstance(value, str) or bool(value)
