"""UPI links: what a payer's app is asked to pay, checked before any payer sees it.

Whoever scans a code sees in their app what the link says, not what our page says. A link for
another amount, or one that leads elsewhere than into a UPI app, is never shown.
https://www.npci.org.in/what-we-do/upi/product-overview (UPI Linking Specifications)
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from app.errors import GatewayUnavailableError
from app.money import Money

LINK_LENGTH_MAX = 1500  # far above what gateways write, and what a code holds that phones read
NEEDED = ("pa", "pn", "am", "cu", "tr")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a link asks a payer's app for."""

    payee: str  # `pn`, the name that the app shows
    address: str  # `pa`, where the money goes
    amount: Money
    reference: str  # `tr`


def read(link: str, expected: Money) -> Ask:
    """Read a link. Raises GatewayUnavailableError for one that asks for anything but `expected`.

    It is a gateway's answer that makes no sense, so nothing is known of the payment either.
    """
    try:
        ask = _read(link)
    except (ValueError, ArithmeticError) as failure:
        message = "the gateway's UPI link is none"
        raise GatewayUnavailableError(message) from failure
    if ask.amount != expected:
        message = "the gateway's UPI link asks for another amount"
        raise GatewayUnavailableError(message)
    return ask


def _read(link: str) -> Ask:
    parts = urlsplit(link)
    if (parts.scheme, parts.netloc, parts.path.strip("/")) != ("upi", "pay", ""):
        raise ValueError("this leads elsewhere than to a payment")
    # Where a browser or an app might see another end or beginning of the link than we do.
    if len(link) > LINK_LENGTH_MAX or "#" in link or not link.isprintable():
        raise ValueError("this is too long, or hides something")
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    fields = {name.strip().lower(): value.strip() for name, value in pairs}
    if len(fields) != len(pairs):
        raise ValueError("what is said twice may be read either way")
    if not all(fields.get(name) for name in NEEDED) or fields["cu"] != "INR":
        raise ValueError("something is missing")
    amount = Money.parse(fields["am"], fields["cu"])
    least = fields.get("mam") or fields["am"]  # below `am` the payer may choose how much to pay
    if least != "null" and Money.parse(least, fields["cu"]) != amount:
        raise ValueError("the payer may pay another amount")
    return Ask(fields["pn"], fields["pa"], amount, fields["tr"])
