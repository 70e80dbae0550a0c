"""Asking a gateway what became of an attempt, and what else was paid on its page."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from app import circuits, inbox
from app.context import Context
from app.errors import GatewayRefusedError, GatewayUnavailableError
from app.gateways import Capability, Finding, Gateway, Outcome, Query
from app.money import Money

# A payer who began just before a page closed may still be at their bank.
CLOSING = timedelta(minutes=15)

# What is news of a payment beside the one that is booked: money, or that it is held no more.
IS_NEWS = frozenset({Outcome.PAID, Outcome.AUTHORIZED, Outcome.CANCELED})
# Any other payment may still take money: even one that failed, if its bank says yes late.
DECIDED = frozenset({Outcome.PAID, Outcome.CANCELED, Outcome.EXPIRED})

# How an attempt stands, and what says no more of it than that, unless it is of a decline that is
# not known yet. Most questions are answered so.
NOTHING_NEW = frozenset(
    {
        ("pending", Outcome.REQUIRES_ACTION),
        ("failed", Outcome.FAILED),
        ("expired", Outcome.EXPIRED),
        ("canceled", Outcome.CANCELED),
    }
)
ENDED = frozenset({"failed", "expired", "canceled"})
# Money is on its way, or it came to nothing: as often as there are tries on a page, and perhaps in
# the same words each time.
TO_AND_FRO = frozenset({("pending", Outcome.PROCESSING), ("processing", Outcome.REQUIRES_ACTION)})


def ask(ctx: Context, attempt: dict[str, Any]) -> None:
    """Ask what became of an attempt or, of one that is captured, what else its page took.

    Raises GatewayUnavailableError when the gateway does not answer.
    """
    if attempt["status"] == "captured":
        check_page(ctx, attempt)
    else:
        check(ctx, attempt)


def check(ctx: Context, attempt: dict[str, Any]) -> str:
    """Look an attempt up at its gateway and keep what is new. Answers the inbox row's status.

    A capture that was begun is finished first: it is written down, and its sender may have died,
    or it is the service's own, of money that a gateway only holds though it was to take it. Of a
    payment that is called off the page is closed, and what is held is released, where the gateway
    can; what it does not release is listed for a person.
    Raises GatewayUnavailableError when the gateway does not answer: then nothing is known, and
    nothing changes.
    """
    gateway, is_off = ctx.gateway(attempt["gateway"]), _is_off(attempt)
    finding = None if is_off else _finish_capture(ctx, attempt)
    if finding is None:
        with circuits.looking_up(ctx, attempt):
            finding = _let_go(gateway, attempt) or gateway.find(_query(ctx, attempt))
    if finding is None:
        return _note_nothing(ctx, attempt)
    if is_off and attempt["status"] == finding.outcome == Outcome.AUTHORIZED:
        ctx.hasura.run("ListHeldPayment", attemptId=attempt["id"])
    if (attempt["status"], finding.outcome) in NOTHING_NEW and _is_known(attempt, finding):
        return "ignored"
    may_come_again = (attempt["status"], finding.outcome) in TO_AND_FRO
    dated = {"asked_at": ctx.now().isoformat()} if may_come_again else {}
    return str(inbox.keep_found(ctx, attempt, finding, **dated)["status"])


def _is_known(attempt: dict[str, Any], finding: Finding) -> bool:
    """Tell whether the decline that a look-up found, if any, is the one in our books."""
    if finding.outcome is not Outcome.REQUIRES_ACTION or finding.decline_class is None:
        return True
    if finding.declined_at and attempt["declined_at"]:
        return finding.declined_at <= datetime.fromisoformat(attempt["declined_at"])
    why = (finding.decline_class, finding.failure_code)
    return why == (attempt["decline_class"], attempt["failure_code"])


def _note_nothing(ctx: Context, attempt: dict[str, Any]) -> str:
    """Keep that a gateway knows nothing of an attempt, once that is believed and would end it."""
    believed_at = datetime.fromisoformat(attempt["not_found_is_believed_at"])
    # The database claims it at that moment, and our clock may be late.
    now = max(ctx.now(), datetime.fromisoformat(attempt["updated_at"]))
    if attempt["status"] in ENDED or now < believed_at:
        return "ignored"
    gateway, account = attempt["gateway"], attempt["gateway_account"]
    nothing = {
        "subject": "payment",
        "outcome": "not_found",
        "payment_attempt_id": attempt["id"],
        "asked_at": ctx.now().isoformat(),  # what is not there today may be there tomorrow
    }
    return str(inbox.keep_words(ctx, gateway, nothing, "look-up", account=account)["status"])


def check_page(ctx: Context, attempt: dict[str, Any]) -> int:
    """Bring every other payment of a captured attempt's page through the door. Answers how many.

    Raises GatewayUnavailableError when the gateway does not answer, or leaves the payment out that
    our books have: then it does not tell all.
    """
    name, known = attempt["gateway"], attempt["gateway_payment_id"]
    gateway = ctx.gateway(name)
    several = Capability.PAYMENTS in gateway.capabilities
    found: Sequence[Finding] = ()
    if several:
        with circuits.looking_up(ctx, attempt):
            found = gateway.find_payments(_query(ctx, attempt))
    if several and known not in [one.gateway_payment_id for one in found]:
        message = f"{name} does not list the payment that is booked"
        raise GatewayUnavailableError(message)
    others = [one for one in found if one.gateway_payment_id != known]
    told = [one for one in others if one.outcome in IS_NEWS]
    for one in told:
        inbox.keep(ctx, name, one, "look-up", account=attempt["gateway_account"])
    is_undecided = any(one.outcome not in DECIDED for one in others)
    ctx.hasura.run(
        "EndPageCheck",
        attemptId=attempt["id"],
        nextCheckAt=attempt["next_check_at"],
        isUndecided=is_undecided,
    )
    return len(told)


def take(ctx: Context, attempt: dict[str, Any]) -> Finding:
    """Have the gateway take what is written down to be taken of an authorised payment.

    Raises GatewayRefusedError for a definite no, after it is written down that nothing is to be
    taken any more: a person may capture again. After silence what was meant stands.
    """
    try:
        return _capture(ctx, attempt)
    except GatewayRefusedError as refusal:
        ctx.hasura.run(
            "RefuseCapture",
            attemptId=attempt["id"],
            amount=attempt["amount_to_capture"],
            reason=refusal.message,
        )
        raise


def _capture(ctx: Context, attempt: dict[str, Any]) -> Finding:
    gateway = ctx.gateway(attempt["gateway"])
    if Capability.AUTHORIZE not in gateway.capabilities:
        message = f"{attempt['gateway']} holds this payment, and takes it by its dashboard only"
        raise GatewayRefusedError(message)
    amount = Money(int(attempt["amount_to_capture"]), attempt["currency"])
    with circuits.capturing(ctx, attempt):
        return gateway.capture(attempt["id"], attempt["gateway_payment_id"], amount)


def _finish_capture(ctx: Context, attempt: dict[str, Any]) -> Finding | None:
    """Take what is to be taken of an authorised payment. None: nothing is, or it cannot be."""
    if attempt["status"] != "authorized" or attempt["amount_to_capture"] is None:
        return None
    with suppress(GatewayRefusedError):  # how it stands then, the look-up says
        return take(ctx, attempt)
    return None


def _is_off(attempt: dict[str, Any]) -> bool:
    """Tell whether its payment is called off, or paid by another attempt than this that is held."""
    owed: str = attempt["payment_intent"]["status"]
    return owed == "canceled" or (owed == "paid" and attempt["status"] == "authorized")


def _let_go(gateway: Gateway, attempt: dict[str, Any]) -> Finding | None:
    """Close a page on which nobody is to try again; release what is held for a payment that is off.

    None: there is neither, or the gateway cannot, and is only asked.
    """
    page = (attempt["checkout_session"] or {}).get("gateway_session_id")
    payment, status = attempt["gateway_payment_id"], attempt["status"]
    is_off = _is_off(attempt)
    is_over = is_off or attempt["is_tried_out"]
    is_held = status == "authorized" or (status == "pending" and not page)
    with suppress(GatewayRefusedError):  # how it stands then, the look-up says
        if is_over and status == "pending" and page and Capability.EXPIRE in gateway.capabilities:
            return gateway.expire(attempt["id"], page)
        if is_off and is_held and payment and Capability.CANCEL in gateway.capabilities:
            return gateway.cancel(attempt["id"], payment)
    return None


def _query(ctx: Context, attempt: dict[str, Any]) -> Query:
    page, method = attempt["checkout_session"], attempt["payment_method"]
    return Query(
        payment_attempt_id=attempt["id"],
        since=datetime.fromisoformat(attempt["created_at"]),
        gateway_session_id=page and page["gateway_session_id"],
        gateway_payment_id=attempt["gateway_payment_id"],
        gateway_customer_id=method and method["gateway_customer_id"],
        is_over=bool(page) and datetime.fromisoformat(page["expires_at"]) + CLOSING < ctx.now(),
    )
