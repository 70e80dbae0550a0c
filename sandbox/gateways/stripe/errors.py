"""Stripe's refusals: the status and the JSON body that the real API answers with."""

from typing import Any

from sandbox.gateways.server.state import Document, public

DOCS = "https://stripe.com/docs/error-codes"


class RefusalError(Exception):
    """A request that Stripe refuses. Nothing it did is kept."""

    def __init__(self, message: str, *, status: int = 400, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": "invalid_request_error", **details}
        if code := details.get("code"):
            self.error["doc_url"] = f"{DOCS}/{str(code).replace('_', '-')}"

    def body(self) -> dict[str, Any]:
        return {"error": self.error}


class DeclinedError(RefusalError):
    """A charge that failed. It happened, so it is kept, and its key repeats it."""

    def __init__(self, intent: Document, method: Document) -> None:
        error = intent["last_payment_error"]
        super().__init__(
            error["message"],
            status=402,
            **{name: value for name, value in error.items() if name != "message"}
            | {"payment_intent": public(intent), "payment_method": public(method)},
        )


def invalid(message: str, param: str, code: str | None = None) -> RefusalError:
    if code is None:
        return RefusalError(message, param=param)
    return RefusalError(message, code=code, param=param)


def missing(param: str) -> RefusalError:
    return invalid(f"Missing required param: {param}.", param, "parameter_missing")


def no_such(kind: str, subject: str, param: str) -> RefusalError:
    return RefusalError(
        f"No such {kind}: '{subject}'", status=404, code="resource_missing", param=param
    )


def no_such_given(kind: str, subject: str, param: str) -> RefusalError:
    """Refuse a parameter that names nothing; a path that does is `no_such`."""
    return invalid(f"No such {kind}: '{subject}'", param, "resource_missing")


def not_simulated(what: str, param: str) -> RefusalError:
    """Refuse what the real Stripe does and this simulator does not, rather than ignore it."""
    return invalid(f"The sandbox does not simulate {what} yet.", param)


def no_such_url(method: str, path: str) -> RefusalError:
    return RefusalError(
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or"
        " we can help at https://support.stripe.com/.",
        status=404,
    )


def no_key() -> RefusalError:
    return RefusalError(
        "You did not provide an API key. You need to provide your API key in the Authorization"
        " header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See"
        " https://stripe.com/docs/api#authentication for details, or we can help at"
        " https://support.stripe.com/.",
        status=401,
    )


def wrong_key(key: str) -> RefusalError:
    shown = key if len(key) < 12 else f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}"
    return RefusalError(f"Invalid API Key provided: {shown}", status=401)


def server_error() -> dict[str, Any]:
    return {
        "error": {
            "message": "An unknown error occurred. If this problem persists, contact us at"
            " https://support.stripe.com/.",
            "type": "api_error",
        }
    }


def rate_limited() -> dict[str, Any]:
    return {
        "error": {
            "message": "Request rate limit exceeded. Learn more about rate limits here"
            " https://stripe.com/docs/rate-limits.",
            "type": "invalid_request_error",
            "code": "rate_limit",
            "doc_url": f"{DOCS}/rate-limit",
        }
    }
