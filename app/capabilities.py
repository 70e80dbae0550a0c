"""What gateways can do that not every gateway can."""

from enum import StrEnum
from typing import Self


class Capability(StrEnum):
    """One of them, and the methods that an adapter has for it."""

    methods: frozenset[str]

    AUTHORIZE = "authorize", "capture"  # of a Charge with authorize_only
    PARTS = ("parts",)  # it captures a part of what is authorized, and releases the rest
    CANCEL = "cancel", "cancel"
    EXPIRE = "expire", "expire"
    SAVE = "save", "open_setup", "find_setup", "charge"
    RECEIPT = "receipt", "receipt_url"
    DISPUTES = "disputes", "find_disputes"  # it lists them by time
    PAYMENT_DISPUTES = "payment_disputes", "find_payment_disputes"  # it lists a payment's
    REFUNDS = "refunds", "find_refunds"  # it lists a payment's, whoever made them
    NEW_REFUNDS = "new_refunds", "find_new_refunds"  # it lists them by time
    UPI = "upi", "open_upi"
    PAYMENTS = "payments", "find_payments"  # its page may be paid more than once
    # By itself, what is paid a second time on a page. A refund's id it takes once, for good.
    GIVES_BACK = ("gives_back",)
    UNASKED = "unasked"  # `open` writes its page and asks nobody

    def __new__(cls, value: str, *methods: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.methods = frozenset(methods)
        return member
