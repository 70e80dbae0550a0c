"""A line of a settlement report, in Cashfree's fields and units."""

from typing import Any

from sandbox.gateways.cashfree import times
from sandbox.gateways.cashfree.rupees import rupees
from sandbox.gateways.server.state import Document


def recon_item(
    line: Document,
    settlement: Document,
    about: tuple[Document, Document, Document | None],
) -> dict[str, Any]:
    """Write a line; `about` is its order, its payment and, if it is one's, its refund."""
    order, payment, refund = about
    return {
        "event_details": _event(line, settlement),
        "order_details": {
            "order_id": order["id"],
            "order_amount": rupees(order["amount"]),
            "order_currency": order["currency"],
            "order_tags": order["tags"],
        },
        "customer_details": order["customer"],
        "payment_details": {
            "cf_payment_id": payment["id"],
            "payment_amount": rupees(payment["amount"]),
            "payment_currency": order["currency"],
            "payment_mode": payment["group"],
            "payment_time": times.written(payment["created"]),
            "bank_reference": payment["bank_reference"],
            "status": payment["status"],
        },
        "settlement_details": _settlement(line, settlement),
        "refund_details": refund and _refund(refund),
        "dispute_details": line.get("dispute")
        and {"dispute_id": line["dispute"], "dispute_category": line["type"]},
    }


def _event(line: Document, settlement: Document) -> dict[str, Any]:
    """Write the amounts without a sign: `sale_type` has it."""
    return {
        "event_id": line["event"],
        "event_type": line["type"],
        "event_amount": rupees(abs(line["gross"])),
        "event_settlement_amount": rupees(abs(line["net"])),
        "event_service_charge": rupees(line["fee"]),
        "event_service_tax": rupees(line["tax"]),
        "event_currency": "INR",
        "event_status": "SUCCESS",
        "event_time": times.written(settlement["created"]),
        "event_remarks": None,
        "sale_type": "CREDIT" if line["gross"] > 0 else "DEBIT",
        "entity": "recon",
    }


def _settlement(line: Document, settlement: Document) -> dict[str, Any]:
    settled_at = times.written(settlement["created"])
    return {
        "cf_settlement_id": int(settlement["id"]),
        "settlement_date": settled_at,
        "settlement_initiated_on": settled_at,
        "utr": settlement["utr"],
        "service_charge": rupees(line["fee"]),
        "service_tax": rupees(line["tax"]),
        "amount_settled": rupees(settlement["amount"]),
        "settlement_type": "STANDARD",
    }


def _refund(refund: Document) -> dict[str, Any]:
    return {
        "refund_id": refund["refund_id"],
        "refund_arn": refund["arn"],
        "refund_note": refund["note"],
        "refund_processed_at": times.written(refund["processed"]),
    }
