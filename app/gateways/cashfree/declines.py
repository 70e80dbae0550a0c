"""What each of Cashfree's reasons for a failed payment means for the next try.

https://www.cashfree.com/docs/api-reference/payments/errors: the list itself is a spreadsheet that
grows, so who is at fault (`error_source`) decides for a reason that is not here.
"""

from app.gateways import DeclineClass
from app.gateways.cashfree.words import Object, text

# The reason is `error_reason` where there is one, else `error_code`, both in lower case.
REASONS = {
    DeclineClass.SOFT: (
        *("bank_declined", "bank_rejected", "insufficient_balance", "insufficient_funds"),
        *("amount_limit_exceeded", "limit_exceeded", "transaction_limit_exceeded"),
        *("frequency_limit_exceeded", "issuer_unavailable", "bank_unavailable", "do_not_honour"),
        *("payment_timed_out", "transaction_declined"),
    ),
    DeclineClass.HARD: (
        *("account_blocked", "account_closed", "card_blocked", "card_expired", "expired_card"),
        *("card_unsupported", "card_not_supported", "invalid_account", "invalid_card"),
        *("invalid_card_number", "invalid_cvv", "invalid_expiry", "invalid_vpa"),
        *("invalid_upi_id", "international_card_not_allowed", "payment_method_unsupported"),
    ),
    DeclineClass.AUTHENTICATION: (
        *("auth_declined", "auth_failed", "authentication_failed", "incorrect_otp"),
        *("incorrect_pin", "incorrect_upi_pin", "invalid_otp", "otp_attempts_exceeded"),
        *("otp_expired", "customer_rejected", "user_rejected"),
    ),
    DeclineClass.FRAUD: (
        *("fraud_suspected", "lost_card", "risk_declined", "risk_rejected", "stolen_card"),
        "suspected_fraud",
    ),
    DeclineClass.GATEWAY: (
        *("api_error", "bank_processing_failure", "gateway_error", "gateway_timeout"),
        *("invalid_request", "processing_error", "technical_error"),
    ),
}
CLASSES = {reason: kind for kind, reasons in REASONS.items() for reason in reasons}

# Whose fault a reason is that nobody has heard of.
SOURCES = {"bank": DeclineClass.SOFT, "customer": DeclineClass.SOFT, "user": DeclineClass.SOFT}


def reason(error: Object) -> str | None:
    """Name the most exact reason that an error of Cashfree's gives."""
    found = text(error.get("error_reason")) or text(error.get("error_code"))
    return found and found.lower()


def decline_class(error: Object) -> DeclineClass:
    source = str(error.get("error_source") or "").lower()
    unknown = SOURCES.get(source, DeclineClass.GATEWAY)
    return CLASSES.get(reason(error) or "", unknown)
