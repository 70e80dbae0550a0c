"""What the credit actions accept."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, post_load, validate

from app.texts import KEY, plain_text

CREDITS = r"[0-9]{1,12}(\.[0-9]{1,4})?"
RATE = r"[0-9]{1,12}(\.[0-9]{1,6})?"

TEXT = plain_text(500)


class Numeric(fields.Field[Decimal]):
    """A decimal of a fixed number of places: a JSON number, or its digits as a string.

    A JSON number is read by its shortest text, so that 2.5 is exactly 2.5 and 0.00001 is refused.
    """

    def __init__(self, pattern: str, **options: Any) -> None:
        super().__init__(**options)
        self._pattern = pattern

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Decimal:
        text = value if isinstance(value, str) else repr(value)
        if not re.fullmatch(self._pattern, text, re.ASCII):
            message = "Not a decimal of so many places."
            raise ValidationError(message)
        return Decimal(text)


@dataclass(frozen=True, slots=True)
class SpendCredits:
    """A customer used credits."""

    customer_id: UUID
    amount: Decimal
    idempotency_key: str
    description: str
    reference: str | None


class SpendCreditsSchema(Schema):
    """The input of spendCredits. What is in the wallet is known in the database."""

    customer_id = fields.UUID(required=True)
    amount = Numeric(CREDITS, required=True)
    idempotency_key = fields.String(required=True, validate=KEY)
    description = fields.String(required=True, validate=TEXT)
    reference = fields.String(
        load_default=None, allow_none=True, validate=[TEXT, validate.Length(1, 255)]
    )

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> SpendCredits:
        return SpendCredits(**data)


@dataclass(frozen=True, slots=True)
class ReturnCredits:
    """A spend is taken back. `amount` is None where all of it is meant."""

    credit_spend_id: UUID
    amount: Decimal | None
    idempotency_key: str
    reason: str


class ReturnCreditsSchema(Schema):
    """The input of returnCredits."""

    credit_spend_id = fields.UUID(required=True)
    amount = Numeric(CREDITS, load_default=None, allow_none=True)
    idempotency_key = fields.String(required=True, validate=KEY)
    reason = fields.String(required=True, validate=TEXT)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> ReturnCredits:
        return ReturnCredits(**data)


@dataclass(frozen=True, slots=True)
class GrantCredits:
    """Credits without a payment. `expires_at` is None where the organisation's rule holds."""

    customer_id: UUID
    amount: Decimal
    idempotency_key: str
    reason: str
    expires_at: datetime | None


class GrantCreditsSchema(Schema):
    """The input of grantCredits."""

    customer_id = fields.UUID(required=True)
    amount = Numeric(CREDITS, required=True)
    idempotency_key = fields.String(required=True, validate=KEY)
    reason = fields.String(required=True, validate=TEXT)
    expires_at = fields.AwareDateTime(load_default=None, allow_none=True)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> GrantCredits:
        return GrantCredits(**data)


@dataclass(frozen=True, slots=True)
class SetCreditRate:
    """A price of credits. `valid_from` is None where it holds at once."""

    currency: str
    rate: Decimal
    valid_from: datetime | None


class SetCreditRateSchema(Schema):
    """The input of setCreditRate."""

    currency = fields.String(
        required=True,
        validate=validate.Regexp(r"^[A-Z]{3}\Z", error="Not three capitals of ISO 4217."),
    )
    rate = Numeric(RATE, required=True)
    valid_from = fields.AwareDateTime(load_default=None, allow_none=True)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> SetCreditRate:
        return SetCreditRate(**data)
