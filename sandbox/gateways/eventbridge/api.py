"""PutEvents: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from sandbox.faults import Fault, Kind
from sandbox.gateways.eventbridge import entries, signatures
from sandbox.gateways.eventbridge.entries import RefusedError
from sandbox.gateways.server import calls
from sandbox.gateways.server.deliveries import Parcel
from sandbox.gateways.server.simulator import House
from sandbox.gateways.server.state import Books, Document

TARGET = "AWSEvents.PutEvents"
JSON = "application/x-amz-json-1.1"
ACCOUNT = "000000000000"
# Scripted for one entry, by the operation PutEvents.entry: the others of the request go through.
OF_ENTRIES = {
    Kind.ERROR_500: ("InternalFailure", "An internal error occurred."),
    Kind.RATE_LIMITED: ("ThrottlingException", "Rate exceeded."),
    Kind.MALFORMED: ("MalformedDetail", "Detail is malformed."),
}


class Api:
    """The one call, for every bus there is."""

    def __init__(
        self, house: House, books: Books, keys: Mapping[str, str], listeners: Sequence[str]
    ) -> None:
        self.house = house
        self.books = books
        self.keys = keys
        self.listeners = listeners

    async def call(self, request: Request) -> Response:
        body = await request.body()
        try:
            region = self._check(request, body)
            found = entries.read(body)
        except RefusedError as refusal:
            return _refusal(refusal)
        fault = self.house.faults.take(self.books.gateway, "PutEvents")
        spoilt = await calls.before(fault, _broken)
        if spoilt is not None:
            return spoilt
        answer = self._put(found, region)
        if fault and fault.kind is Kind.ERROR_AFTER_EFFECT:
            return _broken(500)
        return calls.after(fault, answer)

    def _check(self, request: Request, body: bytes) -> str:
        if request.headers.get("x-amz-target") != TARGET:
            raise RefusedError("UnknownOperationException", "")
        if request.headers.get("content-type") != JSON:
            raise RefusedError("SerializationException", f"the body must be {JSON}")
        return signatures.check(request, body, self.keys, self.house.store.exact_now())

    def _put(self, found: list[Any], region: str) -> Response:
        answers: list[dict[str, str]] = []
        with self.house.store.transaction():
            for entry in found:
                fault = self.house.faults.take(self.books.gateway, "PutEvents.entry")
                wrong = _scripted(fault) or entries.fault_of(entry)
                if wrong:
                    answers.append({"ErrorCode": wrong[0], "ErrorMessage": wrong[1]})
                else:
                    answers.append({"EventId": self._keep(entry, region)})
        failed = sum("ErrorCode" in answer for answer in answers)
        return _json({"FailedEntryCount": failed, "Entries": answers})

    def _keep(self, entry: dict[str, Any], region: str) -> str:
        """Write an event down, and hand it to those who listen as a rule's target gets it."""
        now = self.house.store.now()
        event: Document = {
            "version": "0",
            "id": str(uuid4()),
            "detail-type": entry["DetailType"],
            "source": entry["Source"],
            "account": ACCOUNT,
            "time": _written(entry.get("Time", now)),
            "region": region,
            "resources": entry.get("Resources", []),
            "detail": json.loads(entry["Detail"]),
        }
        kept = event | {"created": now, "bus": entry.get("EventBusName", "default")}
        self.books.insert("event", kept)
        for url in self.listeners:
            body = json.dumps(event).encode()
            kind = entry["DetailType"]
            self.house.outbox.post(Parcel("eventbridge", url, event["id"], kind, url, body))
        return str(event["id"])


def _scripted(fault: Fault | None) -> tuple[str, str] | None:
    return OF_ENTRIES.get(fault.kind) if fault else None


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _broken(status: int) -> Response:
    if status == HTTPStatus.TOO_MANY_REQUESTS:  # AWS says it in its own way
        return _refusal(RefusedError("ThrottlingException", "Rate exceeded."))
    return _json({"__type": "InternalException", "message": "try again"}, status)


def _refusal(refusal: RefusedError) -> Response:
    return _json({"__type": refusal.code, "message": refusal.said}, 400)


def _json(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type=JSON)
