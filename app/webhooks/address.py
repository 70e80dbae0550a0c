"""A plain address that gets every event, one a request, signed as Standard Webhooks says.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hmac
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from urllib.parse import urlsplit

from app.config import Settings
from app.context import Context
from app.errors import GatewayUnavailableError
from app.http import Http, RefusedReplyError, written
from app.webhooks.messages import Message, Outcome, Result

# These are about the event. Any other no is about the receiver, who may be about to change.
REFUSALS = frozenset({400, 413, 422})


class Receiver:
    """Whoever is at EVENTS_URL."""

    batch = 1  # each takes as long as the receiver does, and a batch must be over within its lease

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.events_url)
        self.is_set = bool(settings.events_url)
        self.path = parts._replace(scheme="", netloc="").geturl() or "/"
        self.secret = settings.events_secret
        origin = f"{parts.scheme}://{parts.netloc}"
        self.http = Http("EVENTS_URL", origin, speaks_json=False)

    def send(self, messages: list[Message], ctx: Context) -> list[Result]:
        return [self._post(message, ctx) for message in messages]

    def _post(self, message: Message, ctx: Context) -> Result:
        if not self.is_set:
            return Result(Outcome.SILENT, "EVENTS_URL is not set")
        body = envelope(message)
        headers = {"Content-Type": "application/json"}
        headers |= signature(self.secret, message.id, ctx.now(), body)
        try:
            self.http.post(self.path, body, headers)
        except RefusedReplyError as refusal:
            status = refusal.reply.status
            outcome = Outcome.REFUSED if status in REFUSALS else Outcome.SILENT
            return Result(outcome, f"EVENTS_URL answered {status}")
        except GatewayUnavailableError as silence:
            return Result(Outcome.SILENT, silence.message)
        return Result(Outcome.PUBLISHED)


@cache
def receiver(settings: Settings) -> Receiver:
    """Answer the receiver of these settings, to whom connections stay open."""
    return Receiver(settings)


def envelope(message: Message) -> bytes:
    """Write what EventBridge hands to those who listen on it, under the event's own id.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
    """
    time = message.time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    head = {
        "version": "0",
        "id": message.id,
        "detail-type": message.detail_type,
        "source": message.source,
        "time": time,
        "resources": [],
    }
    # The detail is JSON already, with numbers that must not be read and written again.
    return f'{written(head)[:-1]}, "detail": {message.detail}}}'.encode()


def signature(secret: str, event_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """Answer the three headers that prove a message, and when it was sent."""
    stamp = str(int(now.timestamp()))
    signed = b".".join([event_id.encode(), stamp.encode(), body])
    digest = hmac.digest(b64decode(secret.removeprefix("whsec_")), signed, sha256)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }
