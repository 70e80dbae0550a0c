"""Intents, payment methods and charges as they are when new, with every field."""

from sandbox.gateways.server.state import Document
from sandbox.gateways.stripe.objects import list_of, new_id

# Fields that are null in a new object.
EMPTY_IN_INTENT = (
    *("allowed_payment_method_types", "application", "application_fee_amount"),
    *("automatic_payment_methods", "canceled_at", "cancellation_reason"),
    *("customer_account", "excluded_payment_method_types", "last_payment_error"),
    *("latest_charge", "next_action", "on_behalf_of", "payment_method"),
    *("payment_method_configuration_details", "processing", "review", "source"),
    *("transfer_data",),
)
EMPTY_IN_CHARGE = (
    *("application", "application_fee", "application_fee_amount", "balance_transaction"),
    *("calculated_statement_descriptor", "failure_balance_transaction", "failure_code"),
    *("failure_message", "on_behalf_of", "outcome", "receipt_number", "receipt_url"),
    *("review", "source", "source_transfer", "transfer_data"),
)


def address(country: str | None) -> Document:
    empty = dict.fromkeys(("city", "line1", "line2", "postal_code", "state"))
    return {**empty, "country": country}


def new_intent(amount: int, currency: str, kinds: list[str], given: Document, now: int) -> Document:
    """Make a payment intent that nobody has tried to pay; `given` are the merchant's settings."""
    identifier = new_id("pi_3", 23).replace("3_", "3", 1)
    return {
        **dict.fromkeys(EMPTY_IN_INTENT),
        "id": identifier,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "capture_method": given.get("capture_method", "automatic_async"),
        "client_secret": f"{identifier}_secret_{new_id('', 25)[1:]}",
        "confirmation_method": "automatic",
        "created": now,
        "currency": currency,
        "customer": given.get("customer"),
        "description": given.get("description"),
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": given.get("metadata", {}),
        "payment_method_options": {},
        "payment_method_types": kinds,
        "receipt_email": given.get("receipt_email"),
        "setup_future_usage": given.get("setup_future_usage"),
        "shipping": given.get("shipping"),
        "statement_descriptor": given.get("statement_descriptor"),
        "statement_descriptor_suffix": given.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_group": given.get("transfer_group"),
        "_session": None,  # the page that it belongs to
    }


def billing_details(email: str, name: str | None, country: str | None) -> Document:
    return {
        "address": address(country),
        "email": email,
        "name": name,
        "phone": None,
        "tax_id": None,
    }


def new_charge(intent: Document, method: Document, now: int) -> Document:
    """Make a charge that has not happened yet: pending, nothing captured."""
    prefix = "ch_3" if method["type"] == "card" else "py_3"
    identifier = new_id(prefix, 23).replace("3_", "3", 1)
    copied = ("amount", "currency", "customer", "description", "shipping", "transfer_group")
    descriptors = ("statement_descriptor", "statement_descriptor_suffix", "receipt_email")
    return {
        **dict.fromkeys(EMPTY_IN_CHARGE),
        **{name: intent[name] for name in (*copied, *descriptors)},
        "id": identifier,
        "object": "charge",
        "amount_captured": 0,
        "amount_refunded": 0,
        "billing_details": method["billing_details"],
        "captured": False,
        "created": now,
        "disputed": False,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _charged_details(method, intent["amount"]),
        "refunded": False,
        "refunds": list_of(f"/v1/charges/{identifier}/refunds", []),
        "status": "pending",
    }


def card_details(number: str, card: Document, expiry: tuple[int, int]) -> Document:
    """Describe a card as its payment method does; the number itself is not kept."""
    return {
        **card,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "display_brand": card["brand"],
        "exp_month": expiry[0],
        "exp_year": expiry[1],
        "fingerprint": f"simulated{number[-4:]}",
        "generated_from": None,
        "last4": number[-4:],
        "networks": {"available": [card["brand"]], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _charged_details(method: Document, amount: int) -> Document:
    kind = method["type"]
    details = dict(method[kind])
    if kind != "card":
        return {"type": kind, kind: details}
    for name in ("display_brand", "generated_from", "networks", "three_d_secure_usage"):
        details.pop(name)
    unavailable = {"status": "unavailable"}
    return {
        "type": "card",
        "card": details
        | {
            "amount_authorized": amount,
            "authorization_code": None,
            "extended_authorization": {"status": "disabled"},
            "incremental_authorization": unavailable,
            "installments": None,
            "mandate": None,
            "multicapture": unavailable,
            "network": details["brand"],
            "network_token": {"used": False},
            "network_transaction_id": None,
            "overcapture": {"maximum_amount_capturable": amount, **unavailable},
            "three_d_secure": None,
            "transaction_link_id": None,
        },
    }
