"""What an answer of Stripe's is worth: a definite no, or nothing known."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import stripe

from app.errors import (
    GatewayBusyError,
    GatewayRefusedError,
    GatewaySilentError,
    GatewayUnavailableError,
)
from app.exchange import was_begun
from app.http import pause_asked_for

T = TypeVar("T")

LOCKED = "lock_timeout"

MALFORMED = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError)


def answer(ask: Callable[[], T]) -> T:
    """Ask and translate: only a 4xx about the request itself is a no, and nonsense says nothing."""
    try:
        return ask()
    except (stripe.InvalidRequestError, stripe.CardError) as refusal:
        raise GatewayRefusedError(refusal.user_message or "Stripe refused") from refusal
    except stripe.StripeError as failure:
        if not was_begun(failure):
            message = "Stripe was not asked: there is no time left for it"
            raise GatewayUnavailableError(message) from failure
        message = f"Stripe did not answer ({type(failure).__name__})"
        if _is_too_often(failure):
            raise GatewayBusyError(message, pause_asked_for(failure.headers or {})) from failure
        # With a 4xx a wrong key of ours, an object or a key in use: anybody else is answered.
        is_heard = 400 <= (failure.http_status or 0) < 500
        kind = GatewayUnavailableError if is_heard else GatewaySilentError
        raise kind(message) from failure
    except MALFORMED as failure:
        message = "Stripe answered something that cannot be understood"
        raise GatewayUnavailableError(message) from failure


def _is_too_often(failure: stripe.StripeError) -> bool:
    """Tell a rate limit from a wait for an object that others change, which is a 429 as well.

    https://docs.stripe.com/rate-limits#object-lock-timeouts
    """
    error = _error(failure) or {}
    return isinstance(failure, stripe.RateLimitError) and error.get("code") != LOCKED


def look_up(ask: Callable[[], T]) -> T | None:
    """Ask for one object; None when Stripe says that there is no such thing."""
    try:
        return answer(ask)
    except GatewayRefusedError as refusal:
        if error_of(refusal).get("code") == "resource_missing":
            return None
        raise


def error_of(refusal: GatewayRefusedError) -> Mapping[str, Any]:
    """Give Stripe's own error behind a refusal; our own refusals have only a code."""
    error = _error(refusal.__cause__)
    return {"code": refusal.code, "message": refusal.message} if error is None else error


def _error(failure: BaseException | None) -> Mapping[str, Any] | None:
    body = failure.json_body if isinstance(failure, stripe.StripeError) else None
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else None


def is_stored(failure: BaseException | None) -> bool:
    """Say whether this is an old 5xx that Stripe repeats for its key, and will for a day."""
    return (
        isinstance(failure, stripe.StripeError)
        and (failure.http_status or 0) >= 500
        and (failure.headers or {}).get("idempotent-replayed") == "true"
    )
