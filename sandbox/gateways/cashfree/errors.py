"""Cashfree's refusals: the status and the JSON body that the real API answers with."""

from typing import Any

HELP = (
    "Check latest errors and resolution from Merchant Dashboard API logs:"
    " https://bit.ly/4glEd0W Help Document: https://bit.ly/4eeZYO9"
)


class RefusalError(Exception):
    """A request that Cashfree refuses. Nothing it did is kept."""

    def __init__(
        self, message: str, code: str, *, status: int = 400, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message, "code": code, "type": kind, "help": HELP}


def invalid(name: str, why: str) -> RefusalError:
    """Refuse a parameter, as `order_amount : should be at least 1`."""
    return RefusalError(f"{name} : {why}", f"{name.rpartition('.')[2]}_invalid")


def missing(name: str) -> RefusalError:
    return RefusalError(
        f"{name} : is missing in the request. Value received: ",
        f"{name.rpartition('.')[2]}_missing",
    )


def not_simulated(name: str) -> RefusalError:
    """Refuse what the real Cashfree does and this simulator does not, rather than ignore it."""
    return invalid(name, "the sandbox does not simulate this")


def no_such(kind: str, message: str) -> RefusalError:
    return RefusalError(message, f"{kind}_not_found", status=404)


def no_such_order() -> RefusalError:
    return no_such("order", "Order Reference Id does not exist")


def inactive() -> RefusalError:
    return RefusalError("order is no longer active", "order_inactive")


def unauthenticated() -> RefusalError:
    return RefusalError(
        "authentication Failed", "request_failed", status=401, kind="authentication_error"
    )


def no_version() -> RefusalError:
    return RefusalError("x-api-version header is missing or invalid", "version_invalid")


def no_url() -> RefusalError:
    return RefusalError("bad URL, please check API documentation", "request_failed", status=404)


def key_reused() -> RefusalError:
    return RefusalError(
        "invalid body in request for x-idempotency-key",
        "request_invalid",
        status=422,
        kind="idempotency_error",
    )


def key_in_use() -> RefusalError:
    return RefusalError(
        "a request with the same x-idempotency-key is in process",
        "request_invalid",
        status=409,
        kind="idempotency_error",
    )


def broken(status: int) -> dict[str, Any]:
    """Say that Cashfree failed, or that there were too many requests."""
    if status == 429:
        return {
            "message": "Too many requests from your account. Please slow down",
            "code": "request_failed",
            "type": "rate_limit_error",
        }
    return {
        "message": "internal Server Error",
        "code": "internal_error",
        "type": "api_error",
    }
