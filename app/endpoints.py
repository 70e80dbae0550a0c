"""The doors, and how they are found.

A handler is a function under a decorator that says which door it stands behind; its name gives
the path, so nothing is registered by hand. Doors but webhooks ask for ACTION-SECRET; a webhook
proves itself to its gateway's adapter.
"""

import hmac
import logging
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

from flask import Request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from app import gateways, jsonb
from app.context import Context
from app.errors import (
    AppError,
    ForbiddenError,
    InvalidInputError,
    PayloadTooLargeError,
    UnauthorizedError,
)
from app.gateways import Delivery
from app.graphql import QueryError
from app.refusals import Counts

log = logging.getLogger(__name__)

DOORS = (
    "actions",
    "crons",
    "events",
    "pages",
    "rest",
    "webhooks",
)  # the modules of a capability that have any

# What the caller's session may tell the database. The mode is ours to say, not theirs.
ACTOR_VARIABLES = ("x-hasura-user-id", "x-hasura-organization-id", "x-hasura-customer-id")
ORGANIZATION = "x-hasura-organization-id"
TENANT = "x-tenant-id"  # UberTruck's word for it; it may agree, and decides nothing
# The role that a person acts in; Hasura itself is always asked as role `service`.
ACTOR_ROLE = "x-hasura-actor-role"

Serve = Callable[[Callable[[dict[str, str]], Context], Request, dict[str, str]], Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A handler behind its door: where it is reached, and how a request is served there."""

    name: str
    door: str
    paths: tuple[str, ...]
    serve: Serve
    methods: tuple[str, ...] = ("POST",)

    @property
    def needs_secret(self) -> bool:
        # A webhook proves itself by its signature, a page's address is what its visitor was given.
        return self.door not in {"webhook", "page"}


def action(schema: type[Schema], roles: frozenset[str]) -> Callable[[Any], Any]:
    """Serve a Hasura action at /<its-name>, for these roles.

    The handler gets the context and what the schema loads; it answers the action's output. The
    body is Hasura's: {"input": {...}, "session_variables": {...}}, the rest of it is not needed.
    """

    def decorate(handler: Callable[[Context, Any], object]) -> Any:
        def serve(contexts: Any, request: Request, _: dict[str, str]) -> object:
            body = _object(request)
            session = _session(body, roles)
            return handler(contexts(session), schema().load(_part(body, "input")))

        path = "/" + handler.__name__.replace("_", "-")
        return _mark(handler, Endpoint(handler.__name__, "action", (path,), serve))

    return decorate


def event(handler: Callable[[Context, dict[str, Any]], object]) -> Any:
    """Serve a Hasura event trigger of the handler's name: it gets the row as it is now."""

    def serve(contexts: Any, request: Request, _: dict[str, str]) -> object:
        row = _part(_part(_part(_object(request), "event"), "data"), "new")
        return handler(contexts({}), row)

    path = f"/events/{handler.__name__}"
    return _mark(handler, Endpoint(handler.__name__, "event", (path,), serve))


def cron(handler: Callable[[Context], object]) -> Any:
    """Serve a Hasura cron trigger of the handler's name."""

    def serve(contexts: Any, _request: Request, _: dict[str, str]) -> object:
        return handler(contexts({}))

    path = f"/crons/{handler.__name__}"
    return _mark(handler, Endpoint(handler.__name__, "cron", (path,), serve))


def rest(method: str, path: str, schema: type[Schema] | None = None) -> Callable[[Any], Any]:
    """Serve a REST call at a path whose <names> become the handler's arguments.

    With a schema the handler gets what it loads of the body, after the context. The caller holds
    ACTION-SECRET, and says in x-hasura-* headers for whom it acts; without them for the service.
    """

    def decorate(handler: Callable[..., object]) -> Any:
        def serve(contexts: Any, request: Request, names: dict[str, str]) -> object:
            given = {name.lower(): value for name, value in request.headers}
            actor = _actor(given)
            if given.get(TENANT, actor.get(ORGANIZATION)) != actor.get(ORGANIZATION):
                message = "X-Tenant-Id is not the organisation that the caller acts for"
                raise ForbiddenError(message)
            loaded = (schema().load(_decimals(request)),) if schema else ()
            return handler(contexts(actor), *loaded, **names)

        return _mark(handler, Endpoint(handler.__name__, "rest", (path,), serve, (method,)))

    return decorate


def page(method: str, path: str) -> Callable[[Any], Any]:
    """Serve people's browsers at a path whose <names> become the handler's arguments.

    The handler gets the context, then what came as query and form, and answers a response. Under
    two of these it serves two methods.
    """

    def decorate(handler: Callable[..., object]) -> Any:
        def serve(contexts: Any, request: Request, names: dict[str, str]) -> object:
            return handler(contexts({}), request.values.to_dict(), **names)

        before = getattr(handler, "endpoint", None)
        methods = (method, *(before.methods if before else ()))
        return _mark(handler, Endpoint(handler.__name__, "page", (path,), serve, methods))

    return decorate


def webhook(*paths: str) -> Callable[[Any], Any]:
    """Serve gateways' webhooks at paths with a <gateway> in them. What is refused is counted."""

    def decorate(handler: Callable[[Context, str, Delivery], object]) -> Any:
        def serve(contexts: Any, request: Request, names: dict[str, str]) -> object:
            ctx, gateway = contexts({}), names["gateway"]
            headers = {name.lower(): value for name, value in request.headers}
            body = None
            try:
                body = _whole_body(request)
                return handler(ctx, gateway, Delivery(headers=headers, body=body))
            except AppError as refusal:
                if gateway in gateways.names():  # a stranger's words fill no table
                    ctx.refusals.note(gateway, refusal, body, partial(_write_refusals, ctx))
                raise

        return _mark(handler, Endpoint(handler.__name__, "webhook", paths, serve))

    return decorate


def discover(package: ModuleType) -> list[Endpoint]:
    """Find every handler of every capability, sorted by path."""
    found = [
        value.endpoint
        for module in _door_modules(package)
        for value in vars(module).values()
        if isinstance(getattr(value, "endpoint", None), Endpoint)
    ]
    return sorted(found, key=lambda endpoint: endpoint.paths)


def check_secret(given: str, accepted: tuple[str, ...]) -> None:
    """Compare ACTION-SECRET in constant time. Raises UnauthorizedError."""
    matches = [hmac.compare_digest(given.encode(), secret.encode()) for secret in accepted]
    if not any(matches):
        message = "ACTION-SECRET is missing or wrong"
        raise UnauthorizedError(message)


def _door_modules(package: ModuleType) -> Iterator[ModuleType]:
    for capability in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if capability.ispkg:
            parts = pkgutil.iter_modules(import_module(capability.name).__path__)
            for part in parts:
                if part.name in DOORS:
                    yield import_module(f"{capability.name}.{part.name}")


def _mark(handler: Any, endpoint: Endpoint) -> Any:
    handler.endpoint = endpoint
    return handler


def _whole_body(request: Request) -> bytes:
    try:
        return request.get_data()
    except RequestEntityTooLarge as failure:
        raise PayloadTooLargeError(failure.description or failure.name) from failure


def _write_refusals(ctx: Context, counts: Counts) -> bool:
    try:
        ctx.hasura.run("NoteRefusedMessages", messages=counts)
    except (AppError, QueryError) as failure:
        log.warning("refused messages are not written down yet: %s", failure)
        return False
    return True


def _object(request: Request) -> dict[str, Any]:
    try:
        body = jsonb.parse(request.get_data())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        message = "the body is not a JSON object"
        raise InvalidInputError(message)
    return body


def _decimals(request: Request) -> dict[str, Any]:
    """Read a body whose amounts may have a point: those are Decimal, for a float is not exact."""
    try:
        body = jsonb.parse_exactly(request.get_data())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        message = "the body is not a JSON object"
        raise InvalidInputError(message)
    return body


def _part(body: dict[str, Any], name: str) -> dict[str, Any]:
    part = body.get(name)
    if not isinstance(part, dict):
        raise ValidationError({name: ["Not a JSON object."]})
    return part


def _session(body: dict[str, Any], roles: frozenset[str]) -> dict[str, str]:
    variables = {name.lower(): value for name, value in _part(body, "session_variables").items()}
    if not all(isinstance(value, str) for value in variables.values()):
        raise ValidationError({"session_variables": ["Not texts."]})
    variables.setdefault("x-hasura-role", "customer")  # the document of TCS sends none
    if variables["x-hasura-role"] not in roles:
        message = f"role {variables['x-hasura-role']} may not do this"
        raise ForbiddenError(message)
    if not variables.get("x-hasura-user-id"):
        message = "session_variables name no x-hasura-user-id"
        raise UnauthorizedError(message)
    return _actor(variables)


def _actor(variables: dict[str, str]) -> dict[str, str]:
    actor = {name: variables[name] for name in ACTOR_VARIABLES if name in variables}
    if "x-hasura-role" in variables:
        actor[ACTOR_ROLE] = variables["x-hasura-role"]
    return actor
