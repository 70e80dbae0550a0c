"""The HTTP side: routes, headers, status codes."""

from __future__ import annotations

import asyncio
import gzip
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.engine import api
from sandbox.engine.api.explain import explain
from sandbox.engine.documents import bounds, requests
from sandbox.engine.engine import Engine
from sandbox.engine.errors import EngineError
from sandbox.engine.session import ADMIN, Session
from sandbox.engine.settings import VERSION, Pace
from sandbox.engine.values import to_json

from . import console_page
from . import headers as request_headers
from .shortcut import Shortcut
from .websocket import Endpoint, Sockets, not_here

JSON = b"application/json; charset=utf-8"
WORTH_GZIP = 700
HEALTH_SECONDS_MAX = 5.0  # for the database's answer


def create(
    engine: Engine, lifespan: Callable[[Any], AbstractAsyncContextManager[None]] | None = None
) -> ASGIApp:
    """Return the application; the lifespan opens and closes the engine."""
    admin = _Admin(engine)
    asked: dict[str, ASGIApp] = {
        "/v1/graphql": _GraphQL(engine, always_ok=True),
        "/v1alpha1/graphql": _GraphQL(engine, always_ok=False),
    }
    routes = [
        *(Route(path, endpoint) for path, endpoint in asked.items()),
        Route("/v1/metadata", admin.calls, methods=["POST"]),
        Route("/v2/query", admin.calls, methods=["POST"]),
        Route("/v1/graphql/explain", admin.explain, methods=["POST"]),
        Route("/v1alpha1/config", admin.config, methods=["GET"]),
        Route("/v1/version", _version, methods=["GET"]),
        Route("/healthz", admin.health, methods=["GET"]),
        Route("/hasura/healthz", admin.health, methods=["GET"]),
    ]
    if engine.settings.console:
        routes += console_page.routes()
    sockets = Sockets(engine)
    watched: list[BaseRoute] = [
        WebSocketRoute("/v1/graphql", Endpoint(sockets, plain=False)),
        WebSocketRoute("/v1alpha1/graphql", Endpoint(sockets, plain=True)),
        WebSocketRoute("/{path:path}", not_here),
    ]
    cors = engine.settings.cors
    handlers: dict[Any, Any] = {404: _not_found, 405: _not_found}
    app = Starlette(
        routes=[*routes, *watched],
        middleware=[_cors(cors)] if cors else [],
        exception_handlers=handlers,
        lifespan=lifespan,
    )
    return Shortcut(app, asked, cors=bool(cors))


def _cors(origins: Sequence[str]) -> Middleware:
    return Middleware(
        CORSMiddleware,
        allow_origins=[] if "*" in origins else list(origins),
        allow_origin_regex=".*" if "*" in origins else None,
        allow_methods=["*"],
        allow_headers=["*"],
        allow_credentials=True,
        expose_headers=["*"],
    )


def _body(value: Any, status: int = 200) -> Response:
    return Response(to_json(value), status, media_type="application/json; charset=utf-8")


async def _not_found(_request: Request, _error: HTTPException) -> Response:
    error = EngineError("not-found", "resource does not exist")
    return _body(error.as_plain(internal=False), 404)


async def _version(_request: Request) -> Response:
    return _body({"server_type": "ce", "version": VERSION})


async def _read(receive: Receive, scope: Scope, limit: int) -> bytes:
    if scope["method"] != "POST":
        raise EngineError("not-supported", "PersistedQueryNotSupported")
    parts, size = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise EngineError("bad-request", "the request body is too large", status=413)
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


class _GraphQL:
    """A plain ASGI endpoint: this is the hot path, and it needs no more of a framework."""

    def __init__(self, engine: Engine, *, always_ok: bool) -> None:
        self.engine = engine
        self.always_ok = always_ok

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = request_headers.read(scope)
        session: Session | None = None
        cookies: list[str] = []
        status, failed = 200, False
        try:
            body = await _read(receive, scope, self.engine.settings.body_limit)
            session = await self.engine.authenticator.session(headers, body)
            text, cookies, failed = await self._answer(requests.decode(body), session)
        except EngineError as error:
            text, failed, status = self._error(error, session), True, error.status
        content = text.encode(errors="replace")  # a client may send half a surrogate pair
        sent = [(b"content-type", JSON)]
        if not failed:
            identifier = headers.get("x-request-id") or str(uuid.uuid4())
            sent.append((b"x-request-id", identifier.encode("latin-1")))
        sent += [(b"set-cookie", cookie.encode("latin-1", "replace")) for cookie in cookies]
        if len(content) >= WORTH_GZIP and "gzip" in headers.get("accept-encoding", ""):
            content = gzip.compress(content, 1)
            sent.append((b"content-encoding", b"gzip"))
        sent.append((b"content-length", str(len(content)).encode()))
        status = 200 if self.always_ok else status
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": content})

    def _error(self, error: EngineError, session: Session | None) -> str:
        internal = self.engine.shows_internal(session)
        return to_json({"errors": [error.as_graphql(internal=internal)]})

    async def _answer(self, value: Any, session: Session) -> tuple[str, list[str], bool]:
        """Answer one request or a batch: text, cookies, and whether it failed."""
        if not isinstance(value, list):
            text, cookies = await self.engine.answer_guarded(requests.read(value), session)
            return f'{{"data":{text}}}', cookies, False
        bounds.check_batch(len(value), self.engine.settings.bounds)
        batch = [requests.read(item, f"$[{at}]") for at, item in enumerate(value)]
        texts, cookies = [], []
        for item in batch:
            try:
                text, more = await self.engine.answer_guarded(item, session)
                texts.append(f'{{"data":{text}}}')
                cookies += more
            except EngineError as error:
                texts.append(self._error(error, session))
        return "[" + ",".join(texts) + "]", cookies, False


def _must_be_admin(session: Session, refused: str) -> None:
    if session.role != ADMIN:
        raise EngineError("access-denied", refused)


class _Admin:
    """Calls that only the admin role may make, with real status codes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def health(self, request: Request) -> Response:
        if not await self._has_database():
            return PlainTextResponse("ERROR", 500)
        if not self.engine.state.tracked.inconsistent:
            return PlainTextResponse("OK")
        text = "inconsistent objects in schema"
        if request.query_params.get("strict") == "true":
            return PlainTextResponse(f"ERROR: {text}", 500)
        return PlainTextResponse(f"WARN: {text}")

    async def _has_database(self) -> bool:
        try:
            async with asyncio.timeout(HEALTH_SECONDS_MAX):
                return bool(await self.engine.pool.fetchval("select true"))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # a timeout is an OSError
            return False

    async def calls(self, request: Request) -> Response:
        async def run() -> Any:
            body = await _read(request.receive, request.scope, self.engine.settings.body_limit * 8)
            return await api.dispatch(self.engine, requests.decode(body))

        return await self._as_admin(request, "restricted access : admin only", run)

    async def explain(self, request: Request) -> Response:
        async def run() -> Any:
            body = await _read(request.receive, request.scope, self.engine.settings.body_limit)
            return await explain(self.engine, requests.decode(body))

        return await self._as_admin(request, "restricted access : admin only", run)

    async def config(self, request: Request) -> Response:
        async def run() -> Any:
            return self._config()

        refused = "You have to be an admin to access this endpoint"
        return await self._as_admin(request, refused, run)

    async def _as_admin(
        self, request: Request, refused: str, run: Callable[[], Awaitable[Any]]
    ) -> Response:
        session = None
        try:
            session = await self.engine.authenticator.session(dict(request.headers))
            _must_be_admin(session, refused)
            return _body(await run())
        except EngineError as error:
            internal = self.engine.shows_internal(session)
            return _body(error.as_plain(internal=internal), error.status)

    def _config(self) -> dict[str, Any]:
        settings = self.engine.settings
        return {
            "version": VERSION,
            "is_function_permissions_inferred": settings.infer_functions,
            "is_remote_schema_permissions_enabled": False,
            "is_admin_secret_set": settings.admin_secret is not None,
            "is_auth_hook_set": settings.auth_hook is not None,
            "is_jwt_set": bool(settings.jwt_secrets),
            "jwt": [_jwt_config(secret) for secret in settings.jwt_secrets],
            "is_allow_list_enabled": False,
            "live_queries": _pace(settings.live),
            "streaming_queries": _pace(settings.streaming),
            "console_assets_dir": None,
            "experimental_features": [],
            "is_prometheus_metrics_enabled": False,
            "default_naming_convention": "hasura-default",
            "feature_flags": [],
        }


def _pace(pace: Pace) -> dict[str, Any]:
    return {"batch_size": pace.batch, "refetch_delay": pace.interval_ms / 1000}


def _jwt_config(secret: dict[str, Any]) -> dict[str, Any]:
    return {
        "claims_namespace": secret.get("claims_namespace") or "https://hasura.io/jwt/claims",
        "claims_format": secret.get("claims_format") or "json",
        "claims_map": secret.get("claims_map"),
    }
