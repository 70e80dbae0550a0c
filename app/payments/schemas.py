"""What the payment actions accept."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, post_load


@dataclass(frozen=True, slots=True)
class VerifyPayment:
    """A request to ask a payment's gateway how it stands."""

    payment_intent_id: UUID


class VerifyPaymentSchema(Schema):
    """The input of verifyPayment."""

    payment_intent_id = fields.UUID(required=True)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> VerifyPayment:
        return VerifyPayment(**data)
