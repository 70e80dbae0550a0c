"""What an answer of Cashfree's is worth: a definite no, or nothing known.

https://www.cashfree.com/docs/api-reference/payments/errors
"""

from collections.abc import Callable
from typing import TypeVar

from app.errors import GatewayRefusedError, GatewayUnavailableError
from app.gateways.cashfree.words import Object, text
from app.http import RefusedReplyError, Reply

T = TypeVar("T")

MESSAGE_LENGTH_MAX = 200


def answer(ask: Callable[[], Reply]) -> Object:
    """Ask for one object. Raises GatewayRefusedError with Cashfree's own words for people."""
    try:
        return as_object(ask().body)
    except RefusedReplyError as refusal:
        raise refused(refusal) from refusal


def refused(refusal: RefusedReplyError) -> GatewayRefusedError:
    """Put a refusal into words. Raises GatewayUnavailableError for what is none.

    That is so while the same request is still running.
    """
    error = refusal.reply.body if isinstance(refusal.reply.body, dict) else {}
    if refusal.reply.status == 409 and error.get("type") == "idempotency_error":
        message = "Cashfree is still at the same request"
        raise GatewayUnavailableError(message) from refusal
    told = text(error.get("message")) or "no reason"
    return GatewayRefusedError(f"Cashfree refused: {told[:MESSAGE_LENGTH_MAX]}")


def code_of(refusal: RefusedReplyError) -> str:
    error = refusal.reply.body
    return str(error.get("code")) if isinstance(error, dict) else ""


def look_up(ask: Callable[[], Reply]) -> Reply | None:
    """Ask for something; None when Cashfree says that there is no such thing."""
    try:
        return ask()
    except RefusedReplyError as refusal:
        if refusal.reply.status == 404 and code_of(refusal).endswith("not_found"):
            return None
        raise refused(refusal) from refusal


def as_object(body: object) -> Object:
    if not isinstance(body, dict):
        message = "Cashfree answered something else than an object"
        raise GatewayUnavailableError(message)
    return body


def as_list(body: object) -> list[Object]:
    if not isinstance(body, list) or not all(isinstance(each, dict) for each in body):
        message = "Cashfree answered something else than a list"
        raise GatewayUnavailableError(message)
    return body


def translated(translate: Callable[[], T]) -> T:
    """Translate an answer. Raises GatewayUnavailableError when it is not what it should be."""
    try:
        return translate()
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as failure:
        message = "Cashfree answered something that cannot be understood"
        raise GatewayUnavailableError(message) from failure
