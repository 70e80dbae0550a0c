"""What the doors of an organisation's own affairs accept."""

from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, fields, post_load, validate

from app.texts import USER_ID


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody's role in an organisation."""

    user_id: str
    role: str
    status: str


class OrganizationMemberSchema(Schema):
    """The input of setOrganizationMember."""

    user_id = fields.String(required=True, validate=USER_ID)
    role = fields.String(
        required=True,
        validate=validate.OneOf(["owner", "finance", "dispatcher", "developer", "viewer"]),
    )
    status = fields.String(load_default="active", validate=validate.OneOf(["active", "suspended"]))

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Member:
        return Member(**data)
