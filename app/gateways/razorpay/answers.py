"""What an answer of Razorpay's is worth: a definite no, or nothing known.

https://razorpay.com/docs/api/#errors
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from app.errors import GatewayRefusedError, GatewayUnavailableError
from app.http import RefusedReplyError, Reply

T = TypeVar("T")

MALFORMED = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError)

# There is no code for it: https://razorpay.com/docs/api/orders/fetch-with-id/#errors
NO_SUCH_THING = ("does not exist", "is not a valid id")

# Codes neither: that there is, or was, another request for the same thing. How that one ended is
# not said. https://razorpay.com/docs/api/refunds/create-normal/#errors
OF_ANOTHER_REQUEST = (
    "idempotency key",
    "another payment operation is in progress",
    "duplicate receipt found for this refund",
)

MESSAGE_LENGTH_MAX = 200


def answer(ask: Callable[[], Reply], translate: Callable[[Any], T]) -> T:
    """Ask and translate. Only a refusal of the request itself, in Razorpay's words, is a no."""
    try:
        body = ask().body
    except RefusedReplyError as refusal:
        raise _meaning(refusal) from refusal
    try:
        return translate(body)
    except MALFORMED as failure:
        message = "Razorpay answered something else than was asked for"
        raise GatewayUnavailableError(message) from failure


def look_up(ask: Callable[[], Reply], translate: Callable[[Any], T]) -> T | None:
    """Ask for one thing; None when Razorpay says that there is no such thing."""
    try:
        return answer(ask, translate)
    except GatewayRefusedError as refusal:
        if any(words in refusal.message for words in NO_SUCH_THING):
            return None
        raise


def error_of(refusal: BaseException | None) -> Mapping[str, Any]:
    """Give Razorpay's own error behind a refusal."""
    if isinstance(refusal, GatewayRefusedError) and not isinstance(refusal, RefusedReplyError):
        refusal = refusal.__cause__
    body = refusal.reply.body if isinstance(refusal, RefusedReplyError) else None
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _meaning(refusal: RefusedReplyError) -> GatewayRefusedError | GatewayUnavailableError:
    """Tell a no from what says nothing of the request: a bank's trouble, or another request."""
    error = error_of(refusal)
    words = str(error.get("description") or "")[:MESSAGE_LENGTH_MAX]
    is_no = error.get("code") == "BAD_REQUEST_ERROR" and refusal.reply.status != 409
    if is_no and not any(one in words.lower() for one in OF_ANOTHER_REQUEST):
        return GatewayRefusedError(words or "Razorpay refused")
    return GatewayUnavailableError(f"Razorpay did not answer ({refusal.reply.status})")
