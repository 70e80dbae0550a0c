"""A gateway's receipt of a captured payment."""

from typing import Any

from app.context import Context
from app.errors import GatewayUnavailableError


def store(ctx: Context, attempt: dict[str, Any]) -> None:
    """Ask the gateway for an attempt's receipt and keep it. Called twice: the first one stays.

    Raises GatewayUnavailableError when there is none yet; whoever asked asks again later.
    """
    url = ctx.gateway(attempt["gateway"]).receipt_url(attempt["gateway_payment_id"])
    if not url:
        message = f"{attempt['gateway']} has no receipt yet"
        raise GatewayUnavailableError(message)
    ctx.hasura.one("RecordReceipt", attemptId=attempt["payment_attempt_id"], url=url)
