"""What the checkout actions accept. Past these schemas nothing is a dict of maybes."""

import re
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

BIGINT_MAX = 2**63 - 1


class MinorUnits(fields.Field[int]):
    """A whole number of minor units that a bigint holds: a JSON integer, or its digits as a string.

    Hasura sends a bigint as a string when the client did. 25.0 is refused: who computes amounts
    in floating point should hear of it early.
    """

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value, re.ASCII):
            value = int(value)
        if type(value) is not int or abs(value) > BIGINT_MAX:
            message = "Not a whole number of minor units."
            raise ValidationError(message)
        return value


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
