"""The API's front door: keys of the account, parameters, idempotency, faults, headers."""

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.faults import Fault, Kind
from sandbox.gateways.server import calls as play
from sandbox.gateways.server.simulator import House
from sandbox.gateways.stripe import errors
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.errors import DeclinedError, RefusalError
from sandbox.gateways.stripe.events import API_VERSION, Events
from sandbox.gateways.stripe.idempotency import IdempotencyKeys, Result, written
from sandbox.gateways.stripe.objects import new_id
from sandbox.gateways.stripe.parameters import check, decode

VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?")


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in."""

    id: str
    operation: Operation
    call: Call
    key: str | None  # of idempotency; None for GET

    @property
    def path(self) -> str:
        return self.operation.path.format(**self.call.path)


class Api:
    def __init__(self, house: House, events: Events, keys: Sequence[str]) -> None:
        self.house = house
        self.events = events
        self.keys = keys
        self.kept = IdempotencyKeys(house.store)
        self.operations: dict[str, Operation] = {}

    def routes(self, operations: Sequence[Operation]) -> list[Route]:
        self.operations = {one.name: one for one in operations}
        routes = [
            Route(one.path, self._endpoint(one), methods=[one.method], name=one.name)
            for one in operations
        ]
        return [*routes, Route("/{rest:path}", self._nowhere, methods=list(METHODS))]

    async def _nowhere(self, request: Request) -> Response:
        path = request.url.path.removeprefix(request.scope["root_path"])
        return self._dress(request, _refuse(errors.no_such_url(request.method, path)))

    def _endpoint(self, operation: Operation) -> Any:
        async def endpoint(request: Request) -> Response:
            return self._dress(request, await self._answer(request, operation))

        return endpoint

    async def _answer(self, request: Request, operation: Operation) -> Response:
        """Answer a request, one fault at most.

        The fault is taken when the request is read: nothing waits between that, the look at
        its key, and marking the key as in use.
        """
        request.scope["state"]["request_id"] = new_id("req", 14)
        try:
            received = await self._receive(request, operation)
            fault = self.house.faults.take("stripe", operation.name)
            kept = self._kept(received)
            if kept is not None:
                return await play.before(fault, broken) or play.after(fault, _replay(kept))
            return await self._perform(received, fault)
        except RefusalError as refusal:
            return _refuse(refusal)

    async def _receive(self, request: Request, operation: Operation) -> Received:
        self._authenticate(request)
        params = decode(await _pairs(request))
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        return Received(
            id=request.scope["state"]["request_id"],
            operation=operation,
            call=Call(dict(request.path_params), params),
            key=key or None,
        )

    def _authenticate(self, request: Request) -> None:
        key = _key(request.headers.get("authorization", ""))
        if not key:
            raise errors.no_key()
        if key not in self.keys:
            raise errors.wrong_key(key)
        version = request.headers.get("stripe-version", API_VERSION)
        if not VERSION.fullmatch(version):
            raise RefusalError(f"Invalid Stripe API version: {version}")

    def _kept(self, received: Received) -> Result | None:
        if received.key is None:
            return None
        return self.kept.replay(received.key, received.path, received.call.params)

    async def _perform(self, received: Received, fault: Fault | None) -> Response:
        """Run the operation around its fault; meanwhile its idempotency key is in use."""
        if received.key:
            self.kept.running.add(received.key)
        try:
            instead = await play.before(fault, broken)
            if instead is not None:
                return instead
            if fault and fault.kind is Kind.LATE_EFFECT:
                self._postpone(received, fault.seconds)
                return play.CutConnection()
            result = self._execute(received, fault)
        finally:
            self.kept.running.discard(received.key or "")
        return play.after(fault, _show(result))

    def _postpone(self, received: Received, seconds: float) -> None:
        """Have a call run in some seconds of simulated time; nobody hears of its result."""
        books, now = self.events.books, self.house.store.exact_now()
        late = {
            "id": received.id,
            "created": int(now),
            "operation": received.operation.name,
            "path": received.call.path,
            "params": received.call.params,
            "key": received.key,
        }
        with self.house.store.transaction():
            books.insert("late_call", late)
            books.set_timer("late_call", received.id, now + seconds)

    def perform_late(self, identifier: str) -> None:
        """Run a postponed call, unless its key has a result by now: then it is a repetition."""
        late = self.events.books.get("late_call", identifier)
        call = Call(late["path"], late["params"])
        received = Received(identifier, self.operations[late["operation"]], call, late["key"])
        with suppress(RefusalError), self.house.store.attempt():
            if self._kept(received) is None:
                self._execute(received, None)

    def _execute(self, received: Received, fault: Fault | None) -> Result:
        """Do it and keep its result, in one transaction."""
        operation, call = received.operation, received.call
        checked = Call(call.path, check(call.params, operation.shape))
        with (
            self.house.store.transaction(),
            self.events.books.held(),
            self.events.caused_by(received.id, received.key),
        ):
            result = self._run(operation, checked, received.id)
            if fault and fault.kind is Kind.ERROR_AFTER_EFFECT:
                result = Result(500, written(errors.server_error()), received.id)
            if received.key:
                self.kept.keep(received.key, received.path, call.params, result)
        return result

    def _run(self, operation: Operation, call: Call, request: str) -> Result:
        """Run an operation. A decline is a result; any other refusal undoes everything."""
        try:
            return Result(200, written(operation.run(call)), request)
        except DeclinedError as decline:
            return Result(decline.status, written(decline.body()), request)

    def _dress(self, request: Request, answer: Response) -> Response:
        """Add the headers that every answer of Stripe carries."""
        headers = request.headers
        identifier = request.scope["state"].get("request_id") or new_id("req", 14)
        answer.headers["Request-Id"] = identifier
        answer.headers["Stripe-Version"] = headers.get("stripe-version", API_VERSION)
        if request.method == "POST" and "idempotency-key" in headers:
            answer.headers["Idempotency-Key"] = headers["idempotency-key"]
        return answer


METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH")


def _key(authorization: str) -> str:
    """Take the key from a bearer token, or from the user name of basic authentication."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials
    if scheme.lower() != "basic":
        return ""
    try:
        return b64decode(credentials, validate=True).decode().partition(":")[0]
    except ValueError:
        return ""


async def _pairs(request: Request) -> list[tuple[str, str]]:
    """Read the parameters from the query and, for anything but GET, from the form."""
    pairs = parse_qsl(request.url.query, keep_blank_values=True)
    if request.method != "GET":
        body = (await request.body()).decode("utf-8", errors="replace")
        pairs += parse_qsl(body, keep_blank_values=True)
    return pairs


def _refuse(refusal: RefusalError) -> Response:
    return JSONResponse(refusal.body(), refusal.status)


def _replay(kept: Result) -> Response:
    headers = {"Idempotent-Replayed": "true", "Original-Request": kept.request}
    return _show(kept, headers)


def _show(result: Result, headers: Mapping[str, str] | None = None) -> Response:
    return Response(result.text, result.status, headers, "application/json")


def broken(status: int) -> Response:
    """Answer as Stripe does when it fails or limits the rate."""
    body = errors.rate_limited() if status == 429 else errors.server_error()
    return JSONResponse(body, status)
