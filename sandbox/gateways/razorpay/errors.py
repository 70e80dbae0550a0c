"""Razorpay's refusals: the status and the JSON body that the real API answers with."""

from sandbox.gateways.server.state import Document


class RefusalError(Exception):
    """A request that Razorpay refuses. Nothing it did is kept."""

    def __init__(self, description: str, *, status: int = 400, **details: object) -> None:
        super().__init__(description)
        self.status = status
        self.error: Document = {
            "code": "BAD_REQUEST_ERROR",
            "description": description,
            "source": "business",
            "step": "payment_initiation",
            "reason": "input_validation_failed",
            "metadata": {},
            **details,
        }

    def body(self) -> Document:
        return {"error": self.error}


def plain(description: str, status: int = 400) -> RefusalError:
    """Refuse where the real answer says no more than the description."""
    return RefusalError(description, status=status, source="NA", step="NA", reason="NA")


def no_such_id() -> RefusalError:
    return RefusalError("The id provided does not exist")


def not_sent(names: list[str]) -> RefusalError:
    return RefusalError(
        f"{', '.join(names)} is/are not required and should not be sent",
        reason="extra_field_sent",
    )


def not_simulated(what: str, field: str) -> RefusalError:
    """Refuse what the real Razorpay does and this simulator does not, rather than ignore it."""
    return RefusalError(f"The sandbox does not simulate {what} yet.", field=field)


def no_such_url() -> RefusalError:
    return plain("The requested URL was not found on the server.")


def no_key() -> RefusalError:
    return plain("Please provide your api key for authentication purposes.", 401)


def wrong_key() -> RefusalError:
    return plain("Authentication failed", 401)


def key_in_use() -> RefusalError:
    return plain("Another request with the same idempotency key is still in progress.", 409)


def key_of_another() -> RefusalError:
    return plain("Different request with the same idempotency key has already been processed.", 409)


def payment_in_use() -> RefusalError:
    return plain("Request failed because another payment operation is in progress")


def receipt_in_use() -> RefusalError:
    return plain("Duplicate receipt found for this refund request.")


def broken(status: int) -> Document:
    """Tell that Razorpay itself failed, or had too much to do."""
    if status == 429:
        return {"error": {"code": "BAD_REQUEST_ERROR", "description": "Too many requests"}}
    words = "We are facing some trouble completing your request at the moment. Please try again."
    return {"error": {"code": "SERVER_ERROR", "description": words, "metadata": {}}}
