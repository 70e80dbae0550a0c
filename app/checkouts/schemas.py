"""What the checkout actions accept. Past these schemas nothing is a dict of maybes."""

from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, fields, post_load, validate

from app.money import MinorUnits


@dataclass(frozen=True, slots=True)
class CreatePayment:
    """A request to buy credits."""

    amount: int
    email: str
    currency: str | None
    idempotency_key: str | None


class CreatePaymentSchema(Schema):
    """The input of createPayment. The limits of an amount are kept in the database."""

    amount = MinorUnits(required=True)
    email = fields.Email(required=True, validate=validate.Length(max=254))
    currency = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"^[A-Z]{3}\Z", error="Not three capitals of ISO 4217."),
    )
    idempotency_key = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"^[\x20-\x7e]{1,255}\Z", error="Not 1 to 255 ASCII characters."),
    )

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> CreatePayment:
        return CreatePayment(**data)
