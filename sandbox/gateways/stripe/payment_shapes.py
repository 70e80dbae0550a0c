"""Intents, payment methods and charges as they are when new, with every field."""

from sandbox.gateways.server.state import Document
from sandbox.gateways.stripe.objects import list_of, new_id


def address(country: str | None) -> Document:
    empty = dict.fromkeys(("city", "line1", "line2", "postal_code", "state"))
    return {**empty, "country": country}


def new_intent(session: Document, now: int) -> Document:
    """Make the payment intent of a session, made when the payer first tries to pay."""
    given = session["_intent_data"]
    identifier = new_id("pi_3", 23).replace("3_", "3", 1)
    return {
        "id": identifier,
        "object": "payment_intent",
        "allowed_payment_method_types": None,
        "amount": session["amount_total"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": given.get("capture_method", "automatic_async"),
        "client_secret": f"{identifier}_secret_{new_id('', 25)[1:]}",
        "confirmation_method": "automatic",
        "created": now,
        "currency": session["currency"],
        "customer": session["customer"],
        "customer_account": None,
        "description": given.get("description"),
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": given.get("metadata", {}),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": session["payment_method_types"],
        "processing": None,
        "receipt_email": given.get("receipt_email"),
        "review": None,
        "setup_future_usage": given.get("setup_future_usage"),
        "shipping": given.get("shipping"),
        "source": None,
        "statement_descriptor": given.get("statement_descriptor"),
        "statement_descriptor_suffix": given.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": given.get("transfer_group"),
    }


def new_method(kind: str, details: Document, billing: Document, now: int) -> Document:
    """Make a payment method; `details` stands under the name of its kind."""
    return {
        "id": new_id("pm_1", 23).replace("1_", "1", 1),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing,
        "created": now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
        kind: details,
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
        **{name: intent[name] for name in (*copied, *descriptors)},
        "id": identifier,
        "object": "charge",
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": None,
        "captured": False,
        "created": now,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": None,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _charged_details(method, intent["amount"]),
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "refunds": list_of(f"/v1/charges/{identifier}/refunds", []),
        "review": None,
        "source": None,
        "source_transfer": None,
        "status": "pending",
        "transfer_data": None,
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
