"""The API's front door: the account's keys, JSON, idempotency of refunds, faults."""

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.faults import Fault, Kind
from sandbox.gateways.razorpay import errors
from sandbox.gateways.razorpay.calls import Call, Operation
from sandbox.gateways.razorpay.errors import RefusalError
from sandbox.gateways.razorpay.idempotency import Keys
from sandbox.gateways.razorpay.objects import new_id
from sandbox.gateways.server import calls as play
from sandbox.gateways.server.simulator import House
from sandbox.gateways.server.state import Books, Document

METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH")


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in."""

    operation: Operation
    call: Call
    key: str | None  # of idempotency


class Api:
    def __init__(self, house: House, books: Books, keys: Mapping[str, str]) -> None:
        self.house = house
        self.books = books
        self.keys = keys  # id -> secret
        self.kept = Keys(house.store)
        self.in_use: set[str] = set()  # payments whose money an operation moves just now
        self.operations: dict[str, Operation] = {}

    def routes(self, operations: Sequence[Operation]) -> list[Route]:
        self.operations = {one.name: one for one in operations}
        routes = [
            Route(f"/v1{one.path}", self._endpoint(one), methods=[one.method], name=one.name)
            for one in operations
        ]
        return [*routes, Route("/v1/{rest:path}", _nowhere, methods=list(METHODS))]

    def _endpoint(self, operation: Operation) -> Any:
        async def endpoint(request: Request) -> Response:
            try:
                return await self._answer(request, operation)
            except RefusalError as refusal:
                return JSONResponse(refusal.body(), refusal.status)

        return endpoint

    async def _answer(self, request: Request, operation: Operation) -> Response:
        """Answer a request, one fault at most.

        The fault is taken when the request is read: nothing waits between that, the look at its
        key, and marking the key as in use.
        """
        self._authenticate(request)
        received = Received(
            operation,
            Call(dict(request.path_params), await _params(request)),
            request.headers.get(operation.key_header) if operation.key_header else None,
        )
        fault = self.house.faults.take("razorpay", operation.name)
        kept = self._kept(received)
        if kept is not None:
            return await play.before(fault, _broken) or play.after(fault, JSONResponse(kept))
        return await self._perform(received, fault)

    def _authenticate(self, request: Request) -> None:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise errors.no_key()
        try:
            key, _, secret = b64decode(credentials, validate=True).decode().partition(":")
        except ValueError:
            raise errors.no_key() from None
        expected = self.keys.get(key, "")
        if not expected or not compare_digest(expected.encode(), secret.encode()):
            raise errors.wrong_key()

    def _kept(self, received: Received) -> Document | None:
        if received.key is None:
            return None
        return self.kept.find(received.key, received.operation.name, received.call)

    async def _perform(self, received: Received, fault: Fault | None) -> Response:
        """Run the operation around its fault; meanwhile its key and its payment are in use."""
        payment = received.call.path["id"] if received.operation.moves_money else ""
        if payment in self.in_use:
            raise errors.payment_in_use()
        self.in_use |= {payment} - {""}
        if received.key:
            self.kept.running.add(received.key)
        try:
            instead = await play.before(fault, _broken)
            if instead is not None:
                return instead
            if fault and fault.kind is Kind.LATE_EFFECT:
                self._postpone(received, fault.seconds)
                return play.CutConnection()
            answer = self._execute(received)
        finally:
            self.kept.running.discard(received.key or "")
            self.in_use.discard(payment)
        if fault and fault.kind is Kind.ERROR_AFTER_EFFECT:
            return _broken(500)
        return play.after(fault, JSONResponse(answer))

    def _execute(self, received: Received) -> Document:
        """Do it and keep its result, in one transaction."""
        with self.house.store.transaction():
            answer = received.operation.run(received.call)
            if received.key:
                self.kept.keep(received.key, received.operation.name, received.call, answer)
        return answer

    def _postpone(self, received: Received, seconds: float) -> None:
        """Have a call run in some seconds of simulated time; nobody hears of its result."""
        now = self.house.store.exact_now()
        late: Document = {
            "id": new_id("late_"),
            "created": int(now),
            "operation": received.operation.name,
            "path": received.call.path,
            "params": received.call.params,
            "key": received.key,
        }
        with self.house.store.transaction():
            self.books.insert("late_call", late)
            self.books.set_timer("late_call", late["id"], now + seconds)

    def perform_late(self, identifier: str) -> None:
        """Run a postponed call, unless its key has a result by now: then it is a repetition."""
        late = self.books.get("late_call", identifier)
        call = Call(late["path"], late["params"])
        received = Received(self.operations[late["operation"]], call, late["key"])
        with suppress(RefusalError), self.house.store.attempt():
            if self._kept(received) is None:
                self._execute(received)


async def _nowhere(request: Request) -> Response:
    del request
    refusal = errors.no_such_url()
    return JSONResponse(refusal.body(), refusal.status)


async def _params(request: Request) -> dict[str, Any]:
    if request.method == "GET":
        return dict(request.query_params)
    body = await request.body()
    try:
        found = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise errors.plain("The request body is not a JSON object.")
    return found


def _broken(status: int) -> Response:
    return JSONResponse(errors.broken(status), status)
