"""Stripe's types of payment methods in our words.

https://docs.stripe.com/api/payment_methods/object#payment_method_object-type
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.gateways import Method

TYPES = {
    Method.CARD: ("card", "card_present", "interac_present", "kr_card"),
    Method.UPI: ("upi",),
    Method.NETBANKING: (
        *("bancontact", "blik", "eps", "fpx", "giropay", "ideal", "p24", "pay_by_bank"),
        "sofort",
    ),
    Method.WALLET: (
        *("alipay", "amazon_pay", "bizum", "cashapp", "grabpay", "kakao_pay", "link", "mb_way"),
        *("mobilepay", "naver_pay", "payco", "paypal", "paypay", "revolut_pay", "samsung_pay"),
        *("satispay", "swish", "twint", "wechat_pay"),
    ),
    Method.PAY_LATER: (
        *("affirm", "afterpay_clearpay", "alma", "billie", "klarna", "scalapay", "sequra"),
        *("sunbit", "zip"),
    ),
    Method.BANK_DEBIT: (
        *("acss_debit", "au_becs_debit", "bacs_debit", "nz_bank_account", "payto"),
        *("sepa_debit", "us_bank_account"),
    ),
    Method.BANK_TRANSFER: ("customer_balance", "paynow", "pix", "promptpay"),
    Method.OTHER: ("boleto", "crypto", "custom", "konbini", "multibanco", "oxxo"),
}
METHODS = {kind: method for method, kinds in TYPES.items() for kind in kinds}


def chosen(method: Method | None, currency: str) -> list[str]:
    """Give what a page is narrowed to once the payer has chosen; nothing where the page asks."""
    if method is Method.CARD:
        return ["card"]
    return ["upi"] if method is Method.UPI and currency == "INR" else []


def method_of(intent: Mapping[str, Any]) -> Method | None:
    """Tell with what an intent was, or is to be, paid.

    The charge says it, or the method, where they are expanded; the failed try; at last the types
    that were possible, if there was only one.
    """
    charge = intent.get("latest_charge")
    error = intent.get("last_payment_error") or intent.get("last_setup_error") or {}
    given = (
        charge.get("payment_method_details") if isinstance(charge, Mapping) else None,
        intent.get("payment_method"),
        error.get("payment_method"),
    )
    for each in given:
        if isinstance(each, Mapping) and each.get("type"):
            return METHODS.get(each["type"], Method.OTHER)
    possible: Sequence[str] = intent.get("payment_method_types") or ()
    return METHODS.get(possible[0], Method.OTHER) if len(possible) == 1 else None
