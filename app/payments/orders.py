"""Payments for what other systems sold: an order is charged once, in as many tries as it takes."""

import logging
import re
from dataclasses import replace
from typing import Any

from app import inbox, pages
from app.config import ConfigError
from app.context import Context
from app.errors import (
    CheckoutExpiredError,
    NotFoundError,
    PaymentInProgressError,
    SettingInvalidError,
)
from app.findings import BY_HAND
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

HELD = frozenset({Method.CARD})  # what can be authorised first, and taken later

TOKEN = re.compile(r"[\w-]{32}", re.ASCII)

log = logging.getLogger(__name__)


def initiate(ctx: Context, order: Initiation) -> dict[str, Any]:
    """Open our page for an order, which is one for ever, and answer it with its address.

    Where the caller names a gateway or a method, the gateway's page is opened as well: order and
    attempt are committed before it is asked, under the attempt's id, so that the same call repairs
    what a crash left. Otherwise the payer chooses, and `gateway` is None until then; it stays None
    for a bank transfer to the organisation's own account, which our page shows.
    """
    page = _page(ctx, order)
    order = _authorised_first(ctx, order) if page["capture_method"] == "manual" else order
    is_by_hand = order.method is Method.BANK_TRANSFER and takes_transfers(page)
    if order.gateway or (order.method and not is_by_hand):
        row = _open_attempt(ctx, order)
        names = ("gateway", "gateway_session_id", "status", "transaction_status")
        page |= {name: row[name] for name in names}
    return page | {"payment_url": f"{ctx.settings.service_url}{PAGE_PATH}{page['token']}"}


def _authorised_first(ctx: Context, order: Initiation) -> Initiation:
    """Have it paid by card. A gateway that cannot hold money is refused when it is named.

    Without a gateway the payer's click chooses, among those that can. Raises SettingInvalidError.
    """
    if order.method not in {None, *HELD}:
        message = "only a card's money is authorised first"
        raise SettingInvalidError(message)
    if order.gateway and not _taken(ctx.gateway(order.gateway), "manual"):
        message = f"{order.gateway} authorises nothing first"
        raise SettingInvalidError(message)
    return replace(order, method=Method.CARD if order.gateway else None)


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
        for method in _taken(gateway, page["capture_method"]):
            if route["methods"] is None or method in route["methods"]:
                found.setdefault(method, []).append(route["gateway"])
    if page["currency"] != "INR" or int(page["amount"]) > int(page["upi_amount_max"]):
        found.pop(Method.UPI, None)
    if takes_transfers(page):  # and nobody takes a share
        found[Method.BANK_TRANSFER] = [BY_HAND]
    return {method: found[method] for method in METHODS if method in found}


def takes_transfers(page: dict[str, Any]) -> bool:
    """Tell whether its payer may transfer the money to the organisation's own account."""
    return bool(page["bank_account"]) and page["capture_method"] == "automatic"


def saved_cards(ctx: Context, page: dict[str, Any]) -> list[dict[str, Any]]:
    """List what the customer saved and may pay with here: of each gateway the newest.

    Its page lets them choose among all that they saved there.
    """
    keepers = _keepers(ctx, page)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for card in page["saved_cards"]:
        if card["gateway"] in keepers:
            found.setdefault((card["gateway"], card["gateway_customer_id"]), card)
    return list(found.values())


def _keepers(ctx: Context, page: dict[str, Any]) -> list[str]:
    gateways = offers(ctx, page).get(Method.CARD, [])
    return [name for name in gateways if Capability.SAVE in ctx.gateway(name).capabilities]


def begin(
    ctx: Context,
    page: dict[str, Any],
    method: Method,
    address_hash: str,
    payment_method_id: str | None = None,
) -> dict[str, Any] | None:
    """Begin an attempt by a method; a second click: the same one. None where there is none to pay.

    With a saved method the gateway's page offers it; nothing is charged before the payer agrees.

    A page that is open at a gateway for another method is closed first, where the gateway can.
    Raises PaymentInProgressError where it may still take the money.
    """
    is_saved = payment_method_id is not None
    asked = {
        "token": page["token"],
        "method": method.value,
        "gateways": _keepers(ctx, page) if is_saved else offers(ctx, page).get(method, []),
        "addressHash": address_hash,
        "backUrl": _back(ctx),
        "paymentMethodId": payment_method_id,
    }
    try:
        rows = ctx.hasura.run("BeginPageAttempt", **asked)
    except PaymentInProgressError:
        _close(ctx, page["payment_intent_id"])
        rows = ctx.hasura.run("BeginPageAttempt", **asked)
    return next(iter(rows), None)


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


def _taken(gateway: Gateway, capture_method: str) -> frozenset[Method]:
    """List what a gateway takes: of what is authorised first, cards, where it can hold them."""
    if capture_method == "automatic":
        return gateway.methods
    return HELD if Capability.AUTHORIZE in gateway.capabilities else frozenset()


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
        "captureMethod": order.capture_method,
    }


def _back(ctx: Context) -> str:
    return f"{ctx.settings.service_url}{RETURN_PATH}{pages.ATTEMPT}"


def _is_closed(row: dict[str, Any]) -> bool:
    is_open = row["payment_attempt_status"] in {"created", "unknown", "pending"}
    return is_open and bool(row["is_over" if row["url"] else "is_closing"])
