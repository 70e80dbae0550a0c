"""What people say of an exception."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, post_load, validate

from app.texts import KEY, USER_ID, plain_text


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who is to look into an exception; None: nobody."""

    exception_id: UUID
    user_id: str | None
    idempotency_key: str


class AssignmentSchema(Schema):
    """The input of assignException."""

    exception_id = fields.UUID(required=True)
    user_id = fields.String(load_default=None, allow_none=True, validate=USER_ID)
    idempotency_key = fields.String(required=True, validate=KEY)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Assignment:
        return Assignment(**data)


@dataclass(frozen=True, slots=True)
class Decision:
    """That an exception is done with, or is not, and why."""

    exception_id: UUID
    reason: str
    idempotency_key: str


class DecisionSchema(Schema):
    """The input of resolveException and reopenException."""

    exception_id = fields.UUID(required=True)
    reason = fields.String(
        required=True, validate=[plain_text(1000), validate.Regexp(r"\s*\S", error="Empty.")]
    )
    idempotency_key = fields.String(required=True, validate=KEY)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Decision:
        return Decision(**data)
