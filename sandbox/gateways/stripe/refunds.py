"""Refunds: full or partial, at once or later, and some that fail after they succeeded."""

from typing import Any

from stripe.params._refund_create_params import RefundCreateParams
from stripe.params._refund_list_params import RefundListParams

from sandbox.gateways.server.state import Books, Document
from sandbox.gateways.stripe import money
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.charges import Charges
from sandbox.gateways.stripe.errors import (
    RefusalError,
    invalid,
    missing,
    no_such_given,
    not_simulated,
)
from sandbox.gateways.stripe.events import Events
from sandbox.gateways.stripe.methods import special
from sandbox.gateways.stripe.objects import fetch, new_id, show, show_list

KIND = "refund"
BASE = "/v1/refunds"
DECIDED_AFTER = 2.0  # seconds until a pending refund succeeds, or a good one fails
SIMULATED = frozenset(
    {"amount", "charge", "payment_intent", "reason", "metadata", "currency", "expand"}
)
EMPTY = (
    *("balance_transaction", "customer", "customer_account"),
    *("payment_method", "reason", "receipt_number", "source_transfer_reversal"),
    "transfer_reversal",
)


class Refunds:
    def __init__(self, books: Books, events: Events, charges: Charges) -> None:
        self.books = books
        self.events = events
        self.charges = charges
        self.balance = charges.balance

    def operations(self) -> list[Operation]:
        return [
            Operation("POST", BASE, "refunds.create", self._create, RefundCreateParams),
            Operation("GET", BASE, "refunds.list", self._list, RefundListParams),
            Operation("GET", f"{BASE}/{{id}}", "refunds.retrieve", self._retrieve),
        ]

    def _create(self, call: Call) -> Document:
        params = call.params
        for name in params:
            if name not in SIMULATED:
                raise not_simulated(f"`{name}` of a refund", name)
        refund = self.make(self._charge(params), params.get("amount"), params)
        return show(self.books, refund, params)

    def make(
        self, charge: Document, wanted: int | None, params: dict[str, Any] | None = None
    ) -> Document:
        """Refund a charge, all that is left of it unless an amount is wanted."""
        left = charge["amount_captured"] - charge["amount_refunded"]
        amount = left if wanted is None else wanted
        _check(charge, amount, left)
        return self._make(charge, amount, params or {})

    def _charge(self, params: dict[str, Any]) -> Document:
        """Find the charge that a request names, by itself or by its intent."""
        if "charge" in params:
            found = self.books.find("charge", params["charge"])
            if found is None:
                raise no_such_given("charge", params["charge"], "charge")
            return found
        if "payment_intent" not in params:
            raise missing("payment_intent")
        intent = self.books.find("payment_intent", params["payment_intent"])
        if intent is None:
            raise no_such_given("payment_intent", params["payment_intent"], "payment_intent")
        if intent["status"] != "succeeded":
            raise RefusalError(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                param="payment_intent",
            )
        return self.books.get("charge", intent["latest_charge"])

    def _make(self, charge: Document, amount: int, params: dict[str, Any]) -> Document:
        by_card = charge["id"].startswith("ch_")
        way = self._way(charge)
        waits = way.startswith("pending")
        refund: Document = {
            **dict.fromkeys(EMPTY),
            "id": new_id("re_3" if by_card else "pyr_3", 23).replace("_3_", "_3", 1),
            "object": KIND,
            "amount": amount,
            "charge": charge["id"],
            "created": self.books.store.now(),
            "currency": charge["currency"],
            "destination_details": _destination(charge, by_card=by_card),
            "metadata": params.get("metadata", {}),
            "payment_intent": charge["payment_intent"],
            "reason": params.get("reason"),
            "status": "pending" if waits else "succeeded",
        }
        if waits:
            refund["pending_reason"] = "processing"
        kind = "refund" if by_card else "payment_refund"
        refund["balance_transaction"] = self.balance.enter(kind, -amount, refund)["id"]
        self.books.insert(KIND, refund)
        self.events.emit("refund.created", refund)
        self.charges.refunded(charge, amount)
        if way == "pending_then_failed":
            refund["_fails"] = True
            self.books.update(KIND, refund)
        if way != "succeeded":
            due = self.books.store.exact_now() + DECIDED_AFTER
            self.books.set_timer("refund", refund["id"], due)
        return refund

    def _way(self, charge: Document) -> str:
        """Say what becomes of a charge's refunds: as a control call wants it, else as its card."""
        method = self.books.get("payment_method", charge["payment_method"])
        return str(charge.get("_refunds") or special(method).refund)

    def decide(self, identifier: str) -> None:
        """Go on with a refund whose time has come: pending succeeds, succeeded fails."""
        refund = self.books.get(KIND, identifier)
        if refund["status"] == "pending" and not refund.get("_fails"):
            self.succeed(refund)
        elif refund["status"] in {"pending", "succeeded"}:
            self.fail(refund, "expired_or_canceled_card")

    def succeed(self, refund: Document) -> None:
        before = {"status": refund["status"]}
        refund["status"] = "succeeded"
        refund.pop("pending_reason", None)
        self.books.update(KIND, refund)
        self._updated(refund, before)

    def fail(self, refund: Document, reason: str) -> None:
        """Bring the money back: the charge reads as not refunded by so much."""
        before = {"status": refund["status"]}
        refund |= {"status": "failed", "failure_reason": reason}
        refund.pop("pending_reason", None)
        kind = "refund_failure" if refund["id"].startswith("re_") else "payment_failure_refund"
        entry = self.balance.enter(kind, refund["amount"], refund)
        refund["failure_balance_transaction"] = entry["id"]
        self.books.update(KIND, refund)
        charge = self.books.get("charge", refund["charge"])
        self.charges.refunded(charge, -refund["amount"])
        self._updated(refund, before)
        self.events.emit("refund.failed", refund)

    def _updated(self, refund: Document, before: Document) -> None:
        """Report a change under its name and under the old twin of that name."""
        self.events.emit("refund.updated", refund, before)
        self.events.emit("charge.refund.updated", refund, before)

    def _retrieve(self, call: Call) -> Document:
        return show(self.books, fetch(self.books, KIND, call.path["id"], "id"), call.params)

    def _list(self, call: Call) -> Document:
        filters = {name: call.params.get(name) for name in ("charge", "payment_intent")}
        return show_list(self.books, KIND, BASE, call.params, **filters)


def _check(charge: Document, amount: int, left: int) -> None:
    """Refuse what cannot be given back."""
    if charge["disputed"]:
        raise RefusalError(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    if not charge["paid"] or not charge["captured"]:
        raise RefusalError(f"Charge {charge['id']} cannot be refunded.", param="charge")
    if charge["refunded"]:
        raise RefusalError(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if amount < 1:
        raise invalid(
            "This value must be greater than or equal to 1.",
            "amount",
            "parameter_invalid_integer",
        )
    if amount > left:
        shown = (money.display(one, charge["currency"]) for one in (amount, left))
        asked, rest = shown
        raise invalid(
            f"Refund amount ({asked}) is greater than unrefunded amount on charge ({rest})",
            "amount",
        )


def _destination(charge: Document, *, by_card: bool) -> Document:
    if not by_card:
        kind = charge["payment_method_details"]["type"]
        return {"type": f"{kind}_bank_transfer"[:40], kind: {}}
    return {"type": "card", "card": {"reference_status": "pending", "type": "refund"}}
