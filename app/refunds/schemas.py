"""What the refund doors accept."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from app.money import MinorUnits


@dataclass(frozen=True, slots=True)
class Refund:
    """A request to send money back. `amount` is None where all that is left is meant."""

    amount: int | None
    type: str | None
    reason: str
    note: str | None
    idempotency_key: str
    payment_intent_id: UUID | None = None
    payment_attempt_id: UUID | None = None


class RefundSchema(Schema):
    """The body of POST /payments/<id>/refund. What may go back is known in the database."""

    amount = MinorUnits(load_default=None, allow_none=True)
    type = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.OneOf(["full", "partial", "cancellation"]),
    )
    reason = fields.String(required=True, validate=validate.Regexp(r"^[a-z]+(_[a-z]+)*\Z"))
    note = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.And(
            validate.Length(1, 1000),
            validate.ContainsNoneOf("\0", error="Not a text of a database."),
        ),
    )
    idempotency_key = fields.String(
        required=True,
        validate=validate.Regexp(r"^[\x20-\x7e]{1,255}\Z", error="Not 1 to 255 ASCII characters."),
    )

    @validates_schema(skip_on_field_errors=True)
    def check_type(self, data: dict[str, Any], **_: Any) -> None:
        """Ask how much of a partial refund only: any other kind is all that is left."""
        kind, amount = data["type"], data["amount"]
        if kind is not None and (kind == "partial") != (amount is not None):
            message = "A partial refund has an amount, any other kind has none."
            raise ValidationError({"amount": [message]})

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Refund:
        return Refund(**data)


class RefundPaymentSchema(RefundSchema):
    """The input of refundPayment."""

    payment_intent_id = fields.UUID(required=True)
    payment_attempt_id = fields.UUID(load_default=None, allow_none=True)
