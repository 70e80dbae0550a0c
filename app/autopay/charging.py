"""Charging saved methods, many at once, each under its attempt's key."""

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import Any

from app.autopay.keeping import Keeper, keeping
from app.context import Context
from app.errors import GatewayRefusedError, GatewaySilentError, GatewayUnavailableError
from app.failures import kept_apart
from app.gateways import DeclineClass, Finding, Outcome, SavedCharge, Subject
from app.money import Money

log = logging.getLogger(__name__)

WORKERS = 8
SILENT = "silent"  # the gateway gave no answer
UNSENT = "unsent"  # time was up first
BROKEN = "broken"  # a failure of ours; see the log


def charge_all(
    ctx: Context, orders: list[dict[str, Any]], time_is_up: Callable[[], bool]
) -> Counter[str]:
    """Charge every order that time allows, and answer how many ended how.

    What is left unsent is given back, and goes on from the same attempt.
    """
    with keeping(ctx) as keeper, ThreadPoolExecutor(WORKERS) as pool:

        def ask(order: dict[str, Any]) -> Future[str]:
            return _done(UNSENT) if time_is_up() else charge(ctx, order, keeper)

        # Each thread logs under the request's id.
        asked = [pool.submit(copy_context().run, ask, order) for order in orders]
        ended = [_end(order, each) for order, each in zip(orders, asked, strict=True)]
    give_back(ctx, [order for order, end in zip(orders, ended, strict=True) if end == UNSENT])
    return Counter(ended)


def give_back(ctx: Context, orders: list[dict[str, Any]]) -> None:
    """Let others go on at once with what is not sent."""
    claims = [{"id": order["id"], "fence": order["fence"]} for order in orders]
    if claims:
        ctx.hasura.run("ReleaseAutopayCharges", claims=claims)


def _end(order: dict[str, Any], asked: Future[Future[str]]) -> str:
    """Wait until an order was asked for, and its answer kept."""
    with kept_apart(log, "not charged", charge_id=order["id"]):
        return asked.result().result()
    return BROKEN


def charge(ctx: Context, order: dict[str, Any], keeper: Keeper) -> Future[str]:
    """Ask the gateway, and have what it says kept. Its silence leaves the attempt unknown."""
    try:
        finding = _ask(ctx, order)
    except GatewayUnavailableError as silence:
        ctx.hasura.run(
            "PostponeAutopayCharge",
            chargeId=order["id"],
            fence=order["fence"],
            message=silence.message,
            isSilent=isinstance(silence, GatewaySilentError),
        )
        return _done(SILENT)
    return keeper.keep(order, finding)


def _done(end: str) -> Future[str]:
    done: Future[str] = Future()
    done.set_result(end)
    return done


def _ask(ctx: Context, order: dict[str, Any]) -> Finding:
    attempt_id = order["payment_attempt_id"]
    saved = SavedCharge(
        id=attempt_id,
        amount=Money(int(order["amount"]), order["currency"]),
        title=f"{order['credits_amount'].rstrip('0').rstrip('.')} credits",
        email=order["email"],
        gateway_customer_id=order["gateway_customer_id"],
        gateway_payment_method_id=order["gateway_payment_method_id"],
    )
    try:
        finding = ctx.gateway(order["gateway"]).charge(saved)
    except GatewayRefusedError as refusal:
        return Finding(
            subject=Subject.PAYMENT,
            outcome=Outcome.FAILED,
            payment_attempt_id=attempt_id,
            failure_code=refusal.code,
            failure_message=refusal.message,
            decline_class=DeclineClass.GATEWAY,
        )
    return replace(finding, payment_attempt_id=attempt_id)
