"""What a request for a Checkout Session may ask for, and how Stripe refuses the rest."""

from typing import Any
from urllib.parse import urlsplit

from sandbox.gateways.stripe import money
from sandbox.gateways.stripe.customers import check_email
from sandbox.gateways.stripe.errors import RefusalError, invalid, missing, not_simulated
from sandbox.gateways.stripe.methods import BANKS

MODES = ("payment", "setup")
SHORTEST, LONGEST = 30 * 60, 24 * 3600

# What has an effect here. Everything else that Stripe knows is refused, not ignored.
SIMULATED = frozenset(
    {
        *("mode", "line_items", "success_url", "cancel_url", "client_reference_id", "currency"),
        *("customer", "customer_email", "customer_creation", "metadata", "payment_intent_data"),
        *("setup_intent_data", "saved_payment_method_options"),
        *("expires_at", "expand", "ui_mode", "submit_type", "locale", "origin_context"),
        *("allowed_payment_method_types", "excluded_payment_method_types", "branding_settings"),
        *("billing_address_collection", "integration_identifier", "allow_promotion_codes"),
    }
)
# Settings that are off by default and may be said to be off.
MAY_BE_OFF = frozenset(
    {
        *("automatic_tax", "invoice_creation", "adaptive_pricing", "managed_payments"),
        *("phone_number_collection", "tax_id_collection"),
    }
)
SIMULATED_INTENT_DATA = frozenset(
    {
        *("metadata", "description", "receipt_email", "setup_future_usage", "capture_method"),
        *("statement_descriptor", "statement_descriptor_suffix", "transfer_group", "shipping"),
    }
)


SIMULATED_SAVED = frozenset({"allow_redisplay_filters", "payment_method_save"})


def check_params(params: dict[str, Any], now: int) -> None:
    _check_simulated(params)
    if params.get("mode") == "setup":
        _check_setup(params)
    if "success_url" not in params:
        raise missing("success_url")
    for name in ("success_url", "cancel_url"):
        if name in params:
            _check_url(params[name], name)
    _check_payer(params)
    if len(params.get("client_reference_id", "")) > 200:
        raise invalid("Invalid string: must be at most 200 characters", "client_reference_id")
    _check_expiry(params.get("expires_at"), now)


def _check_payer(params: dict[str, Any]) -> None:
    for other in ("customer_email", "customer_creation"):
        if "customer" in params and other in params:
            raise RefusalError(f"You may only specify one of these parameters: customer, {other}.")
    if "customer_email" in params:
        check_email(params["customer_email"], "customer_email")


def _check_simulated(params: dict[str, Any]) -> None:
    mode = params.get("mode", "payment")
    if mode not in MODES:
        raise not_simulated(f"Checkout Sessions in `{mode}` mode", "mode")
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise not_simulated(f"`ui_mode` {params['ui_mode']}", "ui_mode")
    if params.get("allow_promotion_codes"):
        raise not_simulated("promotion codes", "allow_promotion_codes")
    if mode == "payment" and "setup_intent_data" in params:
        raise RefusalError("You can not pass `setup_intent_data` in `payment` mode.")
    for name, value in params.items():
        off = name in MAY_BE_OFF and not value.get("enabled")
        if name not in SIMULATED and not off:
            raise not_simulated(f"`{name}`", name)
    _check_parts(params, "payment_intent_data", SIMULATED_INTENT_DATA)
    _check_parts(params, "saved_payment_method_options", SIMULATED_SAVED)


def _check_parts(params: dict[str, Any], whole: str, simulated: frozenset[str]) -> None:
    for name in params.get(whole, {}):
        if name not in simulated:
            raise not_simulated(f"`{name}`", f"{whole}[{name}]")


def _check_setup(params: dict[str, Any]) -> None:
    """Refuse what makes no sense on a page that only saves a method."""
    for name in ("line_items", "payment_intent_data", "submit_type"):
        if name in params:
            raise RefusalError(f"You can not pass `{name}` in `setup` mode.", param=name)
    if "currency" not in params:
        raise missing("currency")
    if params["currency"] not in money.SUPPORTED:
        raise invalid(f"Invalid currency: {params['currency']}.", "currency")
    for name in params.get("setup_intent_data", {}):
        if name not in {"metadata", "description"}:
            raise not_simulated(f"`{name}`", f"setup_intent_data[{name}]")


def _check_url(url: str, name: str) -> None:
    try:
        parts = urlsplit(url.replace("{CHECKOUT_SESSION_ID}", "cs"))
    except ValueError:
        raise invalid("Not a valid URL", name, "url_invalid") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or " " in url:
        raise invalid("Not a valid URL", name, "url_invalid")


def _check_expiry(expires_at: int | None, now: int) -> None:
    if expires_at is None:
        return
    if expires_at < now + SHORTEST:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session"
            " creation.",
            "expires_at",
        )
    if expires_at > now + LONGEST:
        raise invalid(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            "expires_at",
        )


def offered(params: dict[str, Any], currency: str) -> list[str]:
    """Compute the payment methods on offer: cards, and the delayed method of the currency."""
    known = ["card"]
    manual = params.get("payment_intent_data", {}).get("capture_method") == "manual"
    if currency in BANKS and not manual:
        known.append(BANKS[currency].type)
    allowed = params.get("allowed_payment_method_types", known)
    excluded = params.get("excluded_payment_method_types", [])
    left = [method for method in known if method in allowed and method not in excluded]
    if not left:
        raise invalid(
            f"No payment methods are available for {currency} with these filters.",
            "allowed_payment_method_types",
        )
    return left
