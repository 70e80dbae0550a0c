"""What finance says of transfers and accounts at banks."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from app.money import MinorUnits
from app.texts import KEY, plain_text

KINDS = ("receipt", "refund", "return")
RAILS = ("neft", "rtgs", "imps", "upi", "cheque", "cash")
AMOUNT_MAX = 10**15

DISPLAY_ID = validate.Regexp(r"^[\x20-\x7e]{1,40}\Z", error="Not what an order is called.")


def _optional(length_max: int) -> Any:
    return fields.String(load_default=None, allow_none=True, validate=plain_text(length_max))


@dataclass(frozen=True, slots=True)
class BankAccount:
    """An account that payers transfer to."""

    holder_name: str
    bank_name: str
    account_number: str
    ifsc: str


class BankAccountSchema(Schema):
    """The input of addBankAccount."""

    holder_name = fields.String(required=True, validate=plain_text(140))
    bank_name = fields.String(required=True, validate=plain_text(140))
    account_number = fields.String(
        required=True, validate=validate.Regexp(r"^[0-9]{6,20}\Z", error="Not 6 to 20 digits.")
    )
    ifsc = fields.String(
        required=True, validate=validate.Regexp(r"^[A-Z]{4}0[A-Z0-9]{6}\Z", error="Not an IFSC.")
    )

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> BankAccount:
        return BankAccount(**data)


@dataclass(frozen=True, slots=True)
class AccountNamed:
    """A request about one account."""

    bank_account_id: UUID


class AccountSchema(Schema):
    """The input of approveBankAccount and closeBankAccount."""

    bank_account_id = fields.UUID(required=True)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> AccountNamed:
        return AccountNamed(**data)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A line of a bank's statement, as a person read it."""

    bank_account_id: UUID
    kind: str
    rail: str
    reference: str
    amount: int
    value_date: date
    payer_name: str | None
    note: str | None
    order_display_id: str | None
    refund_id: UUID | None
    returned_id: UUID | None
    idempotency_key: str


class RecordTransferSchema(Schema):
    """The input of recordBankTransfer."""

    bank_account_id = fields.UUID(required=True)
    kind = fields.String(load_default="receipt", validate=validate.OneOf(KINDS))
    rail = fields.String(required=True, validate=validate.OneOf(RAILS))
    reference = fields.String(
        required=True,
        # At least one character that is no zero: that is what references are compared by.
        validate=validate.Regexp(
            r"^(?=.*[A-Za-z1-9])[\x20-\x7e]{1,40}\Z", error="Not 1 to 40 ASCII characters."
        ),
    )
    amount = MinorUnits(required=True, validate=validate.Range(1, AMOUNT_MAX))
    value_date = fields.Date(required=True)
    payer_name = _optional(140)
    note = _optional(1000)
    order_display_id = fields.String(load_default=None, allow_none=True, validate=DISPLAY_ID)
    refund_id = fields.UUID(load_default=None, allow_none=True)
    returned_id = fields.UUID(load_default=None, allow_none=True)
    idempotency_key = fields.String(required=True, validate=KEY)

    @validates_schema(skip_on_field_errors=True)
    def check_kind(self, data: dict[str, Any], **_: Any) -> None:
        """Ask what a refund or a return is about, and an order of a receipt only."""
        kind = data["kind"]
        for name, of in (("refund_id", "refund"), ("returned_id", "return")):
            if (data[name] is not None) != (kind == of):
                raise ValidationError({name: [f"Needed by a {of}, and by nothing else."]})
        if data["order_display_id"] is not None and kind != "receipt":
            raise ValidationError({"order_display_id": ["Only a receipt pays an order."]})

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Transfer:
        return Transfer(**data)


@dataclass(frozen=True, slots=True)
class Decision:
    """A request about one transfer."""

    bank_transfer_id: UUID
    order_display_id: str | None = None
    reason: str | None = None


class TransferSchema(Schema):
    """The input of approveBankTransfer."""

    bank_transfer_id = fields.UUID(required=True)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Decision:
        return Decision(**data)


class MatchTransferSchema(TransferSchema):
    """The input of matchBankTransfer."""

    order_display_id = fields.String(required=True, validate=DISPLAY_ID)


class RejectTransferSchema(TransferSchema):
    """The input of rejectBankTransfer."""

    reason = fields.String(required=True, validate=plain_text(1000))
