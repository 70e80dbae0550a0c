"""Streams of a table: the root field of subscriptions, and the cursor it starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.engine.tracking.tracked import TrackedColumn

from .access import Access
from .model import Enum, Field, InputField, InputObject, InputType, Null, Ref, listed
from .sources import ColumnIn, StreamRoot

if TYPE_CHECKING:
    from .role import RoleSchema

ORDERINGS: dict[str, str | None] = {
    "ASC": "ascending ordering of the cursor",
    "DESC": "descending ordering of the cursor",
}


def stream_field(schema: RoleSchema, access: Access) -> Field:
    """Return the field without its name."""
    cursor = Ref(Ref(schema.input("{}_stream_cursor_input", access)), non_null=True)
    args = {
        "batch_size": InputField(
            Ref(schema.limit, non_null=True),
            description="maximum number of rows returned in a single batch",
        ),
        "cursor": InputField(
            cursor, description="cursor to stream the results returned by the query"
        ),
        "where": InputField(
            Ref(schema.input("{}_bool_exp", access)), description="filter the rows returned"
        ),
    }
    default = f'fetch data from the table in a streaming manner: "{access.table.table.name[1]}"'
    comment = access.table.roots["select_stream"].comment
    ref = listed(schema.object("{}", access), non_null=True)
    text = default if comment is None else comment or None
    return Field("", ref, StreamRoot(access), args, text)


def stream_cursor_input(schema: RoleSchema, access: Access, name: str) -> InputType:
    def fields() -> dict[str, InputField]:
        value = schema.input("{}_stream_cursor_value_input", access)
        ordering = schema.remember(
            "cursor_ordering", Enum("cursor_ordering", ORDERINGS, "ordering argument of a cursor")
        )
        return {
            "initial_value": InputField(
                Ref(value, non_null=True), description="Stream column input with initial value"
            ),
            "ordering": InputField(Ref(ordering), description="cursor ordering"),
        }

    return InputObject(name, fields, f'Streaming cursor of the table "{access.table.base}"')


def stream_cursor_value_input(schema: RoleSchema, access: Access, name: str) -> InputType:
    def field(column: TrackedColumn) -> InputField:
        condition = access.select.columns[column.name] if access.select else None
        null = Null.REFUSED if column.column.not_null else Null.VALUE
        source = ColumnIn(column, condition)
        return InputField(schema.column_ref(column), source, null, column.comment or None)

    text = "Initial value of the column from where the streaming should start"
    return InputObject(
        name, lambda: {column.graphql: field(column) for column in access.readable}, text
    )
