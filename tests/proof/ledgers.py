"""What the gateways' own books hold, in one shape: money taken, and money sent back.

They are read where the simulators keep them, past the service and its adapters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.gateways.cashfree.words import ours
from app.gateways.payu import references

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SentBack:
    """A refund that a gateway keeps, under our id of it where it has one, and its own name."""

    refund_id: str | None
    name: str
    amount: int
    is_done: bool
    is_undone: bool  # failed, so that another may take its place


@dataclass(frozen=True, slots=True)
class Ledger:
    """How one gateway keeps payments and refunds."""

    payments: str  # the kind of object
    # Our name of a payment that took money, and how much; None for one that took none.
    charge: Callable[[Object], tuple[str, int] | None]
    sent_back: Callable[[Object], SentBack]

    def charges(self, objects: Iterator[Object]) -> list[dict[str, Any]]:
        found = [charge for one in objects if (charge := self.charge(one))]
        return [{"id": name, "amount": amount} for name, amount in found]


def _of_stripe(intent: Object) -> tuple[str, int] | None:
    taken = intent["status"] == "succeeded"
    return (intent["id"], intent["amount_received"]) if taken else None


def _of_razorpay(payment: Object) -> tuple[str, int] | None:
    return (payment["id"], payment["amount"]) if payment["captured"] else None


def _of_payu(transaction: Object) -> tuple[str, int] | None:
    return (transaction["id"], transaction["amount"]) if transaction["captured_at"] else None


def _of_cashfree(payment: Object) -> tuple[str, int] | None:
    """Of what was held first, a part may have been taken."""
    held = payment["authorization"] or {"captured": payment["amount"]}
    name = f"{payment['order']}:{payment['id']}"
    return (name, held["captured"]) if payment["captured"] else None


LEDGERS: Mapping[str, Ledger] = {
    "stripe": Ledger(
        "payment_intent",
        _of_stripe,
        lambda one: SentBack(
            one["metadata"].get("refund_id"),
            one["id"],
            one["amount"],
            one["status"] == "succeeded",
            one["status"] in {"failed", "canceled"},
        ),
    ),
    "razorpay": Ledger(
        "payment",
        _of_razorpay,
        lambda one: SentBack(
            one["receipt"],
            one["id"],
            one["amount"],
            one["status"] == "processed",
            one["status"] == "failed",
        ),
    ),
    "payu": Ledger(
        "transaction",
        _of_payu,
        lambda one: SentBack(
            references.refund_id(one["id"]),
            one["request_id"],
            one["amount"],
            one["status"] == "success",
            one["status"] == "failure",
        ),
    ),
    "cashfree": Ledger(
        "payment",
        _of_cashfree,
        lambda one: SentBack(
            ours(one["refund_id"]),
            one["cf_refund_id"],
            one["amount"],
            one["status"] == "SUCCESS",
            one["status"] in {"FAILED", "CANCELLED"},
        ),
    ),
}


def spellings(identifier: str) -> set[str]:
    """Give an id of ours as each gateway writes it."""
    try:
        number = UUID(identifier)
    except ValueError:
        return {identifier}
    return {
        identifier,
        number.hex,
        references.txnid(identifier),
        references.token(identifier),
    }
