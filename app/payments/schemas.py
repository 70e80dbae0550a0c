"""What the payment actions accept."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, post_load

from app.money import MinorUnits


@dataclass(frozen=True, slots=True)
class PaymentAction:
    """A request about one payment. `amount` is None where all of it is meant."""

    payment_intent_id: UUID
    amount: int | None = None


class PaymentSchema(Schema):
    """The input of verifyPayment and cancelPayment."""

    payment_intent_id = fields.UUID(required=True)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> PaymentAction:
        return PaymentAction(**data)


class CapturePaymentSchema(PaymentSchema):
    """The input of capturePayment."""

    amount = MinorUnits(load_default=None, allow_none=True)
