"""What a metadata document has to look like for anybody to read it.

Only what the engine relies on is checked; keys that nobody reads are kept as they are.
"""

from __future__ import annotations

from .shape import (
    COLUMNS,
    HEADERS,
    NAME,
    OBJECT,
    ROLES,
    TEXT,
    amount,
    each,
    either,
    enum_value,
    expression,
    graphql_name,
    graphql_type,
    kind,
    many,
    optional,
    record,
)

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
