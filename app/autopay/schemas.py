"""What the autopay actions accept."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, post_load, validate

from app.money import MinorUnits


@dataclass(frozen=True, slots=True)
class SetupAutopay:
    """A request to be charged each month."""

    amount: int
    day_of_month: int
    currency: str | None
    idempotency_key: str | None


class SetupAutopaySchema(Schema):
    """The input of setupAutopay. The limits of an amount are kept in the database."""

    amount = MinorUnits(required=True)
    day_of_month = fields.Integer(required=True, strict=True, validate=validate.Range(1, 31))
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
    def build(self, data: dict[str, Any], **_: Any) -> SetupAutopay:
        return SetupAutopay(**data)


@dataclass(frozen=True, slots=True)
class MandateAction:
    """A request about one mandate."""

    autopay_mandate_id: UUID


class MandateSchema(Schema):
    """The input of pauseAutopay, resumeAutopay and cancelAutopay."""

    autopay_mandate_id = fields.UUID(required=True)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> MandateAction:
        return MandateAction(**data)


@dataclass(frozen=True, slots=True)
class ChargeAction:
    """A request about one month of a mandate."""

    autopay_charge_id: UUID


class ChargeSchema(Schema):
    """The input of payAutopayCharge."""

    autopay_charge_id = fields.UUID(required=True)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> ChargeAction:
        return ChargeAction(**data)
