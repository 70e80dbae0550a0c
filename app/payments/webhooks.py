"""The inbox of the gateways."""

from app.context import Context
from app.endpoints import webhook
from app.gateways import Delivery, Notice


@webhook("/<gateway>-webhook", "/payments/webhook/<gateway>")
def receive(ctx: Context, gateway: str, delivery: Delivery) -> dict[str, object]:
    """Keep a gateway's message and act on it, once however often it comes.

    One statement stores the message and applies it; when applying fails the message is kept and
    tried again by a cron, so 200 always means: we have it.
    """
    notice = ctx.gateway(gateway).read(delivery, ctx.now())
    event = ctx.hasura.one(
        "ReceiveGatewayEvent",
        gateway=gateway,
        account=notice.account,
        livemode=notice.livemode,
        eventId=notice.event_id,
        type=notice.type,
        occurredAt=notice.occurred_at.isoformat(),
        payload=notice.raw,
        notice=_words(notice),
    )
    return {"received": True, "status": event["status"]}


def _words(notice: Notice) -> dict[str, object]:
    return {
        "outcome": notice.outcome,
        "payment_attempt_id": notice.payment_attempt_id,
        "gateway_session_id": notice.gateway_session_id,
        "gateway_payment_id": notice.gateway_payment_id,
        "amount": notice.amount and notice.amount.amount,
        "currency": notice.amount and notice.amount.currency,
        "failure_code": notice.failure_code,
        "failure_message": notice.failure_message,
    }
