"""Who looks at our pages: the language they read, and where on the network they are."""

import hashlib
import hmac

from flask import request
from werkzeug.wrappers import Response as WsgiResponse

from app.context import Context
from app.gateways import NOBODYS, Device
from app.payments import tongues

LANGUAGE = "munim_language"  # the one cookie: what the payer chose to read
AGENT_LENGTH_MAX = 300
YEAR_SECONDS = 365 * 24 * 3600


def language(fields: dict[str, str]) -> str:
    """Tell which language a visitor reads."""
    kept = request.cookies.get(LANGUAGE)
    return tongues.choose(fields.get("lang"), kept, request.accept_languages)


def keep_language(ctx: Context, answer: WsgiResponse, chosen: str) -> None:
    """Have the browser remember the language, on the way to a gateway and back."""
    is_https = ctx.settings.service_url.startswith("https:")
    answer.set_cookie(
        LANGUAGE, chosen, YEAR_SECONDS, secure=is_https, httponly=True, samesite="Lax"
    )


def device() -> Device:
    """Tell where a payer is, as far as gateways want to know."""
    agent = request.user_agent.string[:AGENT_LENGTH_MAX]
    return Device(request.remote_addr or NOBODYS.address, agent or NOBODYS.agent)


def address_hash(ctx: Context) -> str:
    """Name who asks without keeping their address; X-Forwarded-For says what anybody likes."""
    key, address = ctx.settings.action_secret[0], request.remote_addr or ""
    return hmac.new(key.encode(), address.encode(), hashlib.sha256).hexdigest()
