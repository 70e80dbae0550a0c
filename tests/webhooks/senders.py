"""The service as it publishes, on a real database, with an EventBridge that is made up."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import requests
from in_process import ENVIRON, House, context

from app import config
from app.context import Context
from app.webhooks.messages import Message

BUS = {
    "EVENT_BUS_NAME": "orders",
    "AWS_REGION": "us-east-2",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "a-roles-token",
}
# The key of the specification's own example.
URL = {
    "EVENTS_URL": "https://shop.example/hooks/events/?from=munim",
    "EVENTS_SECRET": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
ENDPOINT = "https://events.us-east-2.amazonaws.com/"
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)

Reply = tuple[int, dict[str, str], str]


def settings(**changes: str) -> config.Settings:
    return config.load(ENVIRON | BUS | URL | changes)


def sender(**changes: str) -> Context:
    """A context of what sending takes: settings and the time."""
    return context(now=lambda: NOW, environ=ENVIRON | BUS | URL | changes)


@dataclass
class Publisher(House):
    """The service in this process, with both destinations set."""

    @property
    def ctx(self) -> Context:
        return replace(super().ctx, settings=settings())


def message(event_id: str | None = None, **changes: Any) -> Message:
    known: dict[str, Any] = {
        "id": event_id or str(uuid4()),
        "source": "munim",
        "detail_type": "payment.succeeded",
        "time": NOW,
        "detail": '{"amount": 42.00}',
    }
    return Message(**known | changes)


@dataclass
class EventBridge:
    """Answers as AWS does, and badly where `trouble` says so; keeps what it took."""

    trouble: Callable[[list[dict[str, Any]]], str | None] = lambda _: None
    taken: list[dict[str, Any]] = field(default_factory=list)
    asked: list[list[dict[str, Any]]] = field(default_factory=list)

    def __call__(self, request: requests.PreparedRequest) -> Reply:
        assert isinstance(request.body, bytes)
        entries: list[dict[str, Any]] = json.loads(request.body)["Entries"]
        self.asked.append(entries)
        trouble = self.trouble(entries)
        if trouble == "throttled":
            return said({"__type": "ThrottlingException", "message": "Rate exceeded"}, 400)
        if trouble == "broken":
            return said({"__type": "InternalException"}, 500)
        answers = [
            self._take(entry, fails=trouble == "partly" and place % 3 == 1)
            for place, entry in enumerate(entries)
        ]
        if trouble == "lost":
            raise requests.exceptions.ReadTimeout("lost")
        failed = sum("ErrorCode" in answer for answer in answers)
        return said({"FailedEntryCount": failed, "Entries": answers})

    def _take(self, entry: dict[str, Any], *, fails: bool) -> dict[str, str]:
        if "poison" in entry["Detail"]:
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        if fails:
            return {"ErrorCode": "InternalFailure", "ErrorMessage": "try again"}
        self.taken.append(entry)
        return {"EventId": str(uuid4())}


def said(body: object, status: int = 200) -> Reply:
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body)
