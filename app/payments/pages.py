"""The pages between a payer and a gateway: to choose on, on the way there, and on the way back."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from uuid import UUID

from flask import Response, redirect
from werkzeug.wrappers import Response as WsgiResponse

from app import pages
from app.context import Context
from app.endpoints import page
from app.errors import (
    AppError,
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
from app.findings import BY_HAND
from app.gateways import Method, Return
from app.payments import embedding, orders, passes, screens, tongues, verification, visitors

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
NEW = timedelta(seconds=10)  # a UPI code of this age is not asked for again
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
    frame = embedding.frame_of(row, fields, language)
    payer = _pass(ctx, token, fields)
    saved = orders.saved_cards(ctx, row) if payer and is_open else []
    answer = screens.show(
        screens.Screen(row, language, methods, fields.get("notice", ""), frame, payer, saved)
    )
    if fields.get("lang") == language:
        visitors.keep_language(ctx, answer, language)
    return answer


@page("GET", "/checkout.js")
def read_checkout_script(_ctx: Context, _fields: dict[str, str]) -> Response:
    """Serve the newest script that opens our page over a merchant's."""
    return embedding.script(is_pinned=False)


@page("GET", f"/{embedding.SCRIPT}")
def read_pinned_checkout_script(_ctx: Context, _fields: dict[str, str]) -> Response:
    """Serve the script under the name of its version, whose bytes never change."""
    return embedding.script(is_pinned=True)


@page("GET", "/pay/<token>/state")
def read_payment_page(ctx: Context, _fields: dict[str, str], token: str) -> dict[str, str]:
    """Tell an open page how its payment stands. No gateway is asked: whoever looks may look."""
    row = orders.page_of(ctx, token)
    return {"state": screens.state(row), "seen": screens.seen(row)}


@page("POST", "/pay/<token>/methods/<method>")
@readable
def choose_method(
    ctx: Context, fields: dict[str, str], token: str, method: str
) -> Response | WsgiResponse:
    """Begin an attempt by a method, and bring the payer to the gateway's page."""
    row = orders.page_of(ctx, token)
    payer = _pass(ctx, token, fields)
    if method not in orders.METHODS:
        message = f"{method[:32]} is no method of payment"
        raise NotFoundError(message)
    if method == BY_HAND and orders.takes_transfers(row):
        return redirect(f"{orders.PAGE_PATH}{token}/bank-transfer", 303)
    try:
        saved = _saved(fields) if payer else None
        attempt = orders.begin(ctx, row, Method(method), visitors.address_hash(ctx), saved)
    except tuple(ON_THE_PAGE) as failure:
        return _to_page(token, _notice(failure))
    if attempt is None or attempt["status"] in {"paid", "canceled"}:
        return _to_page(token)
    query = f"?payer={payer}" if saved else ""
    there = redirect(f"{orders.HANDOVER_PATH}{attempt['payment_attempt_id']}{query}", 303)
    if fields.get("lang") in tongues.LANGUAGES:  # chosen in a frame, where no cookie is kept
        visitors.keep_language(ctx, there, fields["lang"])
    return there


@page("GET", "/pay/<token>/bank-transfer")
@readable
def show_bank_account(ctx: Context, fields: dict[str, str], token: str) -> Response | WsgiResponse:
    """Show where to transfer the money. Nothing is begun: whoever only looks may pay otherwise."""
    row = orders.page_of(ctx, token)
    is_open = screens.state(row) is screens.State.CHOOSE and not row["is_over"]
    if not (is_open and orders.takes_transfers(row)):
        return _to_page(token)
    language = visitors.language(fields)
    answer = screens.show_bank_account(row, language)
    if fields.get("lang") == language:
        visitors.keep_language(ctx, answer, language)
    return answer


@page("GET", "/payments/handover/<attempt_id>")
@readable
def hand_over(ctx: Context, fields: dict[str, str], attempt_id: str) -> Response | WsgiResponse:
    """Bring the payer's browser to the gateway's page, or show a UPI code instead.

    Asked again: the same page, and the same code while it is valid. The address is the secret, and
    no log has it: an attempt's id is random. Who has it may pay, finds the address of the payer's
    page, and reads in a form for a gateway what that is told of the payer.
    """
    known = _known(ctx, attempt_id)
    row = _open_attempt(ctx, known)
    if row and row["link_expires_at"]:
        left = datetime.fromisoformat(row["link_expires_at"]) - ctx.now()
        if left <= timedelta():  # nobody comes back from an app: perhaps it is paid
            verification.verify_return(ctx, known["payment_intent_id"])
            row = _open_attempt(ctx, known)
        if row and row["link_expires_at"]:
            return _show_code(ctx, row, known["token"], visitors.language(fields))
    return _lead_on(ctx, row, known["token"], fields)


@page("POST", "/payments/handover/<attempt_id>/code")
@readable
def renew_code(ctx: Context, fields: dict[str, str], attempt_id: str) -> Response | WsgiResponse:
    """Show a new UPI code, whatever became of the last one. Should both be paid, one goes back.

    One that has just been made is shown: two clicks are one code.
    """
    known = _known(ctx, attempt_id)
    row = _open_attempt(ctx, known)
    if row and row["link_expires_at"]:
        age = ctx.now() + pages.LINK_LIFE - datetime.fromisoformat(row["link_expires_at"])
        if age < NEW:
            return _to_code(row, fields)
    return _lead_on(ctx, row, known["token"], fields)


def _open_attempt(ctx: Context, known: dict[str, Any]) -> dict[str, Any] | None:
    row = orders.of_attempt(ctx, known["payment_attempt_id"])
    if row is None or row["status"] in screens.SETTLED or row["is_over"]:
        return None
    return row if row["payment_attempt_status"] in screens.RESUMABLE else None


def _lead_on(
    ctx: Context, row: dict[str, Any] | None, token: str, fields: dict[str, str]
) -> Response | WsgiResponse:
    """Ask the gateway for a code or a page. Without an attempt that is open: back to our page."""
    # What a customer saved is offered to nobody who has but the address.
    if row is None or (row["gateway_customer_id"] and not _pass(ctx, token, fields)):
        return _to_page(token)
    try:
        intent = pages.open_upi(ctx, row, visitors.device())
        opened = None if intent else pages.open_page(ctx, row)
    except (GatewayRefusedError, GatewayUnavailableError) as failure:
        return _to_page(token, _notice(failure))
    except (CheckoutExpiredError, PaymentInProgressError):
        # While the gateway thought, the payment was called off, or the payer went elsewhere.
        return _to_page(token)
    if opened is not None:
        return screens.hand_over(row, opened, visitors.language(fields))
    return _to_code(row, fields)


def _to_code(row: dict[str, Any], fields: dict[str, str]) -> WsgiResponse:
    query = f"?lang={fields['lang']}" if fields.get("lang") in tongues.LANGUAGES else ""
    return redirect(f"{orders.HANDOVER_PATH}{row['payment_attempt_id']}{query}", 303)


def _show_code(ctx: Context, row: dict[str, Any], token: str, language: str) -> Response:
    left = datetime.fromisoformat(row["link_expires_at"]) - ctx.now()
    code = screens.Code(row["url"], left)
    return screens.show_code(code, row, orders.page_of(ctx, token), language)


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
    stands = verification.verify_return(ctx, known["payment_intent_id"])
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


def _pass(ctx: Context, token: str, fields: dict[str, str]) -> str:
    """Answer the pass that a visitor shows, "" where it is none or not for this page."""
    given = fields.get("payer", "")
    return given if passes.admits(ctx, token, given) else ""


def _saved(fields: dict[str, str]) -> str | None:
    try:
        return str(UUID(fields["saved"])) if "saved" in fields else None
    except ValueError as failure:
        message = "there is no such saved method"
        raise NotFoundError(message) from failure


def _notice(failure: AppError) -> str:
    """Word a refusal as the page does: by its class, or the one that it is of."""
    return next(ON_THE_PAGE[kind] for kind in type(failure).__mro__ if kind in ON_THE_PAGE)


def _to_page(token: str, notice: str = "") -> WsgiResponse:
    query = f"?notice={notice}" if notice else ""
    return redirect(f"{orders.PAGE_PATH}{token}{query}", 303)
