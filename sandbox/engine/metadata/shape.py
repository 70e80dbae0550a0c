"""What a metadata document has to look like for anybody to read it.

Only what the engine relies on is checked; keys that nobody reads are kept as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from graphql import GraphQLError, parse_type

from sandbox.engine.types import GRAPHQL_NAME

AMOUNT_MAX = 10**10  # seconds, or tries: Postgres can add as many to a time
NAMES = {dict: "Object", list: "Array", str: "String", bool: "Boolean", type(None): "Null"}


class Fault(NamedTuple):
    """What does not fit, and where: a place as error messages write it."""

    place: str
    reason: str


Check = Callable[[Any, str], Iterator[Fault]]


class ShapeError(Exception):
    """A document that cannot be read: `path` says where, the message what."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def check(value: Any, shape: Check, path: str = "$") -> None:
    """Raise ShapeError for the first part that does not fit."""
    for fault in shape(value, path):
        raise ShapeError(fault.reason, fault.place)


def _other_kind(value: Any, path: str) -> Fault:
    kind = "Number" if type(value) in (int, float) else NAMES.get(type(value), "value")
    return Fault(path, f"parsing failed, a value of another kind is expected than {kind}")


def _unreadable(value: Any, path: str, wanted: str) -> Fault:
    """Blame a text for what it says, and anything else for not being a text."""
    if isinstance(value, str):
        return Fault(path, f'parsing failed, "{value}" is not {wanted}')
    return _other_kind(value, path)


def kind(*kinds: type) -> Check:
    def run(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, kinds):
            yield _other_kind(value, path)

    return run


def amount(*kinds: type) -> Check:
    """Check a number that counts or measures something: no truth value, and not below zero."""

    def run(value: Any, path: str) -> Iterator[Fault]:
        if type(value) not in kinds:
            yield _other_kind(value, path)
        elif not 0 <= value < AMOUNT_MAX:
            yield Fault(path, f"parsing failed, {value} is not between 0 and {AMOUNT_MAX}")

    return run


def optional(inner: Check) -> Check:
    def run(value: Any, path: str) -> Iterator[Fault]:
        if value is not None:
            yield from inner(value, path)

    return run


def many(inner: Check) -> Check:
    def run(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, list):
            yield _other_kind(value, path)
            return
        for at, item in enumerate(value):
            yield from inner(item, f"{path}[{at}]")

    return run


def record(*, needs: Mapping[str, Check] | None = None, **allows: Check) -> Check:
    """Check an object: the keys it needs, and those it may have (or have as null)."""

    def run(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield _other_kind(value, path)
            return
        for key, inner in (needs or {}).items():
            place = f"{path}.{key}"
            if key in value:
                yield from inner(value[key], place)
            else:
                yield Fault(place, f'key "{key}" not found')
        for key, inner in allows.items():
            if value.get(key) is not None:
                yield from inner(value[key], f"{path}.{key}")

    return run


def each(inner: Check) -> Check:
    """Check an object whose keys are free, and whose values are all of one kind."""

    def run(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield _other_kind(value, path)
            return
        for key, item in value.items():
            yield from inner(item, f"{path}.{key}")

    return run


def either(*choices: Check) -> Check:
    def run(value: Any, path: str) -> Iterator[Fault]:
        if all(next(choice(value, path), None) is not None for choice in choices):
            yield _other_kind(value, path)

    return run


def graphql_name(value: Any, path: str) -> Iterator[Fault]:
    if not isinstance(value, str) or not GRAPHQL_NAME.match(value):
        yield _unreadable(value, path, "a GraphQL name")


def enum_value(value: Any, path: str) -> Iterator[Fault]:
    """Check a name of the kind that GraphQL's own constants take no part in."""
    if value in ("true", "false", "null"):
        yield _unreadable(value, path, "a value of an enum")
    else:
        yield from graphql_name(value, path)


def graphql_type(value: Any, path: str) -> Iterator[Fault]:
    """Check a type as the SDL writes it, such as `[Int!]`."""
    try:
        parse_type(value if isinstance(value, str) else "")
    except GraphQLError:
        yield _unreadable(value, path, "a GraphQL type")


def expression(value: Any, path: str) -> Iterator[Fault]:
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
            "manual_configuration": record(
                needs={"remote_table": NAME, "column_mapping": each(TEXT)}
            )
        }
    ),
)
RELATIONSHIPS = many(record(needs={"name": TEXT, "using": USING}, comment=TEXT))
COMPUTED = many(
    record(
        needs={
            "name": TEXT,
            "definition": record(
                needs={"function": NAME}, table_argument=TEXT, session_argument=TEXT
            ),
        },
        comment=TEXT,
    )
)
PERMISSION = record(
    columns=COLUMNS, computed_fields=many(TEXT), filter=expression, check=expression, set=OBJECT,
    limit=kind(int), query_root_fields=many(TEXT), subscription_root_fields=many(TEXT),
)  # fmt: skip
PERMISSIONS = many(record(needs={"role": TEXT, "permission": PERMISSION}))
OPERATION = record(needs={"columns": COLUMNS}, payload=COLUMNS)
EVENT_RETRY = record(
    num_retries=amount(int), interval_sec=amount(int, float), timeout_sec=amount(int, float)
)
EVENT_TRIGGERS = many(
    record(
        needs={
            "name": TEXT,
            "definition": record(insert=OPERATION, update=OPERATION, delete=OPERATION),
        },
        retry_conf=EVENT_RETRY,
        webhook=TEXT,
        webhook_from_env=TEXT,
        headers=HEADERS,
    )
)
ROOT_FIELDS = each(optional(either(graphql_name, record(name=graphql_name, comment=TEXT))))
CONFIGURATION = record(
    custom_name=TEXT,
    comment=TEXT,
    custom_root_fields=ROOT_FIELDS,
    column_config=each(optional(record(custom_name=TEXT, comment=TEXT))),
    custom_column_names=each(optional(TEXT)),
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
        custom_name=graphql_name, custom_root_fields=ROOT_FIELDS, session_argument=TEXT,
        exposed_as=TEXT,
    ),
    permissions=ROLES,
    comment=TEXT,
)  # fmt: skip
FIELDS = many(record(needs={"name": graphql_name, "type": graphql_type}, description=TEXT))
ACTION = record(
    needs={
        "name": graphql_name,
        "definition": record(
            needs={"handler": TEXT}, arguments=FIELDS, output_type=TEXT, type=TEXT, kind=TEXT,
            headers=HEADERS, timeout=kind(int, float),
        ),
    },
    permissions=ROLES,
    comment=TEXT,
)  # fmt: skip
LINK = record(
    needs={"name": graphql_name, "type": TEXT, "remote_table": NAME, "field_mapping": each(TEXT)}
)
VALUES = many(record(needs={"value": enum_value}, description=TEXT))
TYPE = {"name": graphql_name}
CUSTOM_TYPES = record(
    input_objects=many(record(needs=TYPE | {"fields": FIELDS}, description=TEXT)),
    objects=many(
        record(needs=TYPE | {"fields": FIELDS}, relationships=many(LINK), description=TEXT)
    ),
    scalars=many(record(needs=TYPE, description=TEXT)),
    enums=many(record(needs=TYPE | {"values": VALUES}, description=TEXT)),
)
CRON_RETRY = record(
    num_retries=amount(int),
    retry_interval_seconds=amount(int, float),
    timeout_seconds=amount(int, float),
    tolerance_seconds=amount(int, float),
)
CRON_TRIGGER = record(
    needs={
        "name": TEXT,
        "schedule": TEXT,
        "webhook": either(TEXT, record(needs={"from_env": TEXT})),
    },
    retry_conf=CRON_RETRY,
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
