"""The service: create_app() is the only place where the parts meet."""

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from uuid import uuid4

from flask import Flask, Response, g, jsonify, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WsgiResponse

from app import budget, config, endpoints, gateways, inbox, log
from app.clock import Clock
from app.context import Context
from app.errors import (
    AppError,
    InvalidInputError,
    MethodNotAllowedError,
    NotFoundError,
    PayloadTooLargeError,
)
from app.graphql import Hasura, connect

BODY_BYTES_MAX = 1 << 20
TRACE_ID = re.compile("[0-9a-f]{16}(?:[0-9a-f]{16})?")
REST_PATH = "/payments/"  # UberTruck's, whose document says what a failure looks like

logger = logging.getLogger(__name__)

HTTP_ERRORS: dict[int, type[AppError]] = {
    404: NotFoundError,
    405: MethodNotAllowedError,
    413: PayloadTooLargeError,
}


def create_app(environ: Mapping[str, str] | None = None, hasura: Hasura | None = None) -> Flask:
    """Build the service from its environment. Raises ConfigError that names all that is wrong.

    Whoever has a way to Hasura of their own brings it along.
    """
    environ = os.environ if environ is None else environ
    settings = config.load(environ)
    log.configure(settings.log_level)

    hasura = hasura or _connect(settings)
    clock = Clock(None if settings.livemode else partial(_read_skew, hasura))

    flask = Flask(__name__)
    flask.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    flask.before_request(partial(_begin, clock, environ))
    flask.after_request(_end)
    flask.teardown_request(lambda _: budget.finish())
    flask.register_error_handler(AppError, _refuse)
    flask.register_error_handler(ValidationError, _refuse_input)
    flask.register_error_handler(HTTPException, _refuse_http)
    flask.register_error_handler(Exception, _fail)

    finder = gateways.finder(environ)
    contexts = partial(_acting, Context(settings, hasura, finder, clock.now, inbox.messages()))
    for endpoint in endpoints.discover(sys.modules[__name__]):
        view = partial(_serve, endpoint, contexts, settings.action_secret)
        for path in endpoint.paths:
            flask.add_url_rule(path, path, view, methods=list(endpoint.methods))
    flask.add_url_rule("/healthz", "healthz", lambda: {"status": "ok"})
    return flask


def _connect(settings: config.Settings) -> Hasura:
    return connect(
        settings.hasura_endpoint,
        {
            "x-hasura-admin-secret": settings.hasura_admin_secret,
            "x-hasura-role": "service",
            "x-hasura-livemode": str(settings.livemode).lower(),
        },
    )


def _read_skew(hasura: Hasura) -> int:
    return int(hasura.one("ReadClock")["skew_seconds"])


def _acting(ctx: Context, session_variables: dict[str, str]) -> Context:
    return replace(ctx, hasura=ctx.hasura.acting_for(session_variables))


def _serve(
    endpoint: endpoints.Endpoint,
    contexts: Callable[[dict[str, str]], Context],
    secrets: tuple[str, ...],
    **names: str,
) -> WsgiResponse:
    g.door = endpoint.door
    if endpoint.needs_secret:
        endpoints.check_secret(request.headers.get("ACTION-SECRET", ""), secrets)
    answer = endpoint.serve(contexts, request, names)
    return answer if isinstance(answer, WsgiResponse) else jsonify(answer)


def _begin(clock: Clock, environ: Mapping[str, str]) -> None:
    is_cron = request.path.startswith("/crons/")
    budget.begin(budget.CRON_SECONDS_MAX if is_cron else budget.ANSWER_SECONDS_MAX)
    if is_cron:
        clock.forget()  # whoever moves the time calls the crons then
    given = request.headers.get("X-Request-Id", "")
    log.request_id.set(given if given.isprintable() and 0 < len(given) <= 64 else str(uuid4()))
    traced = request.headers.get("X-B3-TraceId", "").lower()  # Hasura sends it with actions
    log.trace_id.set(traced if TRACE_ID.fullmatch(traced) else "")
    log.xray.set(log.xray_header(environ))
    g.started = time.perf_counter()


def _end(response: Response) -> Response:
    response.headers["X-Request-Id"] = log.request_id.get()
    logger.info(
        "%s %s",
        request.method,
        request.path,
        extra={
            "status": response.status_code,
            "milliseconds": round((time.perf_counter() - g.started) * 1000, 1),
        },
    )
    return response


def _refuse(error: AppError) -> tuple[Response, int]:
    logger.warning("%s: %s", error.code, error.message)
    return _shaped(error), error.status


def _shaped(error: AppError) -> Response:
    is_rest = g.get("door") == "rest" or request.path.startswith(REST_PATH)
    return jsonify(error.as_rest() if is_rest else error.as_hasura())


def _refuse_input(error: ValidationError) -> tuple[Response, int]:
    return _refuse(InvalidInputError("the input is not valid", errors=error.messages))


def _refuse_http(error: HTTPException) -> tuple[Response, int]:
    kind = HTTP_ERRORS.get(error.code or 500, InvalidInputError)
    return _refuse(kind(error.description or error.name))


def _fail(bug: Exception) -> tuple[Response, int]:
    logger.error("unforeseen", exc_info=bug)
    request_id = log.request_id.get()
    return _shaped(AppError("internal error", request_id=request_id)), 500
