"""People work the list of what the system will not decide by itself."""

from typing import Any

from app.context import Context
from app.endpoints import action
from app.reconciliation.schemas import (
    Assignment,
    AssignmentSchema,
    Decision,
    DecisionSchema,
)

PEOPLE = frozenset({"finance", "owner", "operator"})


@action(AssignmentSchema, roles=PEOPLE)
def assign_exception(ctx: Context, assignment: Assignment) -> dict[str, Any]:
    """Say who looks into an exception, or that nobody does."""
    row: dict[str, Any] = ctx.hasura.one(
        "AssignException",
        exceptionId=str(assignment.exception_id),
        userId=assignment.user_id,
        key=assignment.idempotency_key,
    )
    return row


@action(DecisionSchema, roles=PEOPLE)
def resolve_exception(ctx: Context, decision: Decision) -> dict[str, Any]:
    """Take an exception off the list. Moves no money; what is still so is refused."""
    row: dict[str, Any] = ctx.hasura.one(
        "ResolveException",
        exceptionId=str(decision.exception_id),
        reason=decision.reason,
        key=decision.idempotency_key,
    )
    return row


@action(DecisionSchema, roles=PEOPLE)
def reopen_exception(ctx: Context, decision: Decision) -> dict[str, Any]:
    """Put back on the list what a person took off."""
    row: dict[str, Any] = ctx.hasura.one(
        "ReopenException",
        exceptionId=str(decision.exception_id),
        reason=decision.reason,
        key=decision.idempotency_key,
    )
    return row
