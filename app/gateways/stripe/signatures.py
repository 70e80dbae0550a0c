"""Whether Stripe signed a webhook, and just now.

https://docs.stripe.com/webhooks/signatures
"""

from collections.abc import Iterable
from datetime import datetime

import stripe

from app.errors import SignatureInvalidError, SignatureStaleError
from app.gateways import Delivery

# Both ways: a stamp from the future is as wrong as an old one, and the SDK lets it pass.
STAMP_AGE_SECONDS_MAX = 300


def verify(delivery: Delivery, secrets: Iterable[str], now: datetime) -> None:
    header = delivery.headers.get("stripe-signature", "")
    stamp = next((item[2:] for item in header.split(",") if item.startswith("t=")), "")
    is_signed = stamp.isdecimal() and any(
        _signed(delivery.body, header, secret) for secret in secrets
    )
    if not is_signed:
        raise SignatureInvalidError("this is not signed by Stripe")
    if abs(now.timestamp() - int(stamp[:12])) > STAMP_AGE_SECONDS_MAX:
        raise SignatureStaleError("Stripe signed this, but not just now")


def _signed(body: bytes, header: str, secret: str) -> bool:
    try:
        return header.isascii() and stripe.WebhookSignature.verify_header(body, header, secret)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
