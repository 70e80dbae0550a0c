"""What the refund doors accept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from app.money import MinorUnits
from app.texts import KEY, plain_text


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
    note = fields.String(load_default=None, allow_none=True, validate=plain_text(1000))
    idempotency_key = fields.String(required=True, validate=KEY)

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


@dataclass(frozen=True, slots=True)
class RefundPolicy:
    """What goes back. None is no bound, no fee, the usual roles, and now."""

    purpose: str
    currency: str
    window_days: int | None
    share_max: int | None
    fee_amount: int | None
    fee_share: int | None
    roles: list[str] | None
    valid_from: datetime | None


class RefundPolicySchema(Schema):
    """The input of setRefundPolicy."""

    purpose = fields.String(required=True, validate=validate.OneOf(["credit_purchase", "order"]))
    currency = fields.String(
        required=True,
        validate=validate.Regexp(r"^[A-Z]{3}\Z", error="Not three capitals of ISO 4217."),
    )
    window_days = fields.Integer(
        strict=True, load_default=None, allow_none=True, validate=validate.Range(0, 36_500)
    )
    share_max = fields.Integer(
        strict=True, load_default=None, allow_none=True, validate=validate.Range(0, 10_000)
    )
    fee_amount = MinorUnits(load_default=None, allow_none=True, validate=validate.Range(0))
    fee_share = fields.Integer(
        strict=True, load_default=None, allow_none=True, validate=validate.Range(0, 10_000)
    )
    roles = fields.List(
        fields.String(validate=validate.OneOf(["dispatcher", "finance", "owner", "service"])),
        load_default=None,
        allow_none=True,
    )
    valid_from = fields.AwareDateTime(load_default=None, allow_none=True)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> RefundPolicy:
        return RefundPolicy(**data)
