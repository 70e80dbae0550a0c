"""Our ids in the few signs that PayU takes, and back again.

A uuid is 128 bits: 25 digits of base 36 (a txnid has at most 25 signs, and their case may not be
kept), or 22 of base 62 (a refund's token has at most 23).
https://docs.payu.in/docs/prebuilt-checkout-page-integration
https://docs.payu.in/reference/refund_transaction_api
"""

import string
from uuid import UUID

BASE36 = string.digits + string.ascii_lowercase
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
TXNID_LENGTH, TOKEN_LENGTH = 25, 22


def txnid(payment_attempt_id: str) -> str:
    """Name a payment attempt as PayU does."""
    return _written(payment_attempt_id, BASE36, TXNID_LENGTH)


def payment_attempt_id(found: str | None) -> str | None:
    """Give the attempt that a txnid names; None for a payment that is not of our making."""
    return _read(found, BASE36, TXNID_LENGTH)


def token(refund_id: str) -> str:
    """Name a refund as PayU does."""
    return _written(refund_id, BASE62, TOKEN_LENGTH)


def refund_id(found: str | None) -> str | None:
    """Give the refund that a token names; None for one that is not of our making."""
    return _read(found, BASE62, TOKEN_LENGTH)


def _written(identifier: str, alphabet: str, length: int) -> str:
    number, digits = UUID(identifier).int, ""
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        digits = alphabet[digit] + digits
    return digits


def _read(text: str | None, alphabet: str, length: int) -> str | None:
    if text is None or len(text) != length or not set(text) <= set(alphabet):
        return None
    number = 0
    for sign in text:
        number = number * len(alphabet) + alphabet.index(sign)
    return str(UUID(int=number)) if number < 2**128 else None
