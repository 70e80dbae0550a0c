"""Who looks at our pages: the language they read, and where on the network they are."""

import hashlib
import hmac
from ipaddress import IPv4Address, IPv6Address, ip_address

from flask import request
from werkzeug.wrappers import Response as WsgiResponse

from app.context import Context
from app.gateways import NOBODYS, Device
from app.payments import tongues

LANGUAGE = "munim_language"  # the one cookie: what the payer chose to read
AGENT_LENGTH_MAX = 300
NETWORK_BITS = 64  # of an IPv6 address: what whoever has one address has at least
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
    """Name who asks without keeping their address; X-Forwarded-For says what anybody likes.

    All addresses of an IPv6 network are one: a single visitor has 2^64 of them to choose from.
    """
    key, network = ctx.settings.action_secret[0], _network(request.remote_addr or "")
    return hmac.new(key.encode(), network.encode(), hashlib.sha256).hexdigest()


def _network(address: str) -> str:
    try:
        found: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:  # none that we know of: it stands for itself
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped:  # as a server that listens on both writes it
        return str(found.ipv4_mapped)
    rest = 128 - NETWORK_BITS
    return str(IPv6Address(int(found) >> rest << rest))
