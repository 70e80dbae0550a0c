"""Payments for what other systems sold: an order is charged once, in as many tries as it takes."""

import logging
import re
from typing import Any

from app import inbox, pages
from app.config import ConfigError
from app.context import Context
from app.errors import CheckoutExpiredError, NotFoundError, PaymentInProgressError
from app.gateways import Capability, Gateway, Method
from app.payments import checks, verification
from app.payments.schemas import Initiation

PAGE_PATH = "/pay/"
RETURN_PATH = "/payments/return/"
HANDOVER_PATH = "/payments/handover/"

# As payers look for them, what most use first.
METHODS = (
    *(Method.UPI, Method.CARD, Method.NETBANKING, Method.WALLET, Method.EMI, Method.PAY_LATER),
    *(Method.BANK_TRANSFER, Method.BANK_DEBIT),
)

TOKEN = re.compile(r"[\w-]{32}", re.ASCII)

log = logging.getLogger(__name__)


def initiate(ctx: Context, order: Initiation) -> dict[str, Any]:
    """Open our page for an order, which is one for ever, and answer it with its address.

    Where the caller names a gateway or a method, the gateway's page is opened as well: order and
    attempt are committed before it is asked, under the attempt's id, so that the same call repairs
    what a crash left. Otherwise the payer chooses, and `gateway` is None until then.
    """
    page = _page(ctx, order)
    if order.gateway or order.method:
        row = _open_attempt(ctx, order)
        names = ("gateway", "gateway_session_id", "status", "transaction_status")
        page |= {name: row[name] for name in names}
    return page | {"payment_url": f"{ctx.settings.service_url}{PAGE_PATH}{page['token']}"}


def page_of(ctx: Context, token: str) -> dict[str, Any]:
    """Read all that our page shows. Raises NotFoundError."""
    rows: list[dict[str, Any]] = []
    if TOKEN.fullmatch(token):  # a database takes no more than text
        rows = ctx.hasura.run("PaymentPageOf", token=token)
    if not rows:
        message = "there is no such payment"
        raise NotFoundError(message)
    return rows[0]


def of_attempt(ctx: Context, payment_attempt_id: str) -> dict[str, Any] | None:
    """Read the order that an attempt is the newest try to pay; None where it is not."""
    rows: list[dict[str, Any]] = ctx.hasura.run("OrderOfAttempt", attemptId=payment_attempt_id)
    return rows[0] if rows else None


def offers(ctx: Context, page: dict[str, Any]) -> dict[Method, list[str]]:
    """List how the payer may pay, and the gateways that take it so, the first choice first."""
    found: dict[Method, list[str]] = {}
    for route in page["routes"]:
        gateway = _gateway(ctx, route["gateway"])
        if gateway is None or page["currency"] not in (gateway.currencies or {page["currency"]}):
            continue
        for method in gateway.methods:
            if route["methods"] is None or method in route["methods"]:
                found.setdefault(method, []).append(route["gateway"])
    if page["currency"] != "INR":
        found.pop(Method.UPI, None)
    return {method: found[method] for method in METHODS if method in found}


def begin(
    ctx: Context, page: dict[str, Any], method: Method, address_hash: str
) -> dict[str, Any] | None:
    """Begin an attempt by a method; a second click: the same one. None where there is none to pay.

    A page that is open at a gateway for another method is closed first, where the gateway can.
    Raises PaymentInProgressError where it may still take the money.
    """
    gateways = offers(ctx, page).get(method, [])
    try:
        return _begin(ctx, page["token"], method, gateways, address_hash)
    except PaymentInProgressError:
        _close(ctx, page["payment_intent_id"])
        return _begin(ctx, page["token"], method, gateways, address_hash)


def _begin(
    ctx: Context, token: str, method: Method, gateways: list[str], address_hash: str
) -> dict[str, Any] | None:
    rows: list[dict[str, Any]] = ctx.hasura.run(
        "BeginPageAttempt",
        token=token,
        method=method.value,
        gateways=gateways,
        addressHash=address_hash,
        backUrl=_back(ctx),
    )
    return rows[0] if rows else None


def _close(ctx: Context, payment_intent_id: str) -> None:
    for attempt in ctx.hasura.run("OpenPaymentAttempts", paymentIntentId=payment_intent_id):
        gateway = ctx.gateway(attempt["gateway"])
        page = (attempt["checkout_session"] or {}).get("gateway_session_id")
        if page and attempt["status"] == "pending" and Capability.EXPIRE in gateway.capabilities:
            finding = gateway.expire(attempt["id"], page)
            account = attempt["gateway_account"]
            inbox.keep(ctx, attempt["gateway"], finding, "answer", account=account)
        else:
            checks.check(ctx, attempt)


def _gateway(ctx: Context, name: str) -> Gateway | None:
    try:
        return ctx.gateway(name)
    except (ConfigError, NotFoundError) as failure:
        log.warning("not offered to payers: %s", failure, extra={"gateway": name})
        return None


def _page(ctx: Context, order: Initiation) -> dict[str, Any]:
    shop = ctx.settings.frontend_url
    page: dict[str, Any] = ctx.hasura.one(
        "OpenPaymentPage",
        **_order(order),
        successUrl=f"{shop}/payment-success",
        cancelUrl=f"{shop}/payment-cancelled",
    )
    return page


def _open_attempt(ctx: Context, order: Initiation) -> dict[str, Any]:
    """Open a gateway's page. A try that failed or expired makes room for the next one.

    Raises CheckoutExpiredError where a page has closed and its gateway has not said yet that
    nothing was paid.
    """
    row = _open(ctx, order)
    if _is_closed(row):
        verification.verify(ctx, row["payment_intent_id"])
        row = _open(ctx, order)
        if _is_closed(row):
            message = "the last page of this order is over; try again when its gateway says so too"
            raise CheckoutExpiredError(message)
    if row["payment_attempt_status"] in {"created", "unknown"}:
        page = pages.open_page(ctx, row)
        row |= {"gateway_session_id": page.reference, "url": page.url}
    return row


def _open(ctx: Context, order: Initiation) -> dict[str, Any]:
    row: dict[str, Any] = ctx.hasura.one(
        "OpenOrderCheckout",
        **_order(order),
        gateway=order.gateway,
        method=order.method,
        successUrl=_back(ctx),
        cancelUrl=_back(ctx),
    )
    return row


def _order(order: Initiation) -> dict[str, Any]:
    return {
        "reference": order.reference,
        "customerExternalId": order.customer_external_id,
        "amount": order.amount.amount,
        "currency": order.amount.currency,
        "title": order.title,
        "metadata": order.metadata,
    }


def _back(ctx: Context) -> str:
    return f"{ctx.settings.service_url}{RETURN_PATH}{pages.ATTEMPT}"


def _is_closed(row: dict[str, Any]) -> bool:
    is_open = row["payment_attempt_status"] in {"created", "unknown", "pending"}
    return is_open and bool(row["is_over" if row["url"] else "is_closing"])
