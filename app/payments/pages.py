"""The pages between a payer and a gateway: to choose on, on the way there, and on the way back."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from flask import Response, redirect
from werkzeug.wrappers import Response as WsgiResponse

from app import pages
from app.context import Context
from app.endpoints import page
from app.errors import (
    AttemptsExhaustedError,
    CheckoutExpiredError,
    GatewayRefusedError,
    GatewayUnavailableError,
    NotFoundError,
    PaymentInProgressError,
    SettingInvalidError,
    SignatureInvalidError,
    TooManyRequestsError,
)
from app.gateways import Method, Return
from app.payments import orders, screens, verification, visitors

Handler = Callable[..., Any]

# Refusals that a payer reads on the page itself, by its notice; "" where its state says all.
ON_THE_PAGE = {
    PaymentInProgressError: "busy",
    GatewayUnavailableError: "silent",
    GatewayRefusedError: "refused",
    SettingInvalidError: "refused",
    CheckoutExpiredError: "",
    AttemptsExhaustedError: "",
}
ON_ONE_OF_THEIR_OWN = (NotFoundError, SignatureInvalidError, TooManyRequestsError)


def readable(handler: Handler) -> Handler:
    """Tell payers in words what other callers are told in codes."""

    @wraps(handler)
    def told(ctx: Context, fields: dict[str, str], **names: str) -> Any:
        try:
            return handler(ctx, fields, **names)
        except ON_ONE_OF_THEIR_OWN as failure:
            return screens.tell(failure.code, failure.status, visitors.language(fields))

    return told


@page("GET", "/pay/<token>")
@readable
def show_payment_page(ctx: Context, fields: dict[str, str], token: str) -> Response:
    """Show an order and how it may be paid, or how its payment stands."""
    row = orders.page_of(ctx, token)
    takes_more = not (row["is_over"] or row["is_exhausted"])
    is_open = screens.state(row) is screens.State.CHOOSE and takes_more
    methods = list(orders.offers(ctx, row)) if is_open else []
    language = visitors.language(fields)
    answer = screens.show(screens.Screen(row, language, methods, fields.get("notice", "")))
    if fields.get("lang") == language:
        visitors.keep_language(ctx, answer, language)
    return answer


@page("GET", "/pay/<token>/state")
def read_payment_page(ctx: Context, _fields: dict[str, str], token: str) -> dict[str, str]:
    """Tell an open page how its payment stands. No gateway is asked: whoever looks may look."""
    row = orders.page_of(ctx, token)
    return {"state": screens.state(row), "seen": screens.seen(row)}


@page("POST", "/pay/<token>/methods/<method>")
@readable
def choose_method(
    ctx: Context, _fields: dict[str, str], token: str, method: str
) -> Response | WsgiResponse:
    """Begin an attempt by a method, and bring the payer to the gateway's page."""
    row = orders.page_of(ctx, token)
    if method not in orders.METHODS:
        message = f"{method[:32]} is no method of payment"
        raise NotFoundError(message)
    try:
        attempt = orders.begin(ctx, row, Method(method), visitors.address_hash(ctx))
    except tuple(ON_THE_PAGE) as failure:
        return _to_page(token, ON_THE_PAGE[type(failure)])
    if attempt is None or attempt["status"] in {"paid", "canceled"}:
        return _to_page(token)
    return redirect(f"{orders.HANDOVER_PATH}{attempt['payment_attempt_id']}", 303)


@page("GET", "/payments/handover/<attempt_id>")
@readable
def hand_over(ctx: Context, fields: dict[str, str], attempt_id: str) -> Response | WsgiResponse:
    """Bring the payer's browser to the gateway's page. Asked again: to the same page.

    The address is the secret: an attempt's id is random, and who has it may pay, no more.
    """
    known = _known(ctx, attempt_id)
    row = orders.of_attempt(ctx, known["payment_attempt_id"])
    if row is None or row["payment_attempt_status"] not in screens.RESUMABLE or row["is_over"]:
        return _to_page(known["token"])
    try:
        opened = pages.open_page(ctx, row)
    except (GatewayRefusedError, GatewayUnavailableError) as failure:
        return _to_page(known["token"], ON_THE_PAGE[type(failure)])
    return screens.hand_over(row, opened, visitors.language(fields))


@page("GET", "/payments/return/<attempt_id>")
@page("POST", "/payments/return/<attempt_id>")
@readable
def come_back(ctx: Context, fields: dict[str, str], attempt_id: str) -> Response | WsgiResponse:
    """Take the payer back. What their browser says proves nothing: the gateway is asked.

    A return that was altered, or is another payment's, is refused.
    """
    known = _known(ctx, attempt_id)
    session = known["gateway_session_id"] or ""
    arrival = Return(fields, known["payment_attempt_id"], session)
    ctx.gateway(known["gateway"]).read_return(arrival)
    stands = verification.verify(ctx, known["payment_intent_id"])
    return _to_page(known["token"], "turned-back" if stands["status"] == "pending" else "")


def _known(ctx: Context, attempt_id: str) -> dict[str, Any]:
    try:
        rows = ctx.hasura.run("PageOfAttempt", attemptId=str(UUID(attempt_id)))
    except ValueError:
        rows = []
    if not rows:
        message = "there is no such payment"
        raise NotFoundError(message)
    row: dict[str, Any] = rows[0]
    return row


def _to_page(token: str, notice: str = "") -> WsgiResponse:
    query = f"?notice={notice}" if notice else ""
    return redirect(f"{orders.PAGE_PATH}{token}{query}", 303)
