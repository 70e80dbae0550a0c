"""What tells a page that its payer came from the shop as the signed-in customer.

A page's address is known to whoever was sent it, so it shows nothing that is the customer's own. A
pass is given to the customer alone, for one page, and soon over.
"""

import hashlib
import hmac
from datetime import timedelta

from app.context import Context

LIFE = timedelta(minutes=30)


def issue(ctx: Context, token: str) -> str:
    """Make a pass to a page."""
    until = int((ctx.now() + LIFE).timestamp())
    return f"{until}.{_signature(ctx.settings.action_secret[0], token, until)}"


def admits(ctx: Context, token: str, given: str) -> bool:
    """Tell whether a pass is genuine, for this page, and not over."""
    until, _, signature = given.partition(".")
    if not (until.isascii() and until.isdigit() and len(until) <= 12 and signature.isascii()):
        return False
    secrets = ctx.settings.action_secret
    signed = [hmac.compare_digest(_signature(key, token, int(until)), signature) for key in secrets]
    return any(signed) and ctx.now().timestamp() < int(until)


def _signature(key: str, token: str, until: int) -> str:
    said = f"payer of {token} until {until}".encode()
    return hmac.new(key.encode(), said, hashlib.sha256).hexdigest()
