"""PayU's UPI without its page: it is asked by us, and answers what the payer's app is handed.

https://docs.payu.in/docs/upi-intent-server-to-server
"""

from collections.abc import Mapping
from typing import Any

from app.errors import GatewayUnavailableError
from app.gateways import Charge, Device, UpiIntent
from app.gateways.payu.words import plain

SCHEME = "upi://pay?"  # PayU leaves it off
NO = {"failure", "failed"}


def form(page: Mapping[str, str], device: Device) -> dict[str, str]:
    """Write what is asked: the page's fields, all that the hash covers, and how it is paid."""
    return {
        **{name: value for name, value in page.items() if name != "enforce_paymethod"},
        "pg": "UPI",
        "bankcode": "INTENT",
        "txn_s2s_flow": "4",
        "s2s_client_ip": device.address,
        "s2s_device_info": device.agent,
    }


def intent(charge: Charge, txnid: str, body: Any) -> UpiIntent | None:
    """Read the link; None where PayU says no."""
    if not isinstance(body, dict):
        raise GatewayUnavailableError("PayU answered something else")
    about, result = body.get("metaData"), body.get("result")
    about = about if isinstance(about, dict) else {}
    link = result.get("intentURIData") if isinstance(result, dict) else None
    if NO & {plain(about.get("txnStatus")), plain(body.get("status"))}:
        return None
    if not isinstance(link, str) or about.get("txnId") != txnid:
        raise GatewayUnavailableError("PayU answered no UPI link of this transaction")
    return UpiIntent(txnid, f"{SCHEME}{link.removeprefix(SCHEME)}", charge.expires_at)


def is_unopened(transaction: Mapping[str, Any]) -> bool:
    """Say whether a link still waits for its payer, who with PayU's page would be at their bank."""
    state = (plain(transaction.get("bankcode")), plain(transaction.get("unmappedstatus")))
    return state == ("intent", "in progress")
