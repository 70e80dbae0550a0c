"""The API's front door: keys of the account, JSON, idempotency, faults."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.faults import Fault, Kind
from sandbox.gateways.cashfree import errors, rupees
from sandbox.gateways.cashfree.calls import Call, Operation
from sandbox.gateways.cashfree.errors import RefusalError
from sandbox.gateways.cashfree.idempotency import IdempotencyKeys
from sandbox.gateways.server import calls as play
from sandbox.gateways.server.simulator import House
from sandbox.gateways.server.state import Books

API_VERSIONS = {"2025-01-01", "2023-08-01"}
METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in."""

    operation: Operation
    call: Call
    key: str  # of idempotency; empty for GET and where none was sent

    @property
    def place(self) -> str:
        path = self.operation.path.format(**self.call.path)
        return f"{self.operation.method} {path}"


class Api:
    def __init__(self, house: House, books: Books, ids: Sequence[str], keys: Sequence[str]) -> None:
        self.house = house
        self.books = books
        self.ids = ids
        self.keys = keys
        self.kept = IdempotencyKeys(books)
        self.operations: dict[str, Operation] = {}

    def routes(self, operations: Sequence[Operation]) -> list[Route]:
        self.operations = {one.name: one for one in operations}
        routes = [
            Route(one.path, self._endpoint(one), methods=[one.method], name=one.name)
            for one in operations
        ]
        return [*routes, Route("/{rest:path}", self._nowhere, methods=list(METHODS))]

    async def _nowhere(self, _: Request) -> Response:
        return _refuse(errors.no_url())

    def _endpoint(self, operation: Operation) -> Any:
        async def endpoint(request: Request) -> Response:
            answer = await self._answer(request, operation)
            answer.headers["x-api-version"] = request.headers.get("x-api-version", "")
            answer.headers["x-request-id"] = uuid4().hex
            return answer

        return endpoint

    async def _answer(self, request: Request, operation: Operation) -> Response:
        """Answer a request, one fault at most, which is taken when the request is read."""
        try:
            received = await self._receive(request, operation)
            fault = self.house.faults.take("cashfree", operation.name)
            kept = self.kept.replay(received.key, received.place, received.call.body)
            if kept is not None:
                again = _json(kept)
                again.headers["x-idempotency-replayed"] = "true"
                return await play.before(fault, broken) or play.after(fault, again)
            return await self._perform(received, fault)
        except RefusalError as refusal:
            return _refuse(refusal)

    async def _receive(self, request: Request, operation: Operation) -> Received:
        headers = request.headers
        known = headers.get("x-client-id") in self.ids
        if not (known and headers.get("x-client-secret") in self.keys):
            raise errors.unauthenticated()
        if headers.get("x-api-version") not in API_VERSIONS:
            raise errors.no_version()
        body = await _body(request) if request.method != "GET" else {}
        key = headers.get("x-idempotency-key", "") if request.method != "GET" else ""
        return Received(operation, Call(dict(request.path_params), body), key)

    async def _perform(self, received: Received, fault: Fault | None) -> Response:
        """Run the operation around its fault; meanwhile its idempotency key is in use."""
        with self.kept.in_use(received.key):
            instead = await play.before(fault, broken)
            if instead is not None:
                return instead
            if fault and fault.kind is Kind.LATE_EFFECT:
                self._postpone(received, fault.seconds)
                return play.CutConnection()
            result = self._execute(received)
        if fault and fault.kind is Kind.ERROR_AFTER_EFFECT:
            return broken(500)
        return play.after(fault, _json(result))

    def _execute(self, received: Received) -> Any:
        """Do it and keep its result, in one transaction."""
        with self.house.store.transaction():
            result = received.operation.run(received.call)
            self.kept.keep(received.key, received.place, received.call.body, result)
        return result

    def _postpone(self, received: Received, seconds: float) -> None:
        """Have a call run in some seconds of simulated time; nobody hears of its result."""
        identifier, now = uuid4().hex, self.house.store.exact_now()
        late = {
            "id": identifier,
            "created": int(now),
            "operation": received.operation.name,
            "path": received.call.path,
            "body": rupees.write(received.call.body).decode(),
            "key": received.key,
        }
        with self.house.store.transaction():
            self.books.insert("late_call", late)
            self.books.set_timer("late_call", identifier, now + seconds)

    def perform_late(self, identifier: str) -> None:
        """Run a postponed call, unless its key has a result by now: then it is a repetition."""
        late = self.books.get("late_call", identifier)
        call = Call(late["path"], rupees.read(late["body"].encode()))
        received = Received(self.operations[late["operation"]], call, late["key"])
        with suppress(RefusalError), self.house.store.attempt():
            if self.kept.replay(received.key, received.place, call.body) is None:
                self._execute(received)


async def _body(request: Request) -> dict[str, Any]:
    try:
        found = rupees.read(await request.body())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RefusalError("bad request body, it is not a JSON object", "request_invalid")
    return found


def _json(document: Any) -> Response:
    return Response(rupees.write(document), media_type="application/json")


def _refuse(refusal: RefusalError) -> Response:
    answer = _json(refusal.body)
    answer.status_code = refusal.status
    return answer


def broken(status: int) -> Response:
    """Answer as Cashfree does when it fails or limits the rate."""
    answer = _json(errors.broken(status))
    answer.status_code = status
    return answer
