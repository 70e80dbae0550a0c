"""Razorpay's signatures: of a webhook by its secret, of a payer's return by the key's.

https://razorpay.com/docs/webhooks/validate-test/
https://razorpay.com/docs/payments/payment-gateway/web-integration/hosted/integration-steps/
"""

import hmac
from collections.abc import Iterable, Mapping

from app.errors import SignatureInvalidError
from app.gateways import Return, parse


def is_signed(message: bytes, signature: str, secrets: Iterable[str]) -> bool:
    """Compare with what each secret gives, all of them, in a time that tells nothing."""
    given = signature.encode("utf-8", "replace")
    expected = [hmac.new(secret.encode(), message, "sha256").hexdigest() for secret in secrets]
    return any([hmac.compare_digest(one.encode(), given) for one in expected])  # noqa: C419  # a generator would stop at the first


def payment_returned(arrival: Return, secret: str) -> str | None:
    """Give the payment that a payer comes back from; None from none, which nobody signs.

    Verified with the order that our books have, whatever the browser says. Raises
    SignatureInvalidError.
    """
    payment = arrival.fields.get("razorpay_payment_id", "")
    signature = arrival.fields.get("razorpay_signature", "")
    signed = f"{arrival.gateway_session_id}|{payment}".encode("utf-8", "replace")
    is_foreign = _order_named(arrival.fields) not in {"", arrival.gateway_session_id}
    is_success = bool(payment or signature)
    if is_foreign or (is_success and not is_signed(signed, signature, (secret,))):
        message = "this return was altered, or signed for another page"
        raise SignatureInvalidError(message)
    return payment or None


def _order_named(fields: Mapping[str, str]) -> str:
    """Read which order a return is about; the metadata of a failure is JSON in a field."""
    try:
        metadata = parse(fields.get("error[metadata]", "{}").encode("utf-8", "replace"))
        told = metadata.get("order_id")
    except (ValueError, AttributeError):
        told = None
    return fields.get("razorpay_order_id") or str(told or "")
