"""Amazon EventBridge: PutEvents, ten entries and 256 KB at a time.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

import json
import logging
from collections.abc import Iterator
from functools import cache
from typing import Any

from app.config import Settings
from app.context import Context
from app.errors import GatewayUnavailableError
from app.http import Http, RefusedReplyError
from app.webhooks import sigv4
from app.webhooks.messages import Message, Outcome, Result

log = logging.getLogger(__name__)

ENTRIES_MAX = 10
BYTES_MAX = 256 * 1024  # of all entries of a request together: they must be fewer
TIME_BYTES = 14  # what AWS counts for an entry's Time
HEADERS = {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": "AWSEvents.PutEvents",
}
# Of an entry: these are about the event. All others are about us or the bus, and pass.
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
REFUSALS = frozenset({"InvalidArgument", "MalformedDetail", "RedactionFailure"})


class Bus:
    """One event bus of an account."""

    batch = ENTRIES_MAX

    def __init__(self, settings: Settings) -> None:
        self.name = settings.event_bus_name
        self.credentials = _credentials(settings)
        region = self.credentials.region
        url = settings.eventbridge_url or f"https://events.{region}.{_domain(region)}"
        self.http = Http("EventBridge", url)

    def send(self, messages: list[Message], ctx: Context) -> list[Result]:
        """Send them in as few requests as their size allows; after a silence the rest wait."""
        results: dict[str, Result] = {}
        silence: Result | None = None
        for group in _groups(messages):
            answers = [silence] * len(group) if silence else self._put(group, ctx)
            results |= {message.id: each for message, each in zip(group, answers, strict=True)}
            if all(each.outcome is Outcome.SILENT for each in answers):
                silence = answers[0]
        return [results[message.id] for message in messages]

    def _put(self, group: list[Message], ctx: Context) -> list[Result]:
        if size_of(group[0]) >= BYTES_MAX:
            return [Result(Outcome.REFUSED, "larger than 256 KB")]
        if not self.name:
            return [Result(Outcome.SILENT, "EVENT_BUS_NAME is not set")] * len(group)
        body = json.dumps({"Entries": [self._entry(each) for each in group]}).encode()
        headers = sigv4.sign(self.credentials, f"{self.http.url}/", HEADERS, body, ctx.now())
        try:
            reply = self.http.post("/", body, headers)
        except RefusedReplyError as refusal:
            return self._refused(group, refusal, ctx)
        except GatewayUnavailableError as silence:
            return [Result(Outcome.SILENT, silence.message)] * len(group)
        return _results(reply.body, len(group))

    def _refused(
        self, group: list[Message], refusal: RefusedReplyError, ctx: Context
    ) -> list[Result]:
        """Send each alone, where the request was refused for one of them: so the one is found."""
        code, said = _error(refusal.reply.body)
        if code != "ValidationException":  # throttled, not allowed, badly signed: about us
            return [_silence(code, said)] * len(group)
        if len(group) == 1:
            return [Result(Outcome.REFUSED, f"{code}: {said}")]
        return [result for message in group for result in self._put([message], ctx)]

    def _entry(self, message: Message) -> dict[str, object]:
        return {
            "EventBusName": self.name,
            "Source": message.source,
            "DetailType": message.detail_type,
            "Time": int(message.time.timestamp()),
            "Detail": message.detail,
        }


@cache
def bus(settings: Settings) -> Bus:
    """Answer the bus of these settings, whose connections stay open."""
    return Bus(settings)


def size_of(message: Message) -> int:
    """Count an entry as AWS does: everything in it but the name of the bus."""
    texts = (message.source, message.detail_type, message.detail)
    return TIME_BYTES + sum(len(text.encode()) for text in texts)


def _groups(messages: list[Message]) -> Iterator[list[Message]]:
    group: list[Message] = []
    size = 0
    for message in messages:
        if group and (size + size_of(message) >= BYTES_MAX or len(group) == ENTRIES_MAX):
            yield group
            group, size = [], 0
        group.append(message)
        size += size_of(message)
    if group:
        yield group


def _results(body: Any, count: int) -> list[Result]:
    """Read an answer entry by entry; one that does not fit the request says nothing."""
    entries = body.get("Entries") if isinstance(body, dict) else None
    if not isinstance(entries, list) or len(entries) != count:
        return [Result(Outcome.SILENT, "EventBridge answered something else")] * count
    return [_result(entry) for entry in entries]


def _result(entry: Any) -> Result:
    if isinstance(entry, dict) and entry.get("EventId") and not entry.get("ErrorCode"):
        return Result(Outcome.PUBLISHED)
    code = str(entry.get("ErrorCode")) if isinstance(entry, dict) else "nothing"
    said = entry.get("ErrorMessage") if isinstance(entry, dict) else None
    return Result(Outcome.REFUSED, f"{code}: {said}") if code in REFUSALS else _silence(code, said)


def _silence(code: str, said: object) -> Result:
    """Keep the code, for organisations read it; AWS's words name our account and role."""
    log.warning("EventBridge: %s: %s", code, said)
    return Result(Outcome.SILENT, code)


def _error(body: Any) -> tuple[str, str]:
    known = body if isinstance(body, dict) else {}
    code = str(known.get("__type", "an error without a name")).rpartition("#")[2]
    return code, str(known.get("message") or known.get("Message") or "")


def _credentials(settings: Settings) -> sigv4.Credentials:
    """Take the bus's own keys, if it has any, else those of the role that Lambda runs us in."""
    if settings.eventbridge_region:
        return sigv4.Credentials(
            access_key_id=settings.eventbridge_access_key_id,
            secret_access_key=settings.eventbridge_secret_access_key,
            session_token="",
            region=settings.eventbridge_region,
            service="events",
        )
    return sigv4.Credentials(
        access_key_id=settings.aws_access_key_id,
        secret_access_key=settings.aws_secret_access_key,
        session_token=settings.aws_session_token,
        region=settings.aws_region,
        service="events",
    )


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
