"""A refund's way to its gateway: reserved first, asked for under its own id, never guessed at."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app import circuits, inbox
from app.context import Context
from app.errors import GatewaySilentError, GatewayUnavailableError
from app.findings import BY_HAND
from app.gateways import Capability, Finding, Gateway, RefundOrder
from app.money import Money
from app.refunds.schemas import Refund

ASKABLE = ("created", "unknown")
MADE_THERE = "gateway"  # who asked for a refund that somebody made at the gateway
# For so long a gateway may send what was paid twice back by itself. None says how long it takes;
# what Cashfree shows of it took minutes.
GIVEN_BACK_AGE_MAX = timedelta(hours=1)
# A gateway forgets our key after a day; a request that is sent again by then is the same refund.
ASKED_AGAIN_AGE_MAX = timedelta(hours=20)


def refund(ctx: Context, payment_intent_id: str, request: Refund) -> dict[str, Any]:
    """Open a refund, send it and answer how it stands. The same key again: the same refund.

    It is committed before the gateway is asked, so a crash anywhere below is repaired by the same
    call, or by the cron. A gateway that does not answer leaves it `unknown`, which is no failure.
    """
    attempt_id = request.payment_attempt_id
    row: dict[str, Any] = ctx.hasura.one(
        "OpenRefund",
        paymentIntentId=payment_intent_id,
        paymentAttemptId=attempt_id and str(attempt_id),
        amount=request.amount,
        type=request.type,
        reason=request.reason,
        note=request.note,
        key=request.idempotency_key,
    )
    if row["gateway"] == BY_HAND:  # people pay it, and say so by recordBankTransfer
        return _answer(row)
    if row["is_put_off"]:  # its gateway is left alone: it is reserved, and the cron sends it
        return _answer(row)
    is_old = _age(ctx, row) >= ASKED_AGAIN_AGE_MAX  # perhaps it was sent, and its sender died
    if row["status"] == "unknown" or (row["status"] == "created" and is_old):
        row = _ask_again(ctx, row)
    elif row["status"] == "created" and not _may_go_back_by_itself(ctx, row):
        row = send(ctx, row)
    return _answer(row)


def send(ctx: Context, row: dict[str, Any]) -> dict[str, Any]:
    """Ask the gateway for a refund that is reserved, keep its answer, and read how it stands."""
    order = RefundOrder(
        id=row["id"],
        gateway_payment_id=row["payment_attempt"]["gateway_payment_id"],
        amount=Money(int(row["amount"]), row["currency"]),
        reason=row["reason"],
    )
    try:
        finding = ctx.gateway(row["gateway"]).refund(order)
    except GatewayUnavailableError as failure:
        ctx.pauses.note(row["gateway"], failure)
        unknown: dict[str, Any] = ctx.hasura.one(
            "MarkRefundUnknown",
            refundId=row["id"],
            message=failure.message,
            isSilent=isinstance(failure, GatewaySilentError),
        )
        return unknown
    ours = replace(finding, refund_id=row["id"])
    inbox.keep(ctx, row["gateway"], ours, "answer", account=row["gateway_account"])
    return state(ctx, row["id"])


def check(ctx: Context, row: dict[str, Any]) -> dict[str, Any]:
    """Look a refund up, keep what is found, and read how it stands.

    Where nothing is found it is asked for again, under its id, as long as that is safe; later the
    database is told that nothing is there. What the gateway may send back by itself is only looked
    for at first: what it has sent is found as this refund, and what is asked for beside it goes
    back twice. A look at one that succeeded counts when its answer is kept, and not before.
    Raises GatewayUnavailableError: then nothing is known.
    """
    gateway, account = row["gateway"], row["gateway_account"]
    payment_id = row["payment_attempt"]["gateway_payment_id"]
    with circuits.looking_up(ctx, row):
        found = _look_up(ctx.gateway(gateway), row, payment_id)
    if found is not None:
        ours = replace(found, refund_id=row["id"])
        inbox.keep_found(ctx, row, ours)
    elif row["status"] == "created" and _may_go_back_by_itself(ctx, row):
        return row
    elif row["status"] in ASKABLE and _may_be_asked_for(ctx, row):
        return send(ctx, row)
    elif row["status"] != "succeeded":  # which was there: that it is not found says nothing
        nothing = {
            "subject": "refund",
            "outcome": "not_found",
            "refund_id": row["id"],
            "asked_at": ctx.now().isoformat(),  # what is not there today may be there tomorrow
        }
        inbox.keep_words(ctx, gateway, nothing, "look-up", account=account)
    if row["status"] == "succeeded":
        ctx.hasura.run("EndRefundLook", refundId=row["id"], looks=int(row["looks"]))
    return state(ctx, row["id"])


def _look_up(gateway: Gateway, row: dict[str, Any], payment_id: str) -> Finding | None:
    """Find a refund by our name for it or, where somebody made it there, by the gateway's."""
    if row["requested_by"] != MADE_THERE or Capability.REFUNDS not in gateway.capabilities:
        return gateway.find_refund(row["id"], payment_id)
    name = row["gateway_refund_id"]
    listed = gateway.find_refunds(payment_id)
    return next((one for one in listed if one.gateway_refund_id == name), None)


def state(ctx: Context, refund_id: str) -> dict[str, Any]:
    """Read how a refund stands."""
    row: dict[str, Any] = ctx.hasura.one("RefundState", refundId=refund_id)
    return row


def _ask_again(ctx: Context, row: dict[str, Any]) -> dict[str, Any]:
    try:
        return check(ctx, row)
    except GatewayUnavailableError:
        return row


def _may_go_back_by_itself(ctx: Context, row: dict[str, Any]) -> bool:
    """Tell whether its gateway may yet send this money back unasked: who asks waits for that."""
    return _age(ctx, row) < GIVEN_BACK_AGE_MAX and _is_waited_for(ctx, row)


def _may_be_asked_for(ctx: Context, row: dict[str, Any]) -> bool:
    """Tell whether it is the same refund if it was asked for before, and nobody wrote that down.

    One that was waited for was perhaps not: it is asked for however late the cron comes.
    """
    return _age(ctx, row) < ASKED_AGAIN_AGE_MAX or _is_waited_for(ctx, row)


def _is_waited_for(ctx: Context, row: dict[str, Any]) -> bool:
    is_surplus: bool = row["payment_attempt"]["is_surplus"]
    return is_surplus and Capability.GIVES_BACK in ctx.gateway(row["gateway"]).capabilities


def _age(ctx: Context, row: dict[str, Any]) -> timedelta:
    return ctx.now() - datetime.fromisoformat(row["created_at"])


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    names = (
        "payment_intent_id",
        "payment_attempt_id",
        "type",
        "reason",
        "status",
        "amount",
        "fee_amount",
        "currency",
        "failure_code",
    )
    return {"refund_id": row["id"], **{name: row[name] for name in names}}
