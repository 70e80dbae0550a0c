"""A gateway's receipt of a captured payment."""

from typing import Any

from app import gateways
from app.config import ConfigError
from app.context import Context
from app.errors import GatewayUnavailableError
from app.gateways import Capability


def givers(ctx: Context) -> list[str]:
    """Name the gateways that are set up and give receipts."""
    return [name for name in gateways.names() if _gives(ctx, name)]


def _gives(ctx: Context, name: str) -> bool:
    try:
        return Capability.RECEIPT in ctx.gateway(name).capabilities
    except ConfigError:  # it is not set up
        return False


def store(ctx: Context, attempt: dict[str, Any]) -> bool:
    """Ask the gateway for an attempt's receipt and keep it. Called twice: the first one stays.

    Answers whether the gateway gives any. Raises GatewayUnavailableError when there is none yet;
    whoever asked asks again later.
    """
    gateway = ctx.gateway(attempt["gateway"])
    if Capability.RECEIPT not in gateway.capabilities:
        return False
    url = gateway.receipt_url(attempt["gateway_payment_id"])
    if not url:
        message = f"{attempt['gateway']} has no receipt yet"
        raise GatewayUnavailableError(message)
    ctx.hasura.one("RecordReceipt", attemptId=attempt["payment_attempt_id"], url=url)
    return True
