"""The acknowledged set: what the system said yes to, kept outside of it and held against it.

Books that balance prove nothing of a payment that they lost whole. So whoever hears a 2xx writes
down what it promised; at the end each promise is looked up again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from proof.ledgers import SentBack


class Books(Protocol):
    """Where promises are looked up: the product's database, and the gateway's own ledger."""

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]: ...

    def charges(self) -> list[dict[str, Any]]:
        """Every payment that the gateway took money for: id, amount, currency."""
        ...


@dataclass(frozen=True, slots=True)
class Promise:
    """A kind, and what was said. The kind says how it is looked up."""

    kind: str
    said: Mapping[str, Any]


@dataclass
class Acknowledged:
    """Every promise heard. With a file, each is on disk before it counts."""

    file: Path | None = None
    promises: list[Promise] = field(default_factory=list)

    def heard(self, kind: str, **said: Any) -> None:
        if kind not in CHECKS:
            raise KeyError(kind)
        promise = Promise(kind, said)
        if self.file:
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"kind": kind, "said": said}) + "\n")
        self.promises.append(promise)

    def broken(self, books: Books) -> list[str]:
        """Name each promise that does not hold."""
        found = [(promise, CHECKS[promise.kind](books, promise.said)) for promise in self.promises]
        return [
            f"{promise.kind} {dict(promise.said)}: {fault}" for promise, fault in found if fault
        ]


Check = Callable[[Books, Mapping[str, Any]], str | None]


def _purchase(books: Books, said: Mapping[str, Any]) -> str | None:
    """A page was shown for a purchase: both are there, for that amount, and belong together."""
    rows = books.sql(
        "select credit_purchases.amount, checkout_sessions.gateway_session_id"
        " from credit_purchases"
        " join payment_attempts using (payment_intent_id)"
        " join checkout_sessions on payment_attempt_id = payment_attempts.id"
        " where credit_purchases.id = %s",
        said["credit_purchase_id"],
    )
    if not any(row["gateway_session_id"] == said["session_id"] for row in rows):
        return f"found {rows}"
    return (
        None if rows[0]["amount"] == int(said["amount"]) else f"the amount is {rows[0]['amount']}"
    )


def _message(books: Books, said: Mapping[str, Any]) -> str | None:
    """A webhook was taken: its message is kept."""
    rows = books.sql("select from gateway_events where event_id = %s", said["event_id"])
    return None if len(rows) == 1 else f"kept {len(rows)} times"


def _receipt(books: Books, said: Mapping[str, Any]) -> str | None:
    """An event was handled by storing a receipt: it is stored."""
    rows = books.sql(
        "select from payment_attempts where id = %s and receipt_url is not null",
        said["payment_attempt_id"],
    )
    return None if rows else "there is no receipt"


def _paid(books: Books, said: Mapping[str, Any]) -> str | None:
    """The gateway took the money for a purchase: its credits are there, once."""
    rows = books.sql(
        "select granted_at, (select count(*) from credit_entries"
        " where reference_id = credit_purchases.id) as entries"
        " from credit_purchases where id = %s",
        said["credit_purchase_id"],
    )
    fine = len(rows) == 1 and rows[0]["granted_at"] and rows[0]["entries"] == 1
    return None if fine else f"found {rows}"


def _refund(books: Books, said: Mapping[str, Any]) -> str | None:
    """A refund was opened: it is there, for that amount."""
    rows = books.sql("select amount from refunds where id = %s", said["refund_id"])
    return None if [row["amount"] for row in rows] == [said["amount"]] else f"found {rows}"


def _mandate(books: Books, said: Mapping[str, Any]) -> str | None:
    """A page for autopay was shown: the mandate behind it is there."""
    rows = books.sql("select from autopay_mandates where id = %s", said["autopay_mandate_id"])
    return None if rows else "there is no mandate"


CHECKS: dict[str, Check] = {
    "purchase": _purchase,
    "message": _message,
    "receipt": _receipt,
    "paid": _paid,
    "refund": _refund,
    "mandate": _mandate,
}


def unbooked(books: Books) -> list[str]:
    """Name every charge of the gateway that is neither captured in the books nor an exception."""
    captured = books.sql(
        "select payment_attempts.gateway_payment_id from payment_attempts"
        " join ledger_transactions on reference_type = 'payment_attempt'"
        " and reference_id = payment_attempts.id and kind = 'capture'"
    )
    listed = books.sql(
        "select notice ->> 'gateway_payment_id' as gateway_payment_id from exceptions"
        " join gateway_events on gateway_events.id = object_id"
        " where object_type = 'gateway_event'"
    )
    known = {row["gateway_payment_id"] for row in [*captured, *listed]}
    return [
        f"charge {one['id']} is in no book" for one in books.charges() if one["id"] not in known
    ]


class Returns(Protocol):
    """Books in which refunds are looked up, and the gateway's own of them."""

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]: ...

    def sent_back(self) -> list[SentBack]: ...


def unknown_refunds(books: Returns) -> list[str]:
    """Name every refund of the gateway that is not one of ours, or is there twice.

    A refund is written down before it is asked for, so this holds at any moment.
    """
    ids = [one.refund_id for one in books.sent_back() if not one.is_undone]
    ours = {row["id"] for row in books.sql("select id::text from refunds")}
    faults = [f"refund {one} at the gateway is none of ours" for one in ids if one not in ours]
    return faults + [
        f"refund {one} was sent {ids.count(one)} times" for one in set(ids) if ids.count(one) > 1
    ]
