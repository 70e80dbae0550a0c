"""The doors of the gateways."""

from app import inbox
from app.context import Context
from app.endpoints import webhook
from app.gateways import Delivery


@webhook("/<gateway>-webhook", "/payments/webhook/<gateway>")
def receive(ctx: Context, gateway: str, delivery: Delivery) -> dict[str, object]:
    """Verify a gateway's message, keep it and act on it, once however often it comes."""
    notice = ctx.gateway(gateway).read(delivery, ctx.now())
    event = inbox.receive(ctx, gateway, notice)
    return {"received": True, "status": event["status"]}
