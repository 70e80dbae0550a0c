"""What Stripe is asked for when a page is opened.

https://docs.stripe.com/api/checkout/sessions/create
"""

from stripe.params.checkout import SessionCreateParams

from app.gateways import Charge, Setup
from app.gateways.stripe.methods import chosen
from app.gateways.stripe.units import units


def payment_page(charge: Charge) -> SessionCreateParams:
    reference = {"payment_attempt_id": charge.id}
    params: SessionCreateParams = {
        "mode": "payment",
        "client_reference_id": charge.id,
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": charge.amount.currency.lower(),
                    "unit_amount": units(charge.amount),
                    "product_data": {"name": charge.title},
                },
            }
        ],
        "metadata": reference,
        # A session's metadata stays on the session: refunds and disputes need it too.
        "payment_intent_data": {"metadata": reference, "receipt_email": charge.email},
        "success_url": charge.success_url,
        "cancel_url": charge.cancel_url,
        "expires_at": int(charge.expires_at.timestamp()),
    }
    if charge.gateway_customer_id:
        # Its page shows what they saved, asks them to confirm it, and offers to save another one.
        params["customer"] = charge.gateway_customer_id
        params["saved_payment_method_options"] = {
            "allow_redisplay_filters": ["always", "limited", "unspecified"],
            "payment_method_save": "enabled",
        }
    else:
        params["customer_email"] = charge.email
    types = chosen(charge.method, charge.amount.currency)
    if types:
        params["allowed_payment_method_types"] = [*types]
    if charge.authorize_only:
        params["payment_intent_data"]["capture_method"] = "manual"
    return params


def setup_page(setup: Setup) -> SessionCreateParams:
    reference = {"autopay_mandate_id": setup.id}
    params: SessionCreateParams = {
        "mode": "setup",
        "currency": setup.currency.lower(),
        "client_reference_id": setup.id,
        "metadata": reference,
        "setup_intent_data": {"metadata": reference},
        "success_url": setup.success_url,
        "cancel_url": setup.cancel_url,
        "expires_at": int(setup.expires_at.timestamp()),
    }
    if setup.gateway_customer_id:
        params["customer"] = setup.gateway_customer_id
    else:
        params["customer_email"] = setup.email
        params["customer_creation"] = "always"
    return params
