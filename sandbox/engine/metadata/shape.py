"""What a metadata document has to look like for anybody to read it.

Only what the engine relies on is checked; keys that nobody reads are kept as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Check = Callable[[Any, str], Iterator[str]]
NAMES = {dict: "Object", list: "Array", str: "String", bool: "Boolean", type(None): "Null"}


class ShapeError(Exception):
    """A document that cannot be read: `path` says where, the message what."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def check(value: Any, shape: Check, path: str = "$") -> None:
    """Raise ShapeError for the first part that does not fit."""
    for place in shape(value, path):
        raise ShapeError(_reason(value, path, place), place)


def _reason(value: Any, root: str, place: str) -> str:
    """Say what is wrong at a place: a key is missing, or it holds the wrong kind of value."""
    holder: Any = None
    found, key = value, ""
    for step in place[len(root) :].replace("[", ".").replace("]", "").split(".")[1:]:
        holder, key = found, step
        found = found[int(step)] if isinstance(found, list) else found.get(step, _MISSING)
    if found is _MISSING and isinstance(holder, dict):
        return f'key "{key}" not found'
    kind = "Number" if type(found) in (int, float) else NAMES.get(type(found), "value")
    return f"parsing failed, a value of another kind is expected than {kind}"


_MISSING = object()


def kind(*kinds: type) -> Check:
    def run(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, kinds):
            yield path

    return run


def optional(inner: Check) -> Check:
    def run(value: Any, path: str) -> Iterator[str]:
        if value is not None:
            yield from inner(value, path)

    return run


def many(inner: Check) -> Check:
    def run(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield path
            return
        for at, item in enumerate(value):
            yield from inner(item, f"{path}[{at}]")

    return run


def record(*, needs: dict[str, Check] | None = None, **allows: Check) -> Check:
    """Check an object: the keys it needs, and those it may have (or have as null)."""

    def run(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield path
            return
        for key, inner in (needs or {}).items():
            yield from inner(value[key], f"{path}.{key}") if key in value else [f"{path}.{key}"]
        for key, inner in allows.items():
            if value.get(key) is not None:
                yield from inner(value[key], f"{path}.{key}")

    return run


def either(*choices: Check) -> Check:
    def run(value: Any, path: str) -> Iterator[str]:
        if all(next(choice(value, path), None) is not None for choice in choices):
            yield path

    return run


def expression(value: Any, path: str) -> Iterator[str]:
    """Check that a boolean expression can be walked; what is wrong in it is an inconsistency."""
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        place = f"{path}.{key}"
        if key in ("_and", "_or", "$and", "$or"):
            yield from many(expression)(inner, place)
        elif key in ("_not", "$not"):
            yield from expression(inner, place)
        elif key in ("_exists", "$exists"):
            yield from EXISTS(inner, place)
        elif isinstance(inner, dict) and key[:1] not in ("_", "$"):
            yield from expression(inner, place)


TEXT = kind(str)
OBJECT = kind(dict)
NAME = either(TEXT, record(needs={"name": TEXT}, schema=TEXT))
EXISTS = record(needs={"_table": NAME}, _where=expression)
COLUMNS = either(TEXT, many(TEXT))
ROLES = many(record(needs={"role": TEXT}))
HEADERS = many(record(needs={"name": TEXT}))

FOREIGN_KEY = either(
    TEXT,
    many(TEXT),
    record(needs={"table": NAME, "column": TEXT}),
    record(needs={"table": NAME, "columns": many(TEXT)}),
)
USING = either(
    record(needs={"foreign_key_constraint_on": FOREIGN_KEY}),
    record(
        needs={
            "manual_configuration": record(needs={"remote_table": NAME, "column_mapping": OBJECT})
        }
    ),
)
RELATIONSHIPS = many(record(needs={"name": TEXT, "using": USING}))
COMPUTED = many(
    record(
        needs={
            "name": TEXT,
            "definition": record(
                needs={"function": NAME}, table_argument=TEXT, session_argument=TEXT
            ),
        }
    )
)
PERMISSION = record(
    columns=COLUMNS, computed_fields=many(TEXT), filter=expression, check=expression, set=OBJECT,
    limit=kind(int), query_root_fields=many(TEXT), subscription_root_fields=many(TEXT),
)  # fmt: skip
PERMISSIONS = many(record(needs={"role": TEXT, "permission": PERMISSION}))
OPERATION = record(needs={"columns": COLUMNS}, payload=COLUMNS)
EVENT_TRIGGERS = many(
    record(
        needs={
            "name": TEXT,
            "definition": record(insert=OPERATION, update=OPERATION, delete=OPERATION),
        },
        retry_conf=record(
            num_retries=kind(int), interval_sec=kind(int, float), timeout_sec=kind(int, float)
        ),
        webhook=TEXT,
        webhook_from_env=TEXT,
        headers=HEADERS,
    )
)
CONFIGURATION = record(
    custom_name=TEXT, custom_root_fields=OBJECT, column_config=OBJECT, custom_column_names=OBJECT
)
TABLE = record(
    needs={"table": NAME},
    configuration=CONFIGURATION,
    object_relationships=RELATIONSHIPS,
    array_relationships=RELATIONSHIPS,
    computed_fields=COMPUTED,
    select_permissions=PERMISSIONS,
    insert_permissions=PERMISSIONS,
    update_permissions=PERMISSIONS,
    delete_permissions=PERMISSIONS,
    event_triggers=EVENT_TRIGGERS,
)
FUNCTION = record(
    needs={"function": NAME},
    configuration=record(
        custom_name=TEXT, custom_root_fields=OBJECT, session_argument=TEXT, exposed_as=TEXT
    ),
    permissions=ROLES,
)
FIELDS = many(record(needs={"name": TEXT, "type": TEXT}))
ACTION = record(
    needs={
        "name": TEXT,
        "definition": record(
            needs={"handler": TEXT}, arguments=FIELDS, output_type=TEXT, type=TEXT, kind=TEXT,
            headers=HEADERS, timeout=kind(int, float),
        ),
    },
    permissions=ROLES,
)  # fmt: skip
LINK = record(needs={"name": TEXT, "type": TEXT, "remote_table": NAME, "field_mapping": OBJECT})
CUSTOM_TYPES = record(
    input_objects=many(record(needs={"name": TEXT, "fields": FIELDS})),
    objects=many(record(needs={"name": TEXT, "fields": FIELDS}, relationships=many(LINK))),
    scalars=many(record(needs={"name": TEXT})),
    enums=many(record(needs={"name": TEXT, "values": many(record(needs={"value": TEXT}))})),
)
CRON_TRIGGER = record(
    needs={
        "name": TEXT,
        "schedule": TEXT,
        "webhook": either(TEXT, record(needs={"from_env": TEXT})),
    },
    retry_conf=OBJECT,
    headers=HEADERS,
    comment=TEXT,
)
SOURCE = record(
    needs={"name": TEXT}, kind=TEXT, configuration=OBJECT, tables=many(TABLE),
    functions=many(FUNCTION),
)  # fmt: skip
DOCUMENT = record(
    needs={"sources": many(SOURCE)},
    actions=many(ACTION),
    custom_types=CUSTOM_TYPES,
    cron_triggers=many(CRON_TRIGGER),
    inherited_roles=many(record(needs={"role_name": TEXT, "role_set": many(TEXT)})),
)
