"""A gateway of a few lines: what truly happened to payments, refunds and disputes.

It keeps its own books, and its messages in a bag: they may be taken out in any order, any number
of times, or never. The product's books are right when they say what these say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4


@dataclass
class Bank:
    """The truth, and everything that was ever said about it."""

    payments: dict[UUID, str] = field(default_factory=dict)  # attempt: open, paid, failed, expired
    amounts: dict[UUID, int] = field(default_factory=dict)  # of attempts, refunds and disputes
    refunds: dict[UUID, str] = field(default_factory=dict)  # pending, succeeded, failed
    refunded_of: dict[UUID, UUID] = field(default_factory=dict)
    disputes: dict[UUID, str] = field(default_factory=dict)  # attempt: opened, won, lost
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def cash(self) -> int:
        """What it holds for us, in minor units."""
        paid = sum(self.amounts[id_] for id_, state in self.payments.items() if state == "paid")
        back = sum(self.amounts[id_] for id_, state in self.refunds.items() if state == "succeeded")
        gone = sum(self.amounts[id_] for id_, state in self.disputes.items() if state != "won")
        return paid - back - gone

    @property
    def given_back_twice(self) -> set[UUID]:
        """Name the payments of which refunds and a lost dispute took more than had come.

        A dispute is for all of a payment here, so that any refund beside it is too much.
        """
        return {
            attempt
            for attempt, state in self.disputes.items()
            if state == "lost"
            and any(
                self.refunds[id_] == "succeeded"
                for id_, of in self.refunded_of.items()
                if of == attempt
            )
        }

    def open(self, attempt_id: UUID, amount: int) -> None:
        self.payments[attempt_id] = "open"
        self.amounts[attempt_id] = amount

    def end(self, attempt_id: UUID, state: str) -> None:
        self.payments[attempt_id] = state
        self.say(self.of_payment(attempt_id))

    def move_refund(self, refund: dict[str, Any], state: str) -> None:
        self.refunds[refund["id"]] = state
        self.amounts[refund["id"]] = refund["amount"]
        self.refunded_of[refund["id"]] = refund["payment_attempt_id"]
        self.say(self.of_refund(refund["id"]))

    def move_dispute(self, attempt_id: UUID, state: str) -> None:
        self.disputes[attempt_id] = state
        self.say(self.of_dispute(attempt_id))

    def left(self, attempt_id: UUID) -> int:
        """What can still go back of a payment."""
        back = sum(
            self.amounts[id_]
            for id_, state in self.refunds.items()
            if self.refunded_of[id_] == attempt_id and state != "failed"
        )
        return self.amounts[attempt_id] - back

    def say(self, words: dict[str, Any]) -> None:
        self.messages.append({**words, "event_id": f"evt_{uuid4().hex}"})

    def of_payment(self, attempt_id: UUID) -> dict[str, Any]:
        state = self.payments[attempt_id]
        return {
            "subject": "payment",
            "outcome": "requires_action" if state == "open" else state,
            "payment_attempt_id": str(attempt_id),
            "gateway_payment_id": f"pi_{attempt_id}",
            "amount": self.amounts[attempt_id],
            "currency": "USD",
        }

    def of_refund(self, refund_id: UUID) -> dict[str, Any]:
        return {
            "subject": "refund",
            "outcome": self.refunds[refund_id],
            "refund_id": str(refund_id),
            "gateway_refund_id": f"re_{refund_id}",
            "gateway_payment_id": f"pi_{self.refunded_of[refund_id]}",
            "amount": self.amounts[refund_id],
            "currency": "USD",
        }

    def of_dispute(self, attempt_id: UUID) -> dict[str, Any]:
        return {
            "subject": "dispute",
            "outcome": self.disputes[attempt_id],
            "gateway_dispute_id": f"dp_{attempt_id}",
            "gateway_payment_id": f"pi_{attempt_id}",
            "amount": self.amounts[attempt_id],
            "currency": "USD",
        }

    def everything(self) -> list[dict[str, Any]]:
        """The truth as it is now, as a look-up of each object would tell it."""
        return [
            *(self.of_payment(id_) for id_ in self.payments),
            *(self.of_refund(id_) for id_ in self.refunds),
            *(self.of_dispute(id_) for id_ in self.disputes),
        ]
