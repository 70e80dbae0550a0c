"""Who signed a webhook, and when.

https://www.cashfree.com/docs/api-reference/vrs/webhook-signature-verification
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime

from app.errors import SignatureInvalidError, SignatureStaleError
from app.gateways import Delivery

# A stamp from the future is as wrong as an old one. A later try may bear the first one's stamp.
STAMP_AGE_SECONDS_MAX = 300
RETRIES_SECONDS = 24 * 3600


def signature(body: bytes, stamp: str, secret: str) -> bytes:
    """Sign as Cashfree does: the stamp and the body, with nothing between them."""
    digest = hmac.new(secret.encode(), stamp.encode() + body, hashlib.sha256).digest()
    return base64.b64encode(digest)


def verify(delivery: Delivery, secrets: Sequence[str], now: datetime) -> datetime:
    """Answer when a genuine webhook was sent. Raises SignatureInvalidError for any other."""
    stamp = delivery.headers.get("x-webhook-timestamp", "")
    given = delivery.headers.get("x-webhook-signature", "")
    if not (stamp.isascii() and stamp.isdecimal() and given.isascii()):
        raise _forged()
    genuine = [
        hmac.compare_digest(given.encode(), signature(delivery.body, stamp, secret))
        for secret in secrets
    ]
    if not any(genuine):
        raise _forged()
    seconds = int(stamp[:16]) / 1000
    if not _is_fresh(now.timestamp() - seconds, delivery):
        raise SignatureStaleError("Cashfree signed this, but not just now")
    return datetime.fromtimestamp(seconds, UTC)


def _is_fresh(age: float, delivery: Delivery) -> bool:
    number = delivery.headers.get("x-webhook-attempt", "")
    is_retry = number.isascii() and number.isdecimal() and int(number[:4]) > 1
    oldest = STAMP_AGE_SECONDS_MAX + (RETRIES_SECONDS if is_retry else 0)
    return -STAMP_AGE_SECONDS_MAX <= age <= oldest


def _forged() -> SignatureInvalidError:
    return SignatureInvalidError("this is not signed by Cashfree")
