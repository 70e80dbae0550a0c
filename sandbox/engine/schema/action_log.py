"""Asynchronous actions in the schema: the call that is written down, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sandbox.engine.types import PgType

from .model import Field, InputField, Null, ObjectType, Ref

if TYPE_CHECKING:
    from .actions import ActionRoot
    from .role import RoleSchema

UUID = PgType("uuid", "uuid")
MOMENT = PgType("timestamptz", "timestamptz")
PLAIN_JSON = PgType("json", "json")
ID_TEXT = "the unique id of an action"


@dataclass(frozen=True, slots=True)
class QueuedRoot:
    """A call of an asynchronous action: it is written down, and answered with its id."""

    action: ActionRoot


@dataclass(frozen=True, slots=True)
class LogRoot:
    """What became of a call of an asynchronous action."""

    action: ActionRoot


@dataclass(frozen=True, slots=True)
class LogField:
    """A part of a call's log: id, created_at, errors or output."""

    name: str


def log_field(schema: RoleSchema, root: ActionRoot, comment: str | None) -> Field:
    """Return the field, of a query or a subscription, that answers what became of a call."""
    key = Ref(schema.scalar(UUID), non_null=True)
    build = partial(_log_fields, schema, root)
    kind = ObjectType(root.name, build, f'fields of action: "{root.name}"')
    ref = Ref(schema.remember(f"log of action {root.name}", kind))
    args = {"id": InputField(key, "id", Null.REFUSED, ID_TEXT)}
    return Field(root.name, ref, LogRoot(root), args, comment)


def _log_fields(schema: RoleSchema, root: ActionRoot) -> dict[str, Field]:
    output = Ref(root.output.of)  # until the handler has answered there is none
    refs = {
        "id": (Ref(schema.scalar(UUID), non_null=True), ID_TEXT),
        "created_at": (
            Ref(schema.scalar(MOMENT), non_null=True),
            "the time at which this action was created",
        ),
        "errors": (Ref(schema.scalar(PLAIN_JSON)), "errors related to the invocation"),
        "output": (output, "the output fields of this action"),
    }
    return {name: Field(name, ref, LogField(name), {}, text) for name, (ref, text) in refs.items()}
