"""What a payer's browser posts to PayU.

https://docs.payu.in/docs/prebuilt-checkout-page-integration
"""

from urllib.parse import urlsplit

from app.errors import GatewayRefusedError
from app.gateways import Charge
from app.gateways.payu import hashes, references
from app.gateways.payu.findings import CURRENCY
from app.gateways.payu.words import ENFORCED

TITLE_LENGTH_MAX, NAME_LENGTH_MAX, EMAIL_LENGTH_MAX = 100, 60, 50
COUNTRY = "+91"

# PayU's own page is on another of its hosts than the one that takes the form (api.payu.in, as far
# as is known; its documentation names none), so any of them may be it.
DOMAIN = ".payu.in"


def form(charge: Charge, key: str, salt: str) -> dict[str, str]:
    """Write the form of a charge: always the same for the same charge.

    `furl` is where a payer comes back who failed or gave up. Raises GatewayRefusedError.
    """
    _check(charge)
    fields = {
        "key": key,
        "txnid": references.txnid(charge.id),
        "amount": str(charge.amount.decimal),
        "productinfo": _line(charge.title, TITLE_LENGTH_MAX) or "Payment",
        "firstname": _line(charge.name, NAME_LENGTH_MAX) or "Customer",
        "email": charge.email,
        "phone": charge.phone.removeprefix(COUNTRY),
        "udf1": charge.id,
        "surl": charge.success_url,
        "furl": charge.cancel_url,
    }
    if charge.method in ENFORCED:
        fields["enforce_paymethod"] = ENFORCED[charge.method]
    return {**fields, "hash": hashes.of_page(fields, salt)}


def leads_to(checkout_url: str) -> tuple[str, ...]:
    """Name the origins that the form may be led on to."""
    host = urlsplit(checkout_url).hostname or ""
    return (f"https://*{DOMAIN}",) if host.endswith(DOMAIN) else ()


def _check(charge: Charge) -> None:
    if charge.amount.currency != CURRENCY or charge.amount.amount <= 0:
        message = "PayU takes rupees only"
    elif charge.authorize_only:
        message = "PayU takes the money at once"
    elif not charge.phone:
        message = "PayU needs the payer's phone number, and this payer has none"
    elif "|" in charge.email or len(charge.email) > EMAIL_LENGTH_MAX:
        message = f"PayU takes e-mail addresses of {EMAIL_LENGTH_MAX} signs, none of them a pipe"
    else:
        return
    raise GatewayRefusedError(message)


def _line(text: str, length: int) -> str:
    """Write a text in one line without a pipe, which would move the fields under the hash."""
    printable = "".join(sign if sign.isprintable() and sign != "|" else " " for sign in text)
    return " ".join(printable.split())[:length].rstrip()
