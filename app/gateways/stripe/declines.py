"""What each of Stripe's reasons for a failed payment means for the next try.

https://docs.stripe.com/declines/codes, https://docs.stripe.com/error-codes
"""

from collections.abc import Mapping
from typing import Any

from app.gateways import DeclineClass

# The reason is `decline_code` where the bank gave one, else `code`.
REASONS = {
    DeclineClass.SOFT: (
        *("approve_with_id", "call_issuer", "card_decline_rate_limit_exceeded"),
        *("card_velocity_exceeded", "do_not_honor", "duplicate_transaction", "generic_decline"),
        *("insufficient_funds", "invalid_amount", "issuer_not_available"),
        *("new_account_information_available", "no_action_taken", "not_permitted"),
        *("payment_intent_payment_attempt_failed", "processing_error", "reenter_transaction"),
        *("service_not_allowed", "transaction_not_allowed", "try_again_later"),
        "withdrawal_count_limit_exceeded",
    ),
    DeclineClass.HARD: (
        *("card_not_supported", "currency_not_supported", "do_not_try_again", "expired_card"),
        *("incorrect_address", "incorrect_cvc", "incorrect_number", "incorrect_pin"),
        *("incorrect_zip", "india_recurring_payment_mandate_canceled", "invalid_account"),
        *("invalid_cvc", "invalid_expiry_month", "invalid_expiry_year", "invalid_number"),
        *("invalid_pin", "lost_card", "payment_method_unactivated", "pin_try_exceeded"),
        *("restricted_card", "revocation_of_all_authorizations"),
        *("revocation_of_authorization", "stop_payment_order"),
        *("testmode_decline", "test_mode_live_card"),
    ),
    DeclineClass.AUTHENTICATION: (
        *("authentication_not_handled", "authentication_required"),
        *("mobile_device_authentication_required", "offline_pin_required"),
        *("online_or_offline_pin_required", "payment_intent_authentication_failure"),
    ),
    DeclineClass.FRAUD: (
        *("fraudulent", "merchant_blacklist", "pickup_card", "security_violation", "stolen_card"),
    ),
}
CLASSES = {reason: kind for kind, reasons in REASONS.items() for reason in reasons}

# What the network advises binds us: it fines those who try again.
# https://docs.stripe.com/declines/card#retrying-issuer-declines
AGAINST_A_RETRY = {"do_not_try_again", "confirm_card_data"}

# When Stripe refuses one of these, the method or its customer is gone.
OF_THE_PAYER = {"customer", "payment_method"}


def reason(error: Mapping[str, Any]) -> str | None:
    """Name the most exact reason that an error of Stripe's gives."""
    return error.get("decline_code") or error.get("code")


def decline_class(error: Mapping[str, Any]) -> DeclineClass:
    """Classify an error: an unheard-of decline of a card is soft, anything else the gateway's."""
    if error.get("param") in OF_THE_PAYER:
        return DeclineClass.HARD
    unknown = DeclineClass.SOFT if error.get("type") == "card_error" else DeclineClass.GATEWAY
    found = CLASSES.get(reason(error) or "", unknown)
    if found is DeclineClass.SOFT and error.get("advice_code") in AGAINST_A_RETRY:
        return DeclineClass.HARD
    return found
