"""A Checkout Session as it is when new, with every field of the present API version."""

from typing import Any

from sandbox.gateways.server.state import Document
from sandbox.gateways.stripe import line_items
from sandbox.gateways.stripe.objects import list_of
from sandbox.gateways.stripe.payment_shapes import address

DAY = 24 * 3600
# Settings that this simulator leaves unset.
UNSET = (
    *("after_expiration", "allow_promotion_codes", "client_secret"),
    *("collected_information", "consent", "consent_collection", "currency_conversion"),
    *("customer_account", "invoice", "invoice_creation", "payment_link"),
    *("payment_method_configuration_details", "permissions", "recovered_from"),
    "shipping_address_collection",
    *("shipping_cost", "subscription", "wallet_options"),
)
COPIED = (
    *("allowed_payment_method_types", "billing_address_collection", "branding_settings"),
    *("cancel_url", "client_reference_id", "customer", "customer_email", "locale"),
    *("excluded_payment_method_types", "integration_identifier", "origin_context", "submit_type"),
)


def new_session(
    identifier: str,
    params: dict[str, Any],
    items: Document | None,
    methods: list[str],
    now: int,
) -> Document:
    """Make an open session; its url is set by whoever serves the page.

    Without items it is one that saves a method, and knows no amount.
    """
    amount = line_items.total(items) if items else None
    return {
        **_session_settings(),
        **{name: params.get(name) for name in COPIED},
        "id": identifier,
        "object": "checkout.session",
        "amount_subtotal": amount,
        "amount_total": amount,
        "created": now,
        "currency": items["data"][0]["currency"] if items else params["currency"],
        "customer_creation": _customer_creation(params),
        "customer_details": _expected_payer(params),
        "expires_at": params.get("expires_at", now + DAY),
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "mode": params.get("mode", "payment"),
        "payment_intent": None,
        "payment_method_types": methods,
        "payment_status": "unpaid" if amount else "no_payment_required",
        "saved_payment_method_options": _saved_options(params),
        "setup_intent": None,
        "status": "open",
        "success_url": params["success_url"],
        "total_details": items and {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": None,
        "_line_items": items or list_of("", []),
        "_intent_data": params.get("payment_intent_data", {}),
        "_tries": 0,
        "_paid_by_try": None,
    }


def _session_settings() -> Document:
    """Give the settings that this simulator leaves at Stripe's defaults."""
    return {
        **dict.fromkeys(UNSET),
        "adaptive_pricing": {"enabled": False},
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "discounts": [],
        "managed_payments": {"enabled": False},
        "payment_method_collection": "if_required",
        "payment_method_options": {},
        "phone_number_collection": {"enabled": False},
        "shipping_options": [],
    }


def _saved_options(params: dict[str, Any]) -> Document | None:
    """Say which saved methods are shown: by default those that may be shown anywhere."""
    given = params.get("saved_payment_method_options", {})
    if "customer" not in params or params.get("mode") == "setup":
        return None
    return {
        "allow_redisplay_filters": given.get("allow_redisplay_filters", ["always"]),
        "payment_method_remove": None,
        "payment_method_save": given.get("payment_method_save"),
    }


def _customer_creation(params: dict[str, Any]) -> str | None:
    if "customer" in params:
        return None
    kept = params.get("payment_intent_data", {}).get("setup_future_usage")
    chosen: str = params.get("customer_creation", "always" if kept else "if_required")
    return chosen


def _expected_payer(params: dict[str, Any]) -> Document | None:
    email = params.get("customer_email")
    return payer_details(email, None, None) if email else None


def payer_details(email: str | None, name: str | None, country: str | None) -> Document:
    return {
        "address": address(country),
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }
