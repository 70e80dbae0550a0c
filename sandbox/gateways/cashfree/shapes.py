"""The entities of the API: what the books hold, in Cashfree's fields and units."""

from typing import Any

from sandbox.gateways.cashfree import times
from sandbox.gateways.cashfree.rupees import rupees
from sandbox.gateways.server.state import Document


def order_entity(order: Document) -> dict[str, Any]:
    return {
        "cart_details": None,
        "cf_order_id": order["cf_order_id"],
        "created_at": times.written(order["created"]),
        "customer_details": {"customer_name": None, "customer_email": None, **order["customer"]},
        "entity": "order",
        "order_amount": rupees(order["amount"]),
        "order_currency": order["currency"],
        "order_expiry_time": times.written(order["expires"]),
        "order_id": order["id"],
        "order_meta": {"return_url": None, "notify_url": None, **order["meta"]},
        "order_note": order["note"],
        "order_splits": [],
        "order_status": order["status"],
        "order_tags": order["tags"],
        "payment_session_id": order["session"],
        "terminal_data": None,
    }


def payment_entity(order: Document, payment: Document) -> dict[str, Any]:
    return {
        "auth_id": None,
        "authorization": _authorization(payment["authorization"]),
        "bank_reference": payment["bank_reference"],
        "cf_payment_id": payment["id"],
        "entity": "payment",
        "error_details": payment["error"],
        "international_payment": {"international": False},
        "is_captured": payment["captured"],
        "order_amount": rupees(order["amount"]),
        "order_currency": order["currency"],
        "order_id": order["id"],
        "payment_amount": rupees(payment["amount"]),
        "payment_completion_time": payment["completed"] and times.written(payment["completed"]),
        "payment_currency": order["currency"],
        "payment_gateway_details": {
            "gateway_name": "CASHFREE",
            "gateway_order_id": None,
            "gateway_payment_id": None,
            "gateway_order_reference_id": None,
            "gateway_status_code": None,
            "gateway_settlement": "CASHFREE",
        },
        "payment_group": payment["group"],
        "payment_message": payment["message"],
        "payment_method": payment["method"],
        "payment_offers": None,
        "payment_status": payment["status"],
        "payment_surcharge": None,
        "payment_time": times.written(payment["created"]),
    }


def _authorization(done: Document | None) -> dict[str, Any] | None:
    if done is None:
        return None
    taken = done["captured"]
    return {
        "action": done["action"],
        "status": done["status"],
        "captured_amount": None if taken is None else rupees(taken),
        "start_time": None,
        "end_time": None,
        "approve_by": None,
        "action_reference": done["reference"],
        "action_time": times.written(done["at"]),
    }


def refund_entity(refund: Document) -> dict[str, Any]:
    return {
        "cf_payment_id": refund["payment"],
        "cf_refund_id": refund["cf_refund_id"],
        "created_at": times.written(refund["created"]),
        "entity": "refund",
        "forex_conversion_handling_charge": None,
        "metadata": None,
        "order_id": refund["order"],
        "processed_at": refund["processed"] and times.written(refund["processed"]),
        "refund_amount": rupees(refund["amount"]),
        "refund_arn": refund["arn"],
        "refund_charge": rupees(0),
        "refund_currency": "INR",
        "refund_id": refund["refund_id"],
        "refund_mode": "STANDARD",
        "refund_note": refund["note"],
        "refund_speed": {"requested": "STANDARD", "accepted": "STANDARD", "processed": "STANDARD"},
        "refund_splits": [],
        "refund_status": refund["status"],
        "refund_type": refund["type"],
        "status_description": refund["description"],
    }


def dispute_entity(dispute: Document) -> dict[str, Any]:
    resolved = dispute["resolved"]
    return {
        "dispute_id": int(dispute["id"]),
        "dispute_type": dispute["type"],
        "reason_code": dispute["reason_code"],
        "reason_description": dispute["reason"],
        "dispute_amount": rupees(dispute["amount"]),
        "dispute_amount_currency": "INR",
        "created_at": times.written(dispute["created"]),
        "updated_at": times.written(dispute["updated"]),
        "resolved_at": resolved and times.written(resolved),
        "respond_by": times.written(dispute["respond_by"]),
        "dispute_status": f"{dispute['type']}_{dispute['state']}",
        "cf_dispute_remarks": dispute["remarks"],
        "dispute_action_on": "MERCHANT",
    }


def dispute_shown(dispute: Document) -> dict[str, Any]:
    """Write a dispute as an answer has it: its times without a zone, the last one in any case.

    https://www.cashfree.com/docs/api-reference/payments/previous/v2023-08-01/dispute/disputes-for-payment
    """
    return {
        **dispute_entity(dispute),
        "created_at": times.zoneless(dispute["created"]),
        "updated_at": times.zoneless(dispute["updated"]),
        "resolved_at": times.zoneless(dispute["resolved"]) if dispute["resolved"] else times.NEVER,
        "respond_by": times.zoneless(dispute["respond_by"]),
        "preferred_evidence": [],
        "dispute_evidence": [],
    }
