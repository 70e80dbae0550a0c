"""The doors of the gateways."""

import logging

from app import inbox
from app.config import ConfigError
from app.context import Context
from app.endpoints import webhook
from app.errors import NotFoundError
from app.gateways import Delivery, Gateway, Outcome, Subject
from app.payments import verification

log = logging.getLogger(__name__)


@webhook("/<gateway>-webhook", "/payments/webhook/<gateway>")
def receive(ctx: Context, gateway: str, delivery: Delivery) -> dict[str, object]:
    """Verify a gateway's message, keep it and act on it, once however often it comes.

    Of a hint nothing is booked: its gateway is asked, once it is kept. Should that not answer, or
    this process die, the cron asks; so an answer always means: we have it. What nobody signed is
    heard and not kept.
    """
    adapter = _gateway(ctx, gateway)
    notice = adapter.read(delivery, ctx.now())
    if not notice.is_signed:
        inbox.hear(ctx, gateway, notice, delivery.body)
        return {"received": True, "status": "ignored"}
    if adapter.messages_are_hints:
        notice = notice.as_hint()
    event = inbox.receive(ctx, gateway, notice)
    if (notice.outcome, notice.subject) == (Outcome.HINT, Subject.PAYMENT):
        verification.follow_hint(ctx, event["payment_attempt_id"])
    return {"received": True, "status": event["status"]}


def _gateway(ctx: Context, name: str) -> Gateway:
    """Find a gateway. Raises NotFoundError also where it is not set up: anybody may call here."""
    try:
        return ctx.gateway(name)
    except ConfigError as failure:
        log.warning("a webhook of %s came, which is not set up: %s", name, failure)
        raise NotFoundError(f"there is no gateway called {name}") from failure
