"""Every failure that has a name: its code is public and for ever, and the list is closed.

Hasura passes a 4xx answer on to its client and hides a 5xx, so a refusal that the client should
read has a 4xx status, a third party's failure too (424). docs/errors.md says what to do about each.
"""

from typing import ClassVar


class AppError(Exception):
    """A failure with a stable code. Anything else that escapes is a bug."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    told: ClassVar[str] = ""  # to the caller, where the message is for the log alone

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def as_hasura(self) -> dict[str, object]:
        """Shape the error as Hasura passes it on to its client."""
        return {"message": self._told(), "extensions": {"code": self.code, **self.details}}

    def as_rest(self) -> dict[str, object]:
        """Shape the error as UberTruck's document has it, with the code beside the text."""
        return {**self.details, "error": self._told(), "code": self.code}

    def _told(self) -> str:
        return self.told or self.message


class InvalidInputError(AppError):
    """The request is not what the contract says; `errors` names the fields."""

    code, status = "invalid-input", 400


class UnauthorizedError(AppError):
    """The caller did not prove who they are."""

    code, status = "unauthorized", 401


class SignatureInvalidError(AppError):
    """A webhook that its gateway did not sign, or signed at another time.

    Whoever tries signatures hears the same of all of them.
    """

    code, status = "signature-invalid", 401
    told = "Invalid signature"


class SignatureStaleError(SignatureInvalidError):
    """It is signed, but not just now: somebody sends it again, or a clock is wrong."""


class ForbiddenError(AppError):
    """The caller is known and may not do this."""

    code, status = "forbidden", 403


class NotFoundError(AppError):
    """There is no such thing, or it is somebody else's."""

    code, status = "not-found", 404


class MethodNotAllowedError(AppError):
    """The path exists; this method of it does not."""

    code, status = "method-not-allowed", 405


class PayloadTooLargeError(AppError):
    """The body is larger than anybody honest needs."""

    code, status = "payload-too-large", 413


class CustomerNotFoundError(AppError):
    """The session variables name no active customer, or more than one."""

    code, status = "customer-not-found", 404


class AmountOutOfRangeError(AppError):
    """The amount is not between the limits of payment_settings."""

    code, status = "amount-out-of-range", 400


class CurrencyNotSupportedError(AppError):
    """The organisation does not accept this currency."""

    code, status = "currency-not-supported", 400


class SettingInvalidError(AppError):
    """A setting that this needs is missing or no use; the organisation must mend it."""

    code, status = "setting-invalid", 409


class IdempotencyKeyReusedError(AppError):
    """The key belongs to a request with other content."""

    code, status = "idempotency-key-reused", 409


class RefundNotAllowedError(AppError):
    """Nothing is captured, or the organisation's refund policy says no."""

    code, status = "refund-not-allowed", 409


class PaymentInProgressError(AppError):
    """Another attempt of this payment may still take the money."""

    code, status = "payment-in-progress", 409


class CreditsSpentError(AppError):
    """The credits that the refund must take back are used."""

    code, status = "credits-spent", 409


class InsufficientCreditsError(AppError):
    """The customer has not so many credits to spend."""

    code, status = "insufficient-credits", 409


class NotCapturableError(AppError):
    """Nothing of the payment is authorised, it is off, or another amount is being captured."""

    code, status = "not-capturable", 409


class LedgerKeyReusedError(AppError):
    """A fact is booked already, with other entries."""

    code, status = "ledger-key-reused", 409


class LedgerTransactionReversedError(AppError):
    """A ledger transaction was taken back before."""

    code, status = "ledger-transaction-reversed", 409


class CheckoutExpiredError(AppError):
    """The checkout is over; a new one takes a new key."""

    code, status = "checkout-expired", 409


class AttemptsExhaustedError(AppError):
    """A page where the payer tried as often as it allows; they must pay in another way."""

    code, status = "attempts-exhausted", 409


class TooManyRequestsError(AppError):
    """Too many payments were begun from one address within an hour, or of one shop in a minute."""

    code, status = "too-many-requests", 429


class SecondPersonNeededError(AppError):
    """It takes two people, and whoever asks is the first of them, or the first has left."""

    code, status = "second-person-needed", 403


class TransferDecidedError(AppError):
    """The bank transfer, or what it is about, was decided otherwise."""

    code, status = "transfer-decided", 409


class TransferKnownError(AppError):
    """A bank transfer of this reference was entered before."""

    code, status = "transfer-known", 409


class ExceptionResolvedError(AppError):
    """Somebody else took the exception off the list, or it settled itself."""

    code, status = "exception-resolved", 409


class ExceptionStandsError(AppError):
    """What the exception stands for is still so; it leaves the list by itself when it is not."""

    code, status = "exception-stands", 409


class AutopayEndedError(AppError):
    """The mandate, or the charge, is over and cannot be changed any more."""

    code, status = "autopay-ended", 409


class PaymentMethodRefusedError(AppError):
    """The saved payment method was refused for good; only another one helps."""

    code, status = "payment-method-refused", 409


class GatewayRefusedError(AppError):
    """The gateway understood and said no, for good."""

    code, status = "gateway-refused", 422


class GatewayUnavailableError(AppError):
    """The gateway gave no answer that means anything: try again with the same key."""

    code, status = "gateway-unavailable", 424


class GatewaySilentError(GatewayUnavailableError):
    """It said nothing in time, or failed by itself: asked by anybody else, it would do the same."""


class GatewayBusyError(GatewayUnavailableError):
    """It was asked too often, and says for how many seconds it wants to be left alone, if it does.

    Nothing happened. It says nothing of whether the gateway works.
    """

    def __init__(self, message: str, seconds: int | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class ServiceUnavailableError(AppError):
    """Hasura or its database did not answer: try again with the same key."""

    code, status = "service-unavailable", 503


BY_CODE: dict[str, type[AppError]] = {error.code: error for error in AppError.__subclasses__()}


def from_database(message: str) -> AppError | None:
    """Turn a refusal of a SQL function, `<code>: <text>`, into its error; None if it is not one."""
    code, _, text = message.partition(": ")
    error = BY_CODE.get(code)
    return error(text) if error else None
