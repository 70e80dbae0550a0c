"""What each of Razorpay's reasons for a failed payment means for the next try.

https://razorpay.com/docs/errors/payments/list/, https://razorpay.com/docs/errors/error-reasons/
"""

from collections.abc import Mapping
from typing import Any

from app.gateways import DeclineClass

REASONS = {
    DeclineClass.SOFT: (
        *("authorisation_declined_by_psp", "bank_cutoff_in_progress", "bank_not_available"),
        *("bank_technical_error", "card_declined", "collect_request_pending", "credit_failed"),
        *("credit_limit_exceeded", "debit_declined", "funds_blocked_by_mandate"),
        # The documentation of the test cards writes it without its last letter.
        *("insufficient_fund", "insufficient_funds", "issuer_technical_error"),
        *("mcc_amount_limit_exceeded", "payment_declined", "payment_failed", "payment_pending"),
        *("payment_timed_out", "psp_app_not_available", "psp_not_available"),
        *("transaction_daily_count_exceeded", "transaction_daily_limit_exceeded"),
        *("transaction_frequency_limit_exceeded", "transaction_limit_exceeded"),
        *("upi_app_technical_error", "verification_failed", "vpa_resolution_failed"),
    ),
    DeclineClass.HARD: (
        *("bank_account_invalid", "bank_account_validation_failed"),
        *("card_disabled_for_online_payments", "card_expired", "card_not_enrolled"),
        *("card_number_invalid", "card_type_invalid", "credit_limit_expired"),
        *("credit_limit_inactive", "credit_limit_not_approved", "credit_not_permitted"),
        *("debit_instrument_blocked", "debit_instrument_inactive"),
        *("emi_greater_than_max_amount", "emi_plan_unavailable", "incorrect_card_details"),
        *("incorrect_card_expiry_date", "incorrect_cardholder_name", "incorrect_cvv"),
        *("international_transaction_not_allowed", "invalid_device", "invalid_mobile_number"),
        *("invalid_user_details", "invalid_vpa", "mobile_number_invalid", "pin_not_set"),
        *("psp_app_not_supported", "psp_not_registered", "transaction_on_vpa_restricted"),
        *("user_not_eligible", "user_not_registered_for_netbanking"),
    ),
    DeclineClass.AUTHENTICATION: (
        *("authentication_failed", "incorrect_atm_pin", "incorrect_otp", "incorrect_pin"),
        *("otp_attempts_exceeded", "otp_expired", "payment_cancelled"),
        *("payment_collect_request_expired", "payment_pending_approval"),
        *("payment_session_expired", "pin_attempts_exceeded"),
    ),
    DeclineClass.FRAUD: ("payment_amount_tampered", "payment_risk_check_failed"),
    DeclineClass.GATEWAY: (
        *("bank_not_enabled", "capture_failed", "card_network_not_enabled"),
        *("compliance_violation", "duplicate_request", "duplicate_rrn_found"),
        *("gateway_technical_error", "input_validation_failed", "invalid_amount"),
        *("invalid_currency", "invalid_order_id", "invalid_request"),
        *("invalid_response_from_gateway", "live_mode_not_enabled", "merchant_not_activated"),
        *("order_already_paid", "order_amount_mismatch", "order_payment_method_mismatch"),
        *("payment_declined_due_to_high_traffic", "payment_method_not_enabled"),
        *("request_timed_out", "server_error", "upi_collect_not_enabled"),
        "upi_intent_not_enabled",
    ),
}
CLASSES = {reason: kind for kind, reasons in REASONS.items() for reason in reasons}

# Where an unheard-of failure came from: https://razorpay.com/docs/errors/payments/
OF_NO_PAYER = {"business", "gateway", "internal"}


def decline_class(payment: Mapping[str, Any]) -> DeclineClass:
    """Classify a failed payment: an unheard-of reason is soft where a payer or a bank gave it."""
    is_ours = (
        payment.get("error_code") != "BAD_REQUEST_ERROR"
        or payment.get("error_source") in OF_NO_PAYER
    )
    unknown = DeclineClass.GATEWAY if is_ours else DeclineClass.SOFT
    return CLASSES.get(str(payment.get("error_reason")), unknown)
