"""Looking for refunds of a payment that somebody made at its gateway, past us."""

from typing import Any

from app import circuits, outside_refunds
from app.context import Context
from app.gateways import Capability


def search(ctx: Context, attempt: dict[str, Any]) -> int:
    """Ask for all refunds of a payment, and take those over that our books have not.

    Answers how many. Raises GatewayUnavailableError: then nothing is known, and it comes again.
    """
    name, payment_id = attempt["gateway"], attempt["gateway_payment_id"]
    gateway, found = ctx.gateway(name), 0
    if Capability.REFUNDS in gateway.capabilities:
        with circuits.looking_up(ctx, attempt):
            listed = gateway.find_refunds(payment_id)
        found = outside_refunds.bring(ctx, name, listed, account=attempt["gateway_account"])
    ctx.hasura.run("EndRefundSearch", attemptId=attempt["id"], isFound=found > 0)
    return found
