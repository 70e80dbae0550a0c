"""What an organisation settles about itself."""

from typing import Any

from app.context import Context
from app.endpoints import action
from app.organizations.schemas import Member, OrganizationMemberSchema


@action(OrganizationMemberSchema, roles=frozenset({"operator", "owner"}))
def set_organization_member(ctx: Context, member: Member) -> dict[str, Any]:
    """Give somebody their role in the organisation, or suspend them; never oneself."""
    row: dict[str, Any] = ctx.hasura.one(
        "SetOrganizationMember", userId=member.user_id, role=member.role, status=member.status
    )
    return row
