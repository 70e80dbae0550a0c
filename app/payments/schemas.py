"""What the payment actions accept."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from marshmallow import (
    EXCLUDE,
    Schema,
    ValidationError,
    fields,
    post_load,
    pre_load,
    validate,
)

from app.findings import Method
from app.money import MinorUnits, Money


@dataclass(frozen=True, slots=True)
class Embedding:
    """The sites that may frame payment pages, by their origins."""

    origins: list[str]


class EmbeddingSchema(Schema):
    """The input of setEmbeddingOrigins. The database tells what is an origin."""

    origins = fields.List(
        fields.String(validate=validate.Length(1, 300)),
        required=True,
        validate=validate.Length(0, 20),
    )

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Embedding:
        return Embedding(**data)


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


@dataclass(frozen=True, slots=True)
class Initiation:
    """An order of another system that is to be paid. No `gateway`: the routes choose."""

    reference: str
    amount: Money
    title: str
    customer_external_id: str | None
    gateway: str | None
    method: Method | None
    metadata: dict[str, Any]
    capture_method: str | None = None  # None: as the order has it, automatic for a new one


# UberTruck's document and payers' tongues have several words for one thing.
METHODS = {
    **{method.value: method for method in Method if method is not Method.OTHER},
    "net_banking": Method.NETBANKING,
    "credit_card": Method.CARD,
    "debit_card": Method.CARD,
    "neft": Method.BANK_TRANSFER,
    "rtgs": Method.BANK_TRANSFER,
}

REFERENCE = validate.Regexp(r"^[\x21-\x7e]{1,255}\Z", error="Not 1 to 255 ASCII characters.")
# The database takes 8 KiB, with what a booking adds.
METADATA_BYTES_MAX = 6000
GATEWAY = validate.Regexp(r"^[a-z][a-z0-9_]{0,31}\Z", error="Not the name of a gateway.")


def _optional(*validators: Any) -> Any:
    return fields.String(load_default=None, allow_none=True, validate=validators)


def _metadata(value: dict[str, Any]) -> None:
    if not all(item is None or isinstance(item, str | int) for item in value.values()):
        message = "Only texts, whole numbers, true, false and null."
        raise ValidationError(message)
    if len(json.dumps(value, ensure_ascii=False).encode()) > METADATA_BYTES_MAX:
        message = f"Longer than {METADATA_BYTES_MAX} bytes."
        raise ValidationError(message)


class InitiatePaymentSchema(Schema):
    """The input of initiatePayment."""

    order_reference = fields.String(required=True, validate=REFERENCE)
    amount = MinorUnits(required=True)
    currency = fields.String(load_default="INR", validate=validate.Regexp(r"^[A-Z]{3}\Z"))
    title = _optional(validate.Length(1, 200), validate.ContainsNoneOf("\0|"))
    customer_external_id = _optional(REFERENCE)
    gateway = _optional(GATEWAY)
    method = _optional(validate.OneOf(list(METHODS)))
    metadata = fields.Dict(keys=fields.String(), load_default=dict, validate=_metadata)
    capture_method = _optional(validate.OneOf(["automatic", "manual"]))

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Initiation:
        reference = data["order_reference"]
        return Initiation(
            reference=reference,
            amount=Money(data["amount"], data["currency"]),
            title=data["title"] or f"Order {reference}"[:200],
            customer_external_id=data["customer_external_id"],
            gateway=data["gateway"],
            method=METHODS.get(data["method"] or ""),
            metadata=data["metadata"],
            capture_method=data["capture_method"],
        )


class InitiateBookingSchema(Schema):
    """The body of POST /payments/initiate, as UberTruck's document has it: amounts in rupees."""

    amount = fields.Raw(required=True)
    booking_id = fields.String(required=True, validate=REFERENCE)
    shipper_id = fields.String(required=True, validate=REFERENCE)
    fleet_owner_id = _optional(REFERENCE)
    gateway = _optional(GATEWAY)
    payment_method = _optional(validate.OneOf(list(METHODS)))
    metadata = fields.Dict(keys=fields.String(), load_default=dict, validate=_metadata)

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> Initiation:
        return Initiation(
            reference=data["booking_id"],
            amount=_major(data["amount"], "INR"),
            title=f"Booking {data['booking_id']}"[:200],
            customer_external_id=data["shipper_id"],
            gateway=data["gateway"],
            method=METHODS.get(data["payment_method"] or ""),
            metadata=data["metadata"]
            | {"booking_id": data["booking_id"], "shipper_id": data["shipper_id"]}
            | ({"fleet_owner_id": owner} if (owner := data["fleet_owner_id"]) else {}),
        )


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """What another system says of an order of its own."""

    id: str
    type: str
    reference: str | None  # None where the message is about no order
    customer_external_id: str | None
    amount: Money | None
    detail: dict[str, Any]
    occurred_at: datetime


# Of these messages nothing but the order is read: it is off, whatever they say of money.
CANCELLATIONS = frozenset({"inventory.reservation_failed", "order.cancelled"})


class OrderDetailSchema(Schema):
    """What is read of a message about an order; amounts are in major units, 42.00 dollars."""

    order_id = fields.String(required=True, data_key="orderId", validate=REFERENCE)
    customer_id = fields.String(
        load_default=None, allow_none=True, data_key="customerId", validate=REFERENCE
    )
    amount = fields.Raw(load_default=None, allow_none=True)
    currency = fields.String(load_default="USD", validate=validate.Regexp(r"^[A-Z]{3}\Z"))

    class Meta:
        unknown = EXCLUDE  # orders have items, addresses and more


class OrderEventSchema(Schema):
    """The body of POST /events: as EventBridge delivers it, or with `type` and `data`."""

    id = fields.String(required=True, validate=REFERENCE)
    type = fields.String(required=True, validate=validate.Regexp(r"^[\x21-\x7e]{1,255}\Z"))
    time = fields.AwareDateTime(required=True)
    data = fields.Dict(keys=fields.String(), required=True)

    class Meta:
        unknown = EXCLUDE  # the bus writes on it, too

    @pre_load
    def translate(self, body: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """Read the names of EventBridge as ours."""
        names = {"detail-type": "type", "detail": "data"}
        return {names.get(name, name): value for name, value in body.items()}

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> OrderEvent:
        is_order = "orderId" in data["data"]
        only = ("order_id",) if data["type"] in CANCELLATIONS else None
        read = data["data"] if is_order else {"orderId": "none"}
        order = {"customer_id": None, "amount": None} | OrderDetailSchema(only=only).load(read)
        amount = order["amount"]
        return OrderEvent(
            id=data["id"],
            type=data["type"],
            reference=order["order_id"] if is_order else None,
            customer_external_id=order["customer_id"],
            amount=None if amount is None else _major(amount, order["currency"]),
            detail=json.loads(json.dumps(data["data"], default=str)),
            occurred_at=data["time"],
        )


def _major(written: object, currency: str) -> Money:
    try:
        return Money.parse(written, currency)
    except ValueError as failure:
        raise ValidationError({"amount": [f"Not an amount of {currency}: {failure}."]}) from failure
